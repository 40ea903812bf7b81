// FileService of bulkhead.tool.v1 over the workspaces.
#ifndef SERVICES_TOOL_FILE_SERVICE_H_
#define SERVICES_TOOL_FILE_SERVICE_H_

#include <memory>

#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/executor.h"
#include "services/tool/workspace.h"

namespace grpc {
class Service;
}

namespace bulkhead::tool {

// All pointers outlive the service.
std::unique_ptr<grpc::Service> CreateFileService(rpc::ServerDependencies calls, Workspaces* workspaces,
                                                 BlockingPool* blocking);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_FILE_SERVICE_H_
