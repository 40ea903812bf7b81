// AgentService over gRPC.
#ifndef SERVICES_AGENT_REGISTRY_SERVICE_H_
#define SERVICES_AGENT_REGISTRY_SERVICE_H_

#include <memory>

#include "services/agent/agent_catalog.h"
#include "services/common/rpc/server_dependencies.h"

namespace grpc {
class Service;
}

namespace bulkhead::agent {

// `catalog` outlives the service.
std::unique_ptr<grpc::Service> CreateRegistryService(rpc::ServerDependencies calls, const AgentCatalog* catalog);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_REGISTRY_SERVICE_H_
