// Errors of the agent service.
#ifndef SERVICES_AGENT_RUN_FAILURE_H_
#define SERVICES_AGENT_RUN_FAILURE_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace bulkhead::agent {

// An error of domain bulkhead.agent. `metadata` has the variables of the message.
absl::Status RunFailure(absl::StatusCode code, std::string_view reason, std::string_view message,
                        std::map<std::string, std::string> metadata);

// CANCELLED `BRANCH_LOST`: what a branch of Any or Race gets once another one has won.
absl::Status BranchLost();

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_FAILURE_H_
