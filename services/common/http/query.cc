#include "services/common/http/query.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/status/error.h"

namespace bulkhead::http {
namespace {

absl::Status Malformed(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("the query is malformed: ", what),
                   {.domain = "bulkhead.http", .reason = "QUERY_MALFORMED"});
}

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%') {
      std::string byte;
      const std::string_view digits = text.substr(i + 1, 2);
      if (digits.size() != 2 || !absl::HexStringToBytes(digits, &byte)) {
        return std::nullopt;
      }
      c = byte.front();
      i += 2;
    }
    if (c == '\0') {
      return std::nullopt;
    }
    decoded.push_back(c);
  }
  return decoded;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseQuery(std::string_view text) {
  std::map<std::string, std::string> parameters;
  std::set<std::string> seen;
  for (const std::string_view pair : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const std::pair<std::string_view, std::string_view> halves = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    std::optional<std::string> name = Decode(halves.first);
    std::optional<std::string> value = Decode(halves.second);
    if (!name.has_value() || !value.has_value()) {
      return Malformed("it is not percent-encoded as it should be");
    }
    if (!seen.insert(*name).second) {
      return Malformed("it has a parameter twice");
    }
    if (!value->empty()) {
      parameters.emplace(*std::move(name), *std::move(value));
    }
  }
  return parameters;
}

}  // namespace bulkhead::http
