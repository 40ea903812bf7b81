// All services in one process.
#ifndef SERVICES_BULKHEAD_PLATFORM_H_
#define SERVICES_BULKHEAD_PLATFORM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/client_interceptor.h"
#include "services/agent/agent.h"
#include "services/common/config/environment.h"
#include "services/common/crypto/secret.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"
#include "services/tool/tool.h"

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead {

// How the services reach each other. Both run the same code; each service has a gRPC server, a verifier and a key
// source of its own either way.
enum class Transport {
  kInProcess,    // gRPC's in-process channels.
  kLoopbackTcp,  // Sockets on 127.0.0.1, as separate processes would.
};

// Builds auth, tool, notifier and agent, then the gateway, on one data folder, and ends them in the reverse order.
// Create and Shutdown are for one thread; the rest is thread-safe.
class Platform {
 public:
  using Interceptors = std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;

  struct Options {
    std::string data_dir;
    Secret sealing_key;  // Of secrets at rest, 32 bytes. Empty takes the one that is kept in data_dir.
    // Where `env:NAME` of the configuration's secrets is looked up.
    config::Environment environment;
    // The login that becomes administrator when it registers; "" for nobody.
    std::string admin_login;
    Transport transport = Transport::kInProcess;
    // False skips fsync: a power cut may lose the last moments, a crash of the process may not.
    bool durable = true;
    // Outlive the platform. Null takes the machine's clock, and random ids.
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    // Beside the built-in ones.
    std::vector<std::shared_ptr<tool::Tool>> extra_tools;
    std::vector<agent::AgentFactory> extra_agents;
    // Called with the number of each commit of the agent service, from 1, before it happens; an error makes that commit
    // fail. Null does nothing.
    std::function<absl::Status(int64_t)> before_commit;
    // Called for each channel between services: where tests break calls. Null intercepts nothing.
    std::function<Interceptors()> client_interceptors;
  };

  // Returns when everything listens and runs that were interrupted have been taken up again. Errors: those of DataDir,
  // of the configuration's secrets, of the services, and UNAVAILABLE `ADDRESS_IN_USE` when the gateway cannot listen.
  static absl::StatusOr<std::unique_ptr<Platform>> Create(Options options, const common::v1::PlatformConfig& config);

  // Without Shutdown this is as near to a crash as one process can come: nothing is drained, runs stay as their journal
  // has them.
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  // Stops taking work, tells connected clients, lets calls end, and at most `limit` of real time later cuts off what is
  // left. Runs that go on are taken up at the next start. DEADLINE_EXCEEDED when something had to be cut off: with
  // `AGENTS_HOLD_THREADS` (metadata `runs`) when agents compute and never await, and so cannot be stopped. Their threads
  // are left behind then, and the process should end without more ado (_exit). Idempotent.
  absl::Status Shutdown(absl::Duration limit);

  // "http://127.0.0.1:8080", with the port that was taken.
  const std::string& url() const;

  // To each service, as another service sees it.
  std::shared_ptr<grpc::Channel> auth_channel() const;
  std::shared_ptr<grpc::Channel> tool_channel() const;
  std::shared_ptr<grpc::Channel> notifier_channel() const;
  std::shared_ptr<grpc::Channel> agent_channel() const;

  // Instances of agents that exist: one a run that executes.
  int live_agent_instances() const;

  // What all of it runs on.
  Executor& executor();

 private:
  struct State;
  explicit Platform(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead

#endif  // SERVICES_BULKHEAD_PLATFORM_H_
