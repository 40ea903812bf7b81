#include "services/agent/registry_service.h"

#include <string>
#include <utility>

#include "bulkhead/agent/v1/agent_service.pb.h"
#include "services/agent/run_proto.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using google::protobuf::Empty;

// An adapter: calls the catalog, which validates.
class RegistryService final : public rpc::Service {
 public:
  RegistryService(const rpc::ServerDependencies& calls, const AgentCatalog* catalog)
      : Service("bulkhead.agent.v1.AgentService", calls), catalog_(catalog) {
    Unary("GetAgent", &RegistryService::GetAgent);
    Unary("ListAgents", &RegistryService::ListAgents);
    Unary("CreateAgent", &RegistryService::CreateAgent);
    Unary("UpdateAgent", &RegistryService::UpdateAgent);
    Unary("DeleteAgent", &RegistryService::DeleteAgent);
  }

 private:
  Awaitable<absl::StatusOr<v1::Agent>> GetAgent(const rpc::CallContext& call, const v1::GetAgentRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string name, ParseAgentName(request.name()));
    co_return catalog_->Get(*call.user, name);
  }

  Awaitable<absl::StatusOr<v1::ListAgentsResponse>> ListAgents(const rpc::CallContext& call,
                                                               const v1::ListAgentsRequest& request) {
    co_return catalog_->List(*call.user, request);
  }

  Awaitable<absl::StatusOr<v1::Agent>> CreateAgent(const rpc::CallContext& call,
                                                   const v1::CreateAgentRequest& request) {
    return catalog_->Create(call, request);
  }

  Awaitable<absl::StatusOr<v1::Agent>> UpdateAgent(const rpc::CallContext& call,
                                                   const v1::UpdateAgentRequest& request) {
    return catalog_->Update(call, request);
  }

  Awaitable<absl::StatusOr<Empty>> DeleteAgent(const rpc::CallContext& call, const v1::DeleteAgentRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string name, ParseAgentName(request.name()));
    CO_RETURN_IF_ERROR(co_await catalog_->Delete(call, std::move(name)));
    co_return Empty();
  }

  const AgentCatalog* const catalog_;
};

}  // namespace

std::unique_ptr<grpc::Service> CreateRegistryService(rpc::ServerDependencies calls, const AgentCatalog* catalog) {
  return std::make_unique<RegistryService>(calls, catalog);
}

}  // namespace bulkhead::agent
