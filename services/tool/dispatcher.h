// Calls tools: the one way from a request to a result.
#ifndef SERVICES_TOOL_DISPATCHER_H_
#define SERVICES_TOOL_DISPATCHER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"
#include "services/tool/quota.h"
#include "services/tool/registry.h"
#include "services/tool/tool.h"
#include "services/tool/tool_store.h"
#include "services/tool/workspace.h"

namespace bulkhead::tool {

struct CallRequest {
  std::string tool;
  nlohmann::json input;
  std::string request_id;  // "" is never repeated.
  absl::Duration timeout;  // Zero: the tool's.
};

struct AcceptedCall {
  std::string invocation;
  std::string tool_version;
  RepeatPolicy repeat_policy = RepeatPolicy::kSafe;
};

struct ProgressReport {
  double fraction = -1;
  std::string message;
};

struct FinishedCall {
  std::string invocation;
  std::string tool;
  nlohmann::json output;
  std::vector<std::string> artifacts;  // Paths in the user's workspace.
  absl::Duration duration;
  bool repeated = false;
};

// Hears of a call before its end. A slow one slows nothing but itself: reports of progress are
// dropped then.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual Awaitable<void> OnAccepted(AcceptedCall accepted) = 0;
  virtual Awaitable<void> OnProgress(ProgressReport progress) = 0;
};

// Thread-safe.
//
// The order of a call: the tool is there for this user; its input fits the schema; no result is
// stored and no call runs under the same request id; the quota has room; accepted; the tool runs
// until its end, its time-out, or until nobody wants it any more; its output fits the schema and
// the size; the result is stored. (That the caller may call the tool at all, the edge of the
// service has checked before.)
//
// A tool that goes on after its time is told to stop, and given a grace; then the call ends without
// it. Until it ends by itself it still counts for its user's quota and holds its request id, and
// what it returns is discarded and logged.
class Dispatcher {
 public:
  struct Options {
    absl::Duration max_timeout = absl::Minutes(10);
    absl::Duration cut_off_grace = absl::Seconds(2);
    uint64_t max_message_bytes = 4 << 20;
    // How long a result is kept for repeated calls.
    absl::Duration result_retention = absl::Hours(7 * 24);
    Quota::Options quota;
  };
  // All outlive the dispatcher.
  struct Dependencies {
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    Executor* executor = nullptr;
    BlockingPool* blocking = nullptr;      // For what is short.
    BlockingPool* tool_threads = nullptr;  // For tools.
    const Registry* registry = nullptr;
    const ToolStore* store = nullptr;
    Workspaces* workspaces = nullptr;
  };

  Dispatcher(Options options, Dependencies dependencies);
  ~Dispatcher();

  // Errors: domain bulkhead.tool, as ToolService.InvokeTool documents them; a tool's own go
  // through. `observer` lives until the end.
  Awaitable<absl::StatusOr<FinishedCall>> Dispatch(UserContext user, CallRequest request, std::stop_token stop,
                                                   CallObserver* observer);

  // Refuses new calls with UNAVAILABLE `TOOL_SERVICE_STOPPING`, tells those that run to stop, and
  // waits for their end, at most `limit` of real time. DEADLINE_EXCEEDED `TOOLS_STILL_RUNNING`
  // names how many go on.
  absl::Status Shutdown(absl::Duration limit);

  // Tools that run now, those that were cut off included.
  size_t running() const;

 private:
  class Running;
  class Books;

  Awaitable<absl::StatusOr<FinishedCall>> RunAccepted(UserContext user, CallRequest request,
                                                      std::shared_ptr<const RegisteredTool> tool, std::string digest,
                                                      std::stop_token stop, CallObserver* observer,
                                                      std::shared_ptr<void> claim);
  absl::Status CheckInput(const RegisteredTool& tool, const CallRequest& request) const;
  absl::Status CheckOutput(const RegisteredTool& tool, const nlohmann::json& output) const;
  static Awaitable<void> RunTool(std::shared_ptr<Running> running, std::shared_ptr<void> until_tool_ends);

  const Options options_;
  const Dependencies dependencies_;
  // Outlives the dispatcher when a tool that was cut off does.
  const std::shared_ptr<Books> books_;
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_DISPATCHER_H_
