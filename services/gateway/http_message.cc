#include "services/gateway/http_message.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/http/query.h"
#include "services/common/status/error.h"

namespace bulkhead::gateway {
namespace {

constexpr char kDomain[] = "bulkhead.gateway";

int HttpStatusOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

// Seconds with a fraction, as proto JSON writes a Duration.
std::string DurationJson(absl::Duration duration) { return absl::StrCat(absl::ToDoubleSeconds(duration), "s"); }

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  return http::PercentDecode(text, plus_is_space);
}

std::optional<std::map<std::string, std::string>> ParseParameters(std::string_view encoded) {
  absl::StatusOr<std::map<std::string, std::string>> parameters = http::ParseQuery(encoded);
  return parameters.ok() ? std::make_optional(*std::move(parameters)) : std::nullopt;
}

absl::Status ParseTarget(std::string_view target, HttpRequest* request) {
  const absl::Status invalid = GatewayError(absl::StatusCode::kInvalidArgument, "TARGET_INVALID",
                                            "the request's target must be a path, percent-encoded as RFC 3986 says");
  if (target.empty() || target.front() != '/') {
    return invalid;
  }
  const std::pair<std::string_view, std::string_view> parts = absl::StrSplit(target, absl::MaxSplits('?', 1));
  request->path = std::string(parts.first);
  std::optional<std::map<std::string, std::string>> query = ParseParameters(parts.second);
  if (!query.has_value()) {
    return invalid;
  }
  request->query = *std::move(query);
  return absl::OkStatus();
}

std::string_view StatusCodeName(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return "OK";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case absl::StatusCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case absl::StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case absl::StatusCode::kAborted:
      return "ABORTED";
    case absl::StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case absl::StatusCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case absl::StatusCode::kInternal:
      return "INTERNAL";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case absl::StatusCode::kDataLoss:
      return "DATA_LOSS";
    case absl::StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    default:
      return "UNKNOWN";
  }
}

int HttpStatusOf(const absl::Status& error) {
  static constexpr std::pair<std::string_view, int> kOwn[] = {{"METHOD_NOT_ALLOWED", 405},
                                                              {"BODY_TOO_LARGE", 413},
                                                              {"MEDIA_TYPE_UNSUPPORTED", 415},
                                                              {"UPGRADE_REQUIRED", 426},
                                                              {"HEADER_TOO_LARGE", 431}};
  const std::optional<ErrorInfo> info = ErrorInfoOf(error);
  if (info.has_value() && info->domain == kDomain) {
    for (const auto& [reason, status] : kOwn) {
      if (info->reason == reason) {
        return status;
      }
    }
  }
  return HttpStatusOfCode(error.code());
}

HttpResponse ErrorResponse(const absl::Status& error) {
  HttpResponse response;
  response.status = HttpStatusOf(error);
  nlohmann::json details = nlohmann::json::array();
  if (const std::optional<ErrorInfo> info = ErrorInfoOf(error); info.has_value()) {
    details.push_back({{"@type", "type.googleapis.com/google.rpc.ErrorInfo"},
                       {"reason", info->reason},
                       {"domain", info->domain},
                       {"metadata", info->metadata}});
    if (info->retry_after.has_value()) {
      details.push_back(
          {{"@type", "type.googleapis.com/google.rpc.RetryInfo"}, {"retryDelay", DurationJson(*info->retry_after)}});
      const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(*info->retry_after, absl::Seconds(1)));
      response.headers["Retry-After"] = absl::StrCat(seconds);
    }
    if (info->reason == "METHOD_NOT_ALLOWED") {
      response.headers["Allow"] = info->metadata.at("allow");
    }
  }
  if (response.status == 401) {
    response.headers["WWW-Authenticate"] = "Bearer";
  }
  const nlohmann::json body = {{"error",
                                {{"code", response.status},
                                 {"status", StatusCodeName(error.code())},
                                 {"message", std::string(error.message())},
                                 {"details", std::move(details)}}}};
  response.body = body.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  return response;
}

absl::Status GatewayError(absl::StatusCode code, std::string_view reason, std::string_view message,
                          std::map<std::string, std::string> metadata) {
  return MakeError(code, message, {.domain = kDomain, .reason = std::string(reason), .metadata = std::move(metadata)});
}

}  // namespace bulkhead::gateway
