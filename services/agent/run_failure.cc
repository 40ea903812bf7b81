#include "services/agent/run_failure.h"

#include <utility>

#include "services/common/status/error.h"

namespace bulkhead::agent {

absl::Status RunFailure(absl::StatusCode code, std::string_view reason, std::string_view message,
                        std::map<std::string, std::string> metadata) {
  return MakeError(code, message,
                   {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = std::move(metadata)});
}

absl::Status BranchLost() {
  return RunFailure(absl::StatusCode::kCancelled, "BRANCH_LOST", "another branch of the group was first", {});
}

}  // namespace bulkhead::agent
