// What can be run: the agents that are linked in.
#ifndef SERVICES_AGENT_AGENT_REGISTRY_H_
#define SERVICES_AGENT_AGENT_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/agent/agent.h"
#include "services/common/json_schema/json_schema.h"

namespace bulkhead::agent {

// INVALID_ARGUMENT `RUN_INPUT_INVALID` (metadata: every violation by its JSON Pointer) unless `input` is what `schema`, of the agent
// `name`, allows.
absl::Status ValidateRunInput(std::string_view name, const JsonSchema& schema, const nlohmann::json& input);

// Immutable, thread-safe; no operation waits for anything.
class AgentRegistry {
 public:
  // INVALID_ARGUMENT `AGENT_INVALID` (metadata: every problem): a bad or repeated name, no version,
  // no factory, a bad schema.
  static absl::StatusOr<std::unique_ptr<AgentRegistry>> Create(std::vector<AgentFactory> agents);

  // NOT_FOUND `AGENT_NOT_FOUND`. The result lives as long as the registry.
  absl::StatusOr<const AgentFactory*> Find(std::string_view name) const;

  // INVALID_ARGUMENT `RUN_INPUT_INVALID` (metadata: every violation by its JSON Pointer), NOT_FOUND
  // `AGENT_NOT_FOUND`.
  absl::Status ValidateInput(std::string_view name, const nlohmann::json& input) const;

  // By name, those after `after`, at most `limit`.
  std::vector<const AgentFactory*> List(std::string_view after, size_t limit) const;

 private:
  struct Registered {
    AgentFactory factory;
    std::unique_ptr<JsonSchema> schema;
  };
  explicit AgentRegistry(std::map<std::string, Registered, std::less<>> agents);
  const std::map<std::string, Registered, std::less<>> agents_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_AGENT_REGISTRY_H_
