// Definitions of agents in tests: written as JSON, as users write them.
#ifndef TESTING_HARNESS_DEFINITIONS_H_
#define TESTING_HARNESS_DEFINITIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "nlohmann/json_fwd.hpp"
#include "testing/harness/user.h"

namespace bulkhead::testing {

// The test ends when `json` is no bulkhead.agent.v1.Agent. Without a name it is "agents/plan", without a description it gets one.
agent::v1::Agent Definition(std::string_view json);

absl::StatusOr<agent::v1::Agent> GetAgent(User& user, const std::string& name);
absl::StatusOr<agent::v1::Agent> CreateAgent(User& user, const agent::v1::Agent& agent,
                                             const std::string& request_id = "");
absl::StatusOr<agent::v1::Agent> UpdateAgent(User& user, const agent::v1::Agent& agent);
absl::Status DeleteAgent(User& user, const std::string& name);
// The names of all pages, one agent a page.
absl::StatusOr<std::vector<std::string>> ListAgents(User& user);

// Makes the definition and starts a run of it; the run's name.
absl::StatusOr<std::string> StartPlan(User& user, std::string_view json, const nlohmann::json& input);
// The same, to the run's end.
absl::StatusOr<agent::v1::Run> RunPlan(User& user, std::string_view json, const nlohmann::json& input);

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_DEFINITIONS_H_
