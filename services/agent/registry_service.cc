#include "services/agent/registry_service.h"

#include <string>
#include <utility>

#include "bulkhead/agent/v1/agent_service.grpc.pb.h"
#include "services/agent/run_proto.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using google::protobuf::Empty;

// An adapter: calls the catalog, which validates.
class RegistryService final : public v1::AgentService::CallbackService {
 public:
  RegistryService(rpc::ServerDependencies calls, const AgentCatalog* catalog) : calls_(calls), catalog_(catalog) {}

  grpc::ServerUnaryReactor* GetAgent(grpc::CallbackServerContext* context, const v1::GetAgentRequest* request,
                                     v1::Agent* response) override {
    return rpc::ServeUnary(calls_, "bulkhead.agent.v1.AgentService/GetAgent", context, request, response,
                           [this](const rpc::CallContext& call,
                                  const v1::GetAgentRequest& request) -> Awaitable<absl::StatusOr<v1::Agent>> {
                             CO_ASSIGN_OR_RETURN(std::string name, ParseAgentName(request.name()));
                             co_return catalog_->Get(*call.user, name);
                           });
  }

  grpc::ServerUnaryReactor* ListAgents(grpc::CallbackServerContext* context, const v1::ListAgentsRequest* request,
                                       v1::ListAgentsResponse* response) override {
    return rpc::ServeUnary(
        calls_, "bulkhead.agent.v1.AgentService/ListAgents", context, request, response,
        [this](const rpc::CallContext& call, const v1::ListAgentsRequest& request)
            -> Awaitable<absl::StatusOr<v1::ListAgentsResponse>> { co_return catalog_->List(*call.user, request); });
  }

  grpc::ServerUnaryReactor* CreateAgent(grpc::CallbackServerContext* context, const v1::CreateAgentRequest* request,
                                        v1::Agent* response) override {
    return rpc::ServeUnary(calls_, "bulkhead.agent.v1.AgentService/CreateAgent", context, request, response,
                           [this](const rpc::CallContext& call, const v1::CreateAgentRequest& request)
                               -> Awaitable<absl::StatusOr<v1::Agent>> { return catalog_->Create(call, request); });
  }

  grpc::ServerUnaryReactor* UpdateAgent(grpc::CallbackServerContext* context, const v1::UpdateAgentRequest* request,
                                        v1::Agent* response) override {
    return rpc::ServeUnary(calls_, "bulkhead.agent.v1.AgentService/UpdateAgent", context, request, response,
                           [this](const rpc::CallContext& call, const v1::UpdateAgentRequest& request)
                               -> Awaitable<absl::StatusOr<v1::Agent>> { return catalog_->Update(call, request); });
  }

  grpc::ServerUnaryReactor* DeleteAgent(grpc::CallbackServerContext* context, const v1::DeleteAgentRequest* request,
                                        Empty* response) override {
    return rpc::ServeUnary(calls_, "bulkhead.agent.v1.AgentService/DeleteAgent", context, request, response,
                           [this](const rpc::CallContext& call,
                                  const v1::DeleteAgentRequest& request) -> Awaitable<absl::StatusOr<Empty>> {
                             CO_ASSIGN_OR_RETURN(std::string name, ParseAgentName(request.name()));
                             CO_RETURN_IF_ERROR(co_await catalog_->Delete(call, std::move(name)));
                             co_return Empty();
                           });
  }

 private:
  const rpc::ServerDependencies calls_;
  const AgentCatalog* const catalog_;
};

}  // namespace

std::unique_ptr<grpc::Service> CreateRegistryService(rpc::ServerDependencies calls, const AgentCatalog* catalog) {
  return std::make_unique<RegistryService>(calls, catalog);
}

}  // namespace bulkhead::agent
