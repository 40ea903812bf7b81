// Definitions of agents that users make: what may stand in one.
#ifndef SERVICES_AGENT_DEFINITION_H_
#define SERVICES_AGENT_DEFINITION_H_

#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/agent/plans/plan_types.h"
#include "services/agent/plans/problems.h"

namespace bulkhead::agent {

namespace v1 {
class Agent;
}

// 3 to 64 of [a-z0-9._-].
bool IsAgentName(std::string_view name);

// What a definition may refer to.
struct Surroundings {
  ToolCatalog tools;             // Those that its maker may call.
  std::set<std::string> models;  // The ids of those that are configured.
};

// Every problem of a definition, by the field's path: name, description, input schema, the roles it is shared with, and either a model
// (instructions, model, tools) or a plan (plans/plan.h). What it refers to is held against `surroundings`, unless that is null; it may go
// later, which a run finds.
Problems CheckDefinition(const v1::Agent& agent, const Surroundings* surroundings);

// INVALID_ARGUMENT `AGENT_INVALID` with the problems as metadata, the first ones when they are very many; OK when there are none.
absl::Status AgentInvalid(const Problems& problems);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_DEFINITION_H_
