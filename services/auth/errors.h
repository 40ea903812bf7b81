// How the auth service makes its errors: one domain, one call.
#ifndef SERVICES_AUTH_ERRORS_H_
#define SERVICES_AUTH_ERRORS_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "services/common/status/error.h"

namespace bulkhead::auth {

inline absl::Status AuthError(absl::StatusCode code, std::string_view message, std::string_view reason,
                              std::map<std::string, std::string> metadata = {}) {
  return MakeError(
      code, message,
      {.domain = "bulkhead.auth", .reason = std::string(reason), .metadata = std::move(metadata), .retry_after = {}});
}

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_ERRORS_H_
