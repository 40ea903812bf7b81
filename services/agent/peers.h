// The services that runs need, as plain interfaces: the engine knows no gRPC.
#ifndef SERVICES_AGENT_PEERS_H_
#define SERVICES_AGENT_PEERS_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/run_store.h"
#include "services/common/crypto/secret.h"
#include "services/common/identity/token.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::agent {

// How a tool may be repeated. The numbers are those of bulkhead.tool.v1.RepeatPolicy; they are
// journalled.
enum class RepeatPolicy { kSafe = 1, kIdempotent = 2, kAtMostOnce = 3 };

// On whose behalf a run calls.
struct RunIdentity {
  std::shared_ptr<const RawToken> token;  // The run token.
  std::string traceparent;
  std::string thread;  // The id of the run's conversation, or "".
  std::stop_token stop;
  absl::Duration timeout;  // Real time: no call outlasts the run.
};

struct ToolCall {
  std::string tool;  // "table.load"
  nlohmann::json input;
  std::string request_id;  // The idempotency key.
  // The checks have passed and the tool runs. An error cancels the call and is its result. Called
  // on the calling coroutine, like the next.
  std::function<Awaitable<absl::Status>()> on_accepted;
  std::function<void(double fraction, std::string_view message)> on_progress;
};

struct ToolResult {
  nlohmann::json output;
  std::vector<std::string> artifacts;
};

// Thread-safe. Errors are the tool service's, or `bulkhead.rpc`'s when it cannot be reached.
class ToolClient {
 public:
  virtual ~ToolClient() = default;
  virtual Awaitable<absl::StatusOr<RepeatPolicy>> PolicyOf(RunIdentity identity, std::string tool) = 0;
  virtual Awaitable<absl::StatusOr<ToolDescription>> Describe(RunIdentity identity, std::string tool) = 0;
  virtual Awaitable<absl::StatusOr<ToolResult>> Invoke(RunIdentity identity, ToolCall call) = 0;
};

// Runs that runs start. Thread-safe.
class ChildRuns {
 public:
  virtual ~ChildRuns() = default;
  // The child of `parent` under this request id, which the first call makes. Errors as CreateRun's, and
  // RESOURCE_EXHAUSTED `CHILD_RUNS_TOO_DEEP`.
  virtual Awaitable<absl::StatusOr<RunRecord>> StartChild(RunRecord parent, std::shared_ptr<const RawToken> token,
                                                          std::string agent, nlohmann::json input,
                                                          std::string request_id) = 0;
  // Asks it to end, unless it has.
  virtual Awaitable<void> CancelChild(std::string owner, std::string child, std::string comment) = 0;
};

// RFC 8693 at the auth service. Thread-safe.
class TokenExchange {
 public:
  virtual ~TokenExchange() = default;
  // A run token for `run` ("users/u/runs/r"), out of the access token of its user.
  virtual Awaitable<absl::StatusOr<Secret>> Exchange(std::shared_ptr<const RawToken> subject, std::string run,
                                                     absl::Duration lifetime) = 0;
};

// The way to the notifier. Thread-safe.
class EventPublisher {
 public:
  virtual ~EventPublisher() = default;
  // All or nothing; publishing again changes nothing.
  virtual Awaitable<absl::Status> Publish(std::vector<OutboxEntry> entries, std::stop_token stop) = 0;
  // Best effort, without a number; see run_events.h for `event`.
  virtual void PublishTransient(std::string event) = 0;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PEERS_H_
