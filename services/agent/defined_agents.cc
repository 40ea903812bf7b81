#include "services/agent/defined_agents.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {

DefinedAgents::DefinedAgents(const DefinitionStore* definitions, Runners runners)
    : definitions_(definitions), runners_(std::move(runners)) {}

absl::StatusOr<DefinedAgent> DefinedAgents::Find(std::string user, std::vector<std::string> roles,
                                                 std::string name) const {
  ASSIGN_OR_RETURN(DefinitionRecord record, definitions_->For(std::move(user), std::move(roles)).Get(std::move(name)));
  return Make(record);
}

absl::StatusOr<AgentFactory> DefinedAgents::Version(int64_t definition) const {
  ASSIGN_OR_RETURN(DefinitionRecord record, definitions_->VersionAcrossUsers(definition));
  ASSIGN_OR_RETURN(DefinedAgent agent, Make(record));
  return std::move(agent.factory);
}

absl::StatusOr<DefinedAgent> DefinedAgents::Make(const DefinitionRecord& record) const {
  auto agent = std::make_shared<v1::Agent>();
  const bool parsed = agent->ParseFromString(record.content);
  const Runner& runner = agent->has_plan() ? runners_.plan : runners_.model;
  if (!parsed || agent->definition_case() == v1::Agent::DEFINITION_NOT_SET || runner == nullptr) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("'", record.name, "' is a definition of a kind that this version keeps and does not execute"),
        {.domain = "bulkhead.agent", .reason = "AGENT_NOT_EXECUTABLE", .metadata = {{"agent", record.name}}});
  }
  agent->set_name(absl::StrCat("agents/", record.name));
  AgentFactory factory;
  factory.spec = {.name = record.name, .version = absl::StrCat(record.version), .description = agent->description()};
  factory.spec.calls_models = agent->has_model();
  if (agent->has_input_schema()) {
    factory.spec.input_schema = ToJson(agent->input_schema()).dump();
  }
  factory.make = [runner, agent = std::shared_ptr<const v1::Agent>(std::move(agent))] { return runner(*agent); };
  return DefinedAgent{.definition = record.key, .factory = std::move(factory)};
}

}  // namespace bulkhead::agent
