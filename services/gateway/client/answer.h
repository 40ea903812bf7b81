// The errors that a gateway answers with, as absl::Status again.
#ifndef SERVICES_GATEWAY_CLIENT_ANSWER_H_
#define SERVICES_GATEWAY_CLIENT_ANSWER_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace bulkhead::gateway {

// OK for 2xx. Else the error in `body`, with its ErrorInfo and RetryInfo; INTERNAL `GATEWAY_ANSWER_INVALID` when there
// is none.
absl::Status StatusOfAnswer(int http_status, std::string_view body);

// The JSON of a body; null for an empty one. INTERNAL `GATEWAY_ANSWER_INVALID`.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view body);

// The error of an ErrorFrame in JSON.
absl::Status StatusOfErrorFrame(const nlohmann::json& frame);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_CLIENT_ANSWER_H_
