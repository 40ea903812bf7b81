#include "services/tool/tables/json_lines_reader.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/common/json/untrusted_json.h"
#include "services/common/status/macros.h"
#include "services/common/storage/user_database.h"

namespace bulkhead::tool {
namespace {

// Used nowhere else among the tables: what the compiler makes of it is optimized as this file is.
using Json = nlohmann::ordered_json;

}  // namespace

// Takes one line as it is parsed. No document is made of it: neither its depth nor the number of
// its members costs more than its bytes do.
class JsonLinesReader::LineParser final : public nlohmann::json_sax<Json> {
 public:
  LineParser(JsonLinesReader& reader, int64_t line) : reader_(reader), line_(line) {}

  absl::Status Parse(std::string_view text) {
    const bool read = Json::sax_parse(text, this);
    return read || !status_.ok() ? status_ : Invalid("it cannot be read");
  }

  bool null() override { return depth_ == 1 || AddValue("null"); }
  bool boolean(bool value) override { return AddValue(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return AddValue(absl::StrCat(value)); }
  bool number_unsigned(number_unsigned_t value) override { return AddValue(absl::StrCat(value)); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return AddValue(Json(value).dump()); }
  bool string(string_t& value) override {
    if (depth_ > 1) {
      return AddValue(Json(std::move(value)).dump());
    }
    if (depth_ == 1) {
      field().is_string = true;
    }
    return AddValue(value);
  }
  bool binary(binary_t& /*value*/) override { return false; }  // Not of JSON.

  bool start_object(size_t /*size*/) override { return Open("{"); }
  bool start_array(size_t /*size*/) override { return depth_ == 0 ? NoObject("an array") : Open("["); }
  bool end_object() override { return Close("}"); }
  bool end_array() override { return Close("]"); }

  bool key(string_t& name) override {
    if (depth_ > 1) {
      if (!Append(comma_ ? "," : "") || !Append(Json(std::move(name)).dump()) || !Append(":")) {
        return false;
      }
      comma_ = false;
      return true;
    }
    auto [position, is_new] = reader_.index_.try_emplace(std::move(name), reader_.names_.size());
    if (is_new) {
      if (reader_.names_.size() == storage::kMaxTableColumns) {
        status_ = LineError("TABLE_TOO_MANY_COLUMNS", line_,
                            absl::StrCat("more than ", storage::kMaxTableColumns, " columns"));
        return false;
      }
      reader_.names_bytes_ += position->first.size();
      if (reader_.names_bytes_ > kMaxRowBytes) {
        return TooLarge("TABLE_ROW_TOO_LARGE", "the names of the members together are", kMaxRowBytes);
      }
      reader_.names_.push_back(position->first);
      reader_.fields_.emplace_back();
      reader_.values_.emplace_back();
    }
    column_ = position->second;
    // The last one of several members of a name counts.
    field() = {};
    value() = {.begin = reader_.text_.size(), .size = 0};
    return true;
  }

  bool parse_error(size_t /*position*/, const std::string& /*token*/, const Json::exception& error) override {
    // The reason that nlohmann gives, without its own prefix.
    const std::string_view what = error.what();
    const size_t column = what.find("column ");
    status_ = Invalid(absl::StrCat("not JSON: ", column == std::string_view::npos ? what : what.substr(column)));
    return false;
  }

 private:
  absl::Status Invalid(std::string_view problem) const { return LineError("TABLE_LINE_INVALID", line_, problem); }

  bool NoObject(std::string_view type) {
    status_ = Invalid(absl::StrCat("a JSON object was expected, not ", type, "; each line is one record"));
    return false;
  }

  bool TooLarge(std::string_view reason, std::string_view what, size_t limit) {
    status_ = LineError(reason, line_, absl::StrCat(what, " longer than ", limit, " bytes"));
    return false;
  }

  Field& field() { return reader_.fields_[column_]; }
  Piece& value() { return reader_.values_[column_]; }

  bool AddValue(std::string_view text) {
    if (depth_ == 0) {
      return NoObject("a single value");
    }
    if (depth_ == 1) {
      return Append(text);
    }
    const bool added = Append(comma_ ? "," : "") && Append(text);
    comma_ = true;
    return added;
  }

  bool Open(std::string_view bracket) {
    if (depth_ == kMaxJsonDepth) {
      status_ = Invalid(absl::StrCat("nested deeper than ", kMaxJsonDepth, " levels"));
      return false;
    }
    if (++depth_ == 1) {
      return true;
    }
    field().is_string = true;
    const bool added = Append(comma_ ? "," : "") && Append(bracket);
    comma_ = false;
    return added;
  }

  bool Close(std::string_view bracket) {
    if (--depth_ == 0) {
      return true;
    }
    // What follows within a member needs a comma; the next member begins anew.
    comma_ = depth_ > 1;
    return Append(bracket);
  }

  // A text may be longer than in the file, for example 1e14.
  bool Append(std::string_view text) {
    if (value().size + text.size() > kMaxFieldBytes) {
      return TooLarge("TABLE_FIELD_TOO_LARGE", "a field is", kMaxFieldBytes);
    }
    if (reader_.text_.size() + text.size() > kMaxRowBytes) {
      return TooLarge("TABLE_ROW_TOO_LARGE", "the fields together are", kMaxRowBytes);
    }
    reader_.text_.append(text);
    value().size += text.size();
    return true;
  }

  JsonLinesReader& reader_;
  const int64_t line_;
  absl::Status status_;
  int depth_ = 0;
  size_t column_ = 0;   // Of the member that is being read.
  bool comma_ = false;  // Whether the next value within it comes after another one.
};

absl::Status JsonLinesReader::ReadLine(std::string_view line, int64_t number, OnRecord on_record) {
  if (absl::StripAsciiWhitespace(line).empty()) {
    return absl::OkStatus();
  }
  text_.clear();
  fields_.assign(names_.size(), Field{});
  values_.assign(names_.size(), Piece{});
  RETURN_IF_ERROR(LineParser(*this, number).Parse(line));
  for (size_t i = 0; i < fields_.size(); ++i) {
    fields_[i].text = std::string_view(text_).substr(values_[i].begin, values_[i].size);
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
