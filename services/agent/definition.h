// Definitions of agents that users make: what may stand in one.
#ifndef SERVICES_AGENT_DEFINITION_H_
#define SERVICES_AGENT_DEFINITION_H_

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

// Every problem of a definition, by the field's path: name, description, input schema, the roles it is shared with, and either a model
// (instructions, model, tools; a tool may come and go) or a plan (plans/plan.h), which is held against `tools`, those that its maker may
// call, unless that is null.
Problems CheckDefinition(const v1::Agent& agent, const ToolCatalog* tools);

// INVALID_ARGUMENT `AGENT_INVALID` with the problems as metadata, the first ones when they are very many; OK when there are none.
absl::Status AgentInvalid(const Problems& problems);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_DEFINITION_H_
