#include "services/agent/agent.h"

#include "services/common/status/error.h"

namespace bulkhead::agent {

absl::Status RunContext::NoBranches() {
  return MakeError(absl::StatusCode::kInvalidArgument, "there is no item to choose a result from",
                   {.domain = "bulkhead.agent", .reason = "NO_BRANCHES"});
}

}  // namespace bulkhead::agent
