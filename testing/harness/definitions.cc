#include "testing/harness/definitions.h"

#include "absl/log/absl_check.h"
#include "bulkhead/agent/v1/agent_service.grpc.pb.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "services/common/status/macros.h"
#include "testing/harness/calls.h"

namespace bulkhead::testing {

using agent::v1::Agent;
using agent::v1::AgentService;

Agent Definition(std::string_view json) {
  Agent agent;
  const absl::Status parsed = google::protobuf::util::JsonStringToMessage(json, &agent);
  ABSL_CHECK(parsed.ok()) << parsed << ": " << json;
  if (agent.name().empty()) {
    agent.set_name("agents/plan");
  }
  if (agent.description().empty()) {
    agent.set_description("A plan of a test.");
  }
  return agent;
}

absl::StatusOr<Agent> GetAgent(User& user, const std::string& name) {
  agent::v1::GetAgentRequest request;
  request.set_name(name);
  return Call<AgentService>(user, &AgentService::Stub::GetAgent, request);
}

absl::StatusOr<Agent> CreateAgent(User& user, const Agent& agent, const std::string& request_id) {
  agent::v1::CreateAgentRequest request;
  *request.mutable_agent() = agent;
  request.set_request_id(request_id);
  return Call<AgentService>(user, &AgentService::Stub::CreateAgent, request);
}

absl::StatusOr<Agent> UpdateAgent(User& user, const Agent& agent) {
  agent::v1::UpdateAgentRequest request;
  *request.mutable_agent() = agent;
  return Call<AgentService>(user, &AgentService::Stub::UpdateAgent, request);
}

absl::Status DeleteAgent(User& user, const std::string& name) {
  agent::v1::DeleteAgentRequest request;
  request.set_name(name);
  return Call<AgentService>(user, &AgentService::Stub::DeleteAgent, request).status();
}

absl::StatusOr<std::vector<std::string>> ListAgents(User& user) {
  std::vector<std::string> names;
  agent::v1::ListAgentsRequest request;
  request.set_page_size(1);
  do {
    ASSIGN_OR_RETURN(agent::v1::ListAgentsResponse page,
                     Call<AgentService>(user, &AgentService::Stub::ListAgents, request));
    for (const Agent& agent : page.agents()) {
      names.push_back(agent.name());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return names;
}

absl::StatusOr<std::string> StartPlan(User& user, std::string_view json, const nlohmann::json& input) {
  ASSIGN_OR_RETURN(const Agent agent, CreateAgent(user, Definition(json)));
  return user.StartRun(agent.name().substr(7), input);
}

absl::StatusOr<agent::v1::Run> RunPlan(User& user, std::string_view json, const nlohmann::json& input) {
  ASSIGN_OR_RETURN(const std::string run, StartPlan(user, json, input));
  return user.WaitForRun(run);
}

}  // namespace bulkhead::testing
