// The agent service: runs, the engine that executes them, the registry of agents, the relay of
// events to the notifier.
#ifndef SERVICES_AGENT_AGENT_SERVICE_H_
#define SERVICES_AGENT_AGENT_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/agent/agent.h"
#include "services/agent/models/model_endpoint.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Channel;
class Service;
}  // namespace grpc

namespace bulkhead::agent {

// Thread-safe.
class AgentServer {
 public:
  struct Options {
    std::string data_dir;  // Holds agent.db.
    int max_running_per_user = 4;
    int max_waiting_per_user = 100;
    int max_running = 64;
    int max_steps_per_run = 10'000;
    uint64_t max_journal_bytes_per_run = uint64_t{256} << 20;
    std::map<std::string, int, std::less<>> role_weights;  // See RunEngine::Options.
    int max_threads_per_user = 1000;
    uint64_t max_heap_bytes_per_run = uint64_t{1} << 30;  // See RunEngine::Options, also for the next.
    size_t max_waiting_in_memory = 1000;
    absl::Duration run_timeout = absl::Hours(1);
    absl::Duration cancel_grace = absl::Seconds(10);
    absl::Duration unresponsive_after = absl::Seconds(30);  // See RunEngine::Options.
    absl::Duration run_retention = absl::ZeroDuration();    // Of ended runs; zero keeps them.
    std::vector<ModelEndpoint> models;
    int64_t max_model_tokens_per_run = 1'000'000;
    int64_t max_model_tokens_per_day = 10'000'000;  // Of one user, in any 24 hours.
    bool durable = true;                            // See storage::Database::Options.
  };

  // All pointers outlive the server.
  struct Dependencies {
    rpc::ServerDependencies rpc;
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    Executor* executor = nullptr;
    BlockingPool* blocking = nullptr;
    const crypto::Sealer* sealer = nullptr;  // Run tokens at rest.
    std::shared_ptr<grpc::Channel> auth_channel;
    std::shared_ptr<grpc::Channel> tool_channel;
    std::shared_ptr<grpc::Channel> notifier_channel;
    Secret service_secret;
    // Beside the built-in ones.
    std::vector<AgentFactory> extra_agents;
    // Faults of the storage, see storage::Database::Options.
    std::function<absl::Status(int64_t)> before_commit;
  };

  // INVALID_ARGUMENT `AGENT_INVALID`, `AGENT_OPTIONS_INVALID`; and what opening the storage may
  // answer.
  static absl::StatusOr<std::unique_ptr<AgentServer>> Create(Options options, Dependencies dependencies);
  // Without Shutdown it is a crash: see Abandon.
  ~AgentServer();

  std::vector<grpc::Service*> services();
  // Takes up the runs that have not ended, and relays the events that have not left.
  absl::Status Start();
  // Lets tool calls end for a moment, hands the rest to the next Start. Idempotent.
  void Shutdown();

  // As a crash: nothing more is written, and the next Start goes on from the journals. Before the
  // services that runs call are ended, whose errors would else be written down as results.
  void Abandon();

  // See RunEngine: before the orderly end of all that Shutdown needs.
  void ReleaseThreads();

  // After Shutdown: the runs, "users/ada/runs/run-1", whose agents hold threads of the executor.
  std::vector<std::string> held_runs() const;

  // Agents' instances that exist.
  int live_instances() const;

 private:
  struct State;
  explicit AgentServer(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_AGENT_SERVICE_H_
