// The one way to make, and to read, an error that crosses an interface of Bulkhead.
//
// Every failure is an absl::Status that carries exactly one google.rpc.ErrorInfo: a domain
// (`bulkhead.<service>`), a stable UPPER_SNAKE reason from docs/errors.md, and the variables of the
// message as metadata. Callers branch on code and reason; the message is for people and may change.
#ifndef SERVICES_COMMON_STATUS_ERROR_H_
#define SERVICES_COMMON_STATUS_ERROR_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace bulkhead {

// The content of a google.rpc.ErrorInfo, and of the google.rpc.RetryInfo beside it if there is one.
struct ErrorInfo {
  std::string domain;  // "bulkhead.auth"
  std::string reason;  // "TOKEN_EXPIRED"
  std::map<std::string, std::string> metadata;
  std::optional<absl::Duration> retry_after;  // When a later try may succeed.
};

// A status of `code` (not kOk) that carries `info`. `message` says what was wrong and what would be right;
// it never holds a secret.
absl::Status MakeError(absl::StatusCode code, std::string_view message, ErrorInfo info);

// The ErrorInfo of `status`; nullopt when it carries none, or is OK.
std::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status);

// The reason of `status`, or "" when it carries none.
std::string ReasonOf(const absl::Status& status);

// `status` with `prefix` and ": " before its message; code and payloads stay.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_STATUS_ERROR_H_
