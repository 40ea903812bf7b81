#include "services/agent/run_record.h"

#include "services/common/status/error.h"

namespace bulkhead::agent {

RunError RunError::Of(const absl::Status& status) {
  std::optional<ErrorInfo> info = ErrorInfoOf(status);
  if (!info.has_value()) {
    return {.reason = "UNSPECIFIED_ERROR",
            .message = std::string(status.message()),
            .domain = "bulkhead.agent",
            .metadata = {}};
  }
  return {.reason = info->reason,
          .message = std::string(status.message()),
          .domain = info->domain,
          .metadata = info->metadata};
}

}  // namespace bulkhead::agent
