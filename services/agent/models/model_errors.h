// Why a model call failed, each with its reason.
#ifndef SERVICES_AGENT_MODELS_MODEL_ERRORS_H_
#define SERVICES_AGENT_MODELS_MODEL_ERRORS_H_

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace bulkhead::agent {

// All in the domain bulkhead.agent, with metadata `model`. `problem` completes "the endpoint of the model ...", and holds no secret.

// NOT_FOUND `MODEL_UNKNOWN`.
absl::Status ModelUnknown(std::string_view model, const std::vector<std::string_view>& known);
// INVALID_ARGUMENT `MODEL_REQUEST_INVALID`.
absl::Status ModelRequestInvalid(std::string_view model, std::string_view problem);
// UNAVAILABLE `MODEL_UNREACHABLE`: it cannot be reached, breaks off, or fails on its side. May be tried again.
absl::Status ModelUnreachable(std::string_view model, std::string_view problem,
                              std::optional<absl::Duration> retry_after = std::nullopt);
// RESOURCE_EXHAUSTED `MODEL_RATE_LIMITED`. May be tried again.
absl::Status ModelRateLimited(std::string_view model, std::optional<absl::Duration> retry_after);
// FAILED_PRECONDITION `MODEL_REFUSED` (metadata `status`, the HTTP status): trying again would not help. What the endpoint says may be `problem`.
absl::Status ModelRefused(std::string_view model, int http_status, std::string_view problem);
// ABORTED `MODEL_REPLY_INVALID`.
absl::Status ModelReplyInvalid(std::string_view model, std::string_view problem);
// DEADLINE_EXCEEDED `MODEL_TIMED_OUT`.
absl::Status ModelTimedOut(std::string_view model, std::string_view problem);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_MODEL_ERRORS_H_
