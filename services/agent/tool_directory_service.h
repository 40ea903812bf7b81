// The directory of tools over gRPC.
#ifndef SERVICES_AGENT_TOOL_DIRECTORY_SERVICE_H_
#define SERVICES_AGENT_TOOL_DIRECTORY_SERVICE_H_

#include <memory>

#include "services/agent/tool_directory.h"

namespace grpc {
class Channel;
}

namespace bulkhead::agent {

std::unique_ptr<ToolDirectory> CreateToolDirectory(std::shared_ptr<grpc::Channel> tool);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_TOOL_DIRECTORY_SERVICE_H_
