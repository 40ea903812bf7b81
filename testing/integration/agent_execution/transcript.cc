#include "testing/integration/agent_execution/transcript.h"

#include <algorithm>
#include <cstddef>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/json/json.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"

namespace bulkhead::testing {

using nlohmann::json;

std::string Told(const absl::Status& status) {
  std::vector<std::string> metadata;
  if (const auto info = ErrorInfoOf(status); info.has_value()) {
    for (const auto& [key, value] : info->metadata) {
      metadata.push_back(absl::StrCat(key, "=", value));
    }
  }
  // Protobuf puts blanks into its messages at random, so that nobody relies on their text.
  const std::string message = absl::StrJoin(absl::StrSplit(status.message(), ' ', absl::SkipEmpty()), " ");
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", ReasonOf(status), " {",
                      absl::StrJoin(metadata, ", "), "} ", message);
}

std::string Told(const google::protobuf::Message& seen) {
  std::string text;
  EXPECT_OK(google::protobuf::json::MessageToJsonString(seen, &text));
  return json::parse(text).dump();
}

std::string Told(const json& seen) {
  json told = seen;
  if (auto token = told.find("nextPageToken"); token != told.end()) {
    // Opaque, and different each time; but a longer one would tell of more.
    *token = absl::StrCat(token->get<std::string>().size(), " bytes");
  }
  return told.dump();
}

std::string Transcript::Anonymous(std::string text) {
  for (const auto& [id, alias] : aliases_) {
    absl::StrReplaceAll({{id, alias}}, &text);
  }
  static const std::regex* const kRandom = new std::regex("[a-z_]+-[a-z2-7]{26}|\\b[0-9a-f]{32}\\b");
  std::string told;
  auto at = text.cbegin();
  for (std::sregex_iterator found(text.cbegin(), text.cend(), *kRandom), end; found != end; ++found) {
    told.append(at, (*found)[0].first);
    at = (*found)[0].second;
    const std::string id = found->str();
    auto known = std::ranges::find(ids_, id);
    if (known == ids_.end()) {
      ids_.push_back(id);
      known = ids_.end() - 1;
    }
    const size_t dash = id.find('-');
    absl::StrAppend(&told, dash == std::string::npos ? "trace" : id.substr(0, dash), "#", known - ids_.begin());
  }
  told.append(at, text.cend());
  return told;
}

void Transcript::Alias(std::string_view id, std::string_view alias) { aliases_[std::string(id)] = alias; }

void Transcript::Write(std::string_view what, std::string_view seen) {
  lines_.push_back(Anonymous(absl::StrCat(what, " -> ", seen)));
}

}  // namespace bulkhead::testing
