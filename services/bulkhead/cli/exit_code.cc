#include "services/bulkhead/cli/exit_code.h"

#include "services/common/status/error.h"

namespace bulkhead::cli {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return ExitCode::kUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return ReasonOf(status) == "AGENTS_HOLD_THREADS" ? ExitCode::kHeld : ExitCode::kUnreachable;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return ExitCode::kDenied;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kCancelled:
      // The platform's own word for a person's interruption; a cancelled call of a server is a failure.
      return ReasonOf(status) == "INTERRUPTED" || ReasonOf(status) == "WATCH_STOPPED" ? ExitCode::kInterrupted
                                                                                      : ExitCode::kFailed;
    default:
      return ExitCode::kFailed;
  }
}

}  // namespace bulkhead::cli
