// What AgentService does, without gRPC: agents that are linked in, and definitions that users make and share.
#ifndef SERVICES_AGENT_AGENT_CATALOG_H_
#define SERVICES_AGENT_AGENT_CATALOG_H_

#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "services/agent/agent_registry.h"
#include "services/agent/definition_store.h"
#include "services/agent/tool_directory.h"
#include "services/common/identity/user_context.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// Thread-safe; holds no lock. Errors as agent_service.proto lists them. `call` has a user and that user's token.
class AgentCatalog {
 public:
  // All pointers outlive the catalog.
  struct Dependencies {
    const AgentRegistry* registry = nullptr;
    const DefinitionStore* definitions = nullptr;
    ToolDirectory* tools = nullptr;
    const Clock* clock = nullptr;
    std::set<std::string> models;  // The ids of those that are configured.
  };

  explicit AgentCatalog(Dependencies dependencies) : dependencies_(std::move(dependencies)) {}

  absl::StatusOr<v1::Agent> Get(const UserContext& user, const std::string& name) const;
  absl::StatusOr<v1::ListAgentsResponse> List(const UserContext& user, const v1::ListAgentsRequest& request) const;
  Awaitable<absl::StatusOr<v1::Agent>> Create(rpc::CallContext call, v1::CreateAgentRequest request) const;
  Awaitable<absl::StatusOr<v1::Agent>> Update(rpc::CallContext call, v1::UpdateAgentRequest request) const;
  Awaitable<absl::Status> Delete(rpc::CallContext call, std::string name) const;

 private:
  DefinitionStore::Scoped SeenBy(const UserContext& user) const;
  // What a user sends, checked, and without what the service sets. The tool service is asked for the tools.
  Awaitable<absl::StatusOr<DefinitionRecord>> Checked(rpc::CallContext call, v1::Agent agent) const;

  const Dependencies dependencies_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_AGENT_CATALOG_H_
