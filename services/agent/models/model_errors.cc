#include "services/agent/models/model_errors.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {
namespace {

absl::Status Failure(absl::StatusCode code, std::string_view reason, std::string_view model, std::string_view message,
                     std::map<std::string, std::string> metadata = {},
                     std::optional<absl::Duration> retry_after = std::nullopt) {
  metadata.emplace("model", model);
  if (retry_after.has_value()) {
    metadata.emplace("retry_after", absl::FormatDuration(*retry_after));
  }
  return MakeError(code, message,
                   {.domain = "bulkhead.agent",
                    .reason = std::string(reason),
                    .metadata = std::move(metadata),
                    .retry_after = retry_after});
}

std::string Endpoint(std::string_view model, std::string_view problem) {
  return absl::StrCat("the endpoint of the model '", model, "' ", problem);
}

}  // namespace

absl::Status ModelUnknown(std::string_view model, const std::vector<std::string_view>& known) {
  return Failure(absl::StatusCode::kNotFound, "MODEL_UNKNOWN", model,
                 absl::StrCat("there is no model '", model, "' in the configuration; ",
                              known.empty() ? "it has none" : absl::StrCat("it has ", absl::StrJoin(known, ", "))));
}

absl::Status ModelRequestInvalid(std::string_view model, std::string_view problem) {
  return Failure(absl::StatusCode::kInvalidArgument, "MODEL_REQUEST_INVALID", model,
                 absl::StrCat("the request to the model '", model, "' ", problem));
}

absl::Status ModelUnreachable(std::string_view model, std::string_view problem,
                              std::optional<absl::Duration> retry_after) {
  return Failure(absl::StatusCode::kUnavailable, "MODEL_UNREACHABLE", model, Endpoint(model, problem), {}, retry_after);
}

absl::Status ModelRateLimited(std::string_view model, std::optional<absl::Duration> retry_after) {
  return Failure(absl::StatusCode::kResourceExhausted, "MODEL_RATE_LIMITED", model,
                 Endpoint(model, "takes no more requests at present"), {}, retry_after);
}

absl::Status ModelRefused(std::string_view model, int http_status, std::string_view problem) {
  return Failure(absl::StatusCode::kFailedPrecondition, "MODEL_REFUSED", model,
                 Endpoint(model, absl::StrCat("refused the request: ", problem)),
                 {{"status", absl::StrCat(http_status)}});
}

absl::Status ModelReplyInvalid(std::string_view model, std::string_view problem) {
  return Failure(absl::StatusCode::kAborted, "MODEL_REPLY_INVALID", model,
                 Endpoint(model, absl::StrCat("sent a reply that cannot be used: ", problem)));
}

absl::Status ModelTimedOut(std::string_view model, std::string_view problem) {
  return Failure(absl::StatusCode::kDeadlineExceeded, "MODEL_TIMED_OUT", model, Endpoint(model, problem));
}

}  // namespace bulkhead::agent
