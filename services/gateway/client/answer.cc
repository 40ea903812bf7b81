#include "services/gateway/client/answer.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::gateway {
namespace {

using Json = nlohmann::json;

absl::StatusCode CodeByName(std::string_view name) {
  for (int code = 1; code <= 16; ++code) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(code)) == name) {
      return static_cast<absl::StatusCode>(code);
    }
  }
  return absl::StatusCode::kUnknown;
}

absl::Status Unintelligible(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, absl::StrCat("what answers is no Bulkhead gateway: ", what),
                   {.domain = "bulkhead.gateway", .reason = "GATEWAY_ANSWER_INVALID"});
}

std::string StringOf(const Json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::map<std::string, std::string> StringsOf(const Json& object, const char* name) {
  std::map<std::string, std::string> result;
  if (auto found = object.find(name); found != object.end() && found->is_object()) {
    for (const auto& [key, value] : found->items()) {
      result[key] = value.is_string() ? value.get<std::string>() : value.dump();
    }
  }
  return result;
}

ErrorInfo InfoOf(const Json& error) {
  ErrorInfo info;
  for (const Json& detail : error.value("details", Json::array())) {
    if (!detail.is_object()) {
      continue;
    }
    const std::string type = StringOf(detail, "@type");
    if (type == "type.googleapis.com/google.rpc.ErrorInfo") {
      info.reason = StringOf(detail, "reason");
      info.domain = StringOf(detail, "domain");
      info.metadata = StringsOf(detail, "metadata");
    } else if (type == "type.googleapis.com/google.rpc.RetryInfo") {
      double seconds = 0;
      if (absl::SimpleAtod(absl::StripSuffix(StringOf(detail, "retryDelay"), "s"), &seconds)) {
        info.retry_after = absl::Seconds(seconds);
      }
    }
  }
  return info;
}

}  // namespace

absl::Status StatusOfAnswer(int http_status, std::string_view body) {
  if (http_status >= 200 && http_status < 300) {
    return absl::OkStatus();
  }
  const Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("error") || !answer["error"].is_object()) {
    return Unintelligible(absl::StrCat("status ", http_status, " without an error"));
  }
  const Json& error = answer["error"];
  return MakeError(CodeByName(StringOf(error, "status")), StringOf(error, "message"), InfoOf(error));
}

absl::StatusOr<Json> ParseJson(std::string_view body) {
  if (body.empty()) {
    return Json();
  }
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return Unintelligible("the answer is no JSON");
  }
  return json;
}

absl::Status StatusOfErrorFrame(const Json& frame) {
  const Json error = frame.value("error", Json::object());
  return MakeError(CodeByName(StringOf(frame, "code")), StringOf(error, "message"),
                   {.domain = StringOf(error, "domain"),
                    .reason = StringOf(error, "reason"),
                    .metadata = StringsOf(error, "metadata")});
}

}  // namespace bulkhead::gateway
