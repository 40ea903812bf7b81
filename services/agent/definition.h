// Definitions of agents that users make: what may stand in one.
#ifndef SERVICES_AGENT_DEFINITION_H_
#define SERVICES_AGENT_DEFINITION_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace bulkhead::agent {

namespace v1 {
class Agent;
}

// 3 to 64 of [a-z0-9._-].
bool IsAgentName(std::string_view name);

// INVALID_ARGUMENT `AGENT_INVALID` (metadata: every violation, by the field's path): name,
// description, input schema, and either a model (instructions, model, tools) or a plan whose nodes
// have ids of their own, tools, known predecessors and no cycle.
absl::Status ValidateDefinition(const v1::Agent& agent);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_DEFINITION_H_
