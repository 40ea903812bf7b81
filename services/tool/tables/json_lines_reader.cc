#include "services/tool/tables/json_lines_reader.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

using Json = nlohmann::ordered_json;  // The order of members is the order of columns.

// The reason that nlohmann gives, without its own prefix.
std::string ParseProblem(std::string_view line) {
  try {
    const Json ignored = Json::parse(line);
  } catch (const Json::exception& e) {
    std::string_view what = e.what();
    const size_t colon = what.find("column ");
    return std::string(colon == std::string_view::npos ? what : what.substr(colon));
  }
  return "it cannot be read";
}

}  // namespace

absl::Status JsonLinesReader::ReadLine(std::string_view line, int64_t number, OnRecord on_record) {
  if (absl::StripAsciiWhitespace(line).empty()) {
    return absl::OkStatus();
  }
  Json object = Json::parse(line, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) {
    return LineError("TABLE_LINE_INVALID", number, absl::StrCat("not JSON: ", ParseProblem(line)));
  }
  if (!object.is_object()) {
    return LineError("TABLE_LINE_INVALID", number,
                     absl::StrCat("a JSON object was expected, not ", object.type_name(), "; each line is one record"));
  }
  fields_.assign(names_.size(), Field{.text = {}, .is_string = false});
  for (auto& [name, member] : object.items()) {
    auto [position, is_new] = index_.try_emplace(name, names_.size());
    if (is_new) {
      names_.push_back(name);
      fields_.emplace_back();
      texts_.emplace_back();
    }
    const size_t column = position->second;
    if (member.is_string()) {
      texts_[column] = std::move(member.template get_ref<std::string&>());
      fields_[column].is_string = true;
    } else if (member.is_null()) {
      texts_[column].clear();
    } else {
      texts_[column] = member.dump();
      fields_[column].is_string = member.is_structured();
    }
    fields_[column].text = texts_[column];
  }
  // A new name moves texts_, and short ones with it: the views are set again.
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (!fields_[i].text.empty()) {
      fields_[i].text = texts_[i];
    }
  }
  return on_record({.line = number, .fields = fields_});
}

absl::Status JsonLinesReader::Read(OnProgress on_progress, OnRecord on_record) {
  std::string partial;  // The beginning of a line whose end is in a later piece.
  int64_t number = 1;
  auto read_line = [&](std::string_view line) {
    absl::Status status = ReadLine(line, number, on_record);
    ++number;
    return status;
  };
  RETURN_IF_ERROR(ReadText(*source_, [&](std::string_view piece, uint64_t read) {
    size_t begin = 0;
    for (size_t end; (end = piece.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
      if (partial.empty()) {
        RETURN_IF_ERROR(read_line(piece.substr(begin, end - begin)));
      } else {
        partial.append(piece.substr(begin, end - begin));
        RETURN_IF_ERROR(read_line(partial));
        partial.clear();
      }
    }
    partial.append(piece.substr(begin));
    if (partial.size() > kMaxFieldBytes) {
      return LineError("TABLE_FIELD_TOO_LARGE", number, absl::StrCat("longer than ", kMaxFieldBytes, " bytes"));
    }
    return on_progress(read);
  }));
  return read_line(partial);
}

}  // namespace bulkhead::tool
