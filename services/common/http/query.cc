#include "services/common/http/query.h"

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

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = plus_is_space && text[i] == '+' ? ' ' : text[i];
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

absl::StatusOr<std::map<std::string, std::string>> ParseQuery(std::string_view text) {
  std::map<std::string, std::string> parameters;
  for (const std::string_view pair : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const std::pair<std::string_view, std::string_view> halves = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    std::optional<std::string> name = PercentDecode(halves.first, /*plus_is_space=*/true);
    std::optional<std::string> value = PercentDecode(halves.second, /*plus_is_space=*/true);
    if (!name.has_value() || !value.has_value()) {
      return Malformed("it is not percent-encoded as it should be");
    }
    if (!parameters.emplace(*std::move(name), *std::move(value)).second) {
      return Malformed("it has a parameter twice");
    }
  }
  return parameters;
}

}  // namespace bulkhead::http
