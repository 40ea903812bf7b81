// Which tools a user may call, as the registry of agents asks for it.
#ifndef SERVICES_AGENT_TOOL_DIRECTORY_H_
#define SERVICES_AGENT_TOOL_DIRECTORY_H_

#include "absl/status/statusor.h"
#include "services/agent/plans/plan_types.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::agent {

// Thread-safe.
class ToolDirectory {
 public:
  virtual ~ToolDirectory() = default;
  // The tools of the caller. Answers within seconds, whatever the tool service does: UNAVAILABLE `AGENT_TOOLS_UNAVAILABLE`.
  virtual Awaitable<absl::StatusOr<ToolCatalog>> ToolsOf(rpc::CallContext call) = 0;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_TOOL_DIRECTORY_H_
