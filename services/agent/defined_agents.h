// Agents that users have defined, as what the engine executes.
#ifndef SERVICES_AGENT_DEFINED_AGENTS_H_
#define SERVICES_AGENT_DEFINED_AGENTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/agent.h"
#include "services/agent/definition_store.h"

namespace bulkhead::agent {

namespace v1 {
class Agent;
}

// One version of a definition.
struct DefinedAgent {
  int64_t definition = 0;  // DefinitionRecord::key.
  AgentFactory factory;
};

// Thread-safe; an operation waits for a read of the database, and for nothing else.
class DefinedAgents {
 public:
  // Makes the instance for one run of a definition, which was valid when it was stored. Thread-safe.
  using Runner = std::function<std::unique_ptr<Agent>(const v1::Agent&)>;
  // By the kind of the definition; null for kinds that nothing executes.
  struct Runners {
    Runner model;
    Runner plan;
  };

  // `definitions` outlives it, and the factories that it gives.
  DefinedAgents(const DefinitionStore* definitions, Runners runners);

  // The newest version of the agent that the user calls so. NOT_FOUND `AGENT_NOT_FOUND`; FAILED_PRECONDITION `AGENT_NOT_EXECUTABLE`
  // when nothing executes its kind.
  absl::StatusOr<DefinedAgent> Find(std::string user, std::vector<std::string> roles, std::string name) const;

  // The version that a run began with, whatever has become of the definition. As above.
  absl::StatusOr<AgentFactory> Version(int64_t definition) const;

 private:
  absl::StatusOr<DefinedAgent> Make(const DefinitionRecord& record) const;

  const DefinitionStore* const definitions_;
  const Runners runners_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_DEFINED_AGENTS_H_
