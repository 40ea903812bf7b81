// The notifier as one part: the event log, its hub, and their gRPC service.
#ifndef SERVICES_NOTIFIER_NOTIFIER_SERVICE_H_
#define SERVICES_NOTIFIER_NOTIFIER_SERVICE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Service;
}

namespace bulkhead::notifier {

// Create, register services() with a server, Start, and in the end Shutdown.
class NotifierServer {
 public:
  struct Options {
    std::string data_dir;  // For notifier.db; "" keeps the log in memory.
    // Events older than this are trimmed; zero keeps them for ever.
    absl::Duration retention = absl::ZeroDuration();
    // How much may wait for one subscriber before it is served from the log.
    size_t subscriber_queue_bytes = 1 << 20;
  };
  // All pointers outlive the server.
  struct Dependencies {
    rpc::ServerDependencies rpc;
    Clock* clock = nullptr;
    Executor* executor = nullptr;
  };

  // INVALID_ARGUMENT `NOTIFIER_OPTIONS_INVALID` for a negative retention or an empty queue; and what the storage answers.
  static absl::StatusOr<std::unique_ptr<NotifierServer>> Create(Options options, Dependencies dependencies);
  ~NotifierServer();  // Shuts down.

  std::vector<grpc::Service*> services();
  // Begins to trim.
  absl::Status Start();
  // Ends subscriptions (UNAVAILABLE `NOTIFIER_SHUTTING_DOWN`: subscribe again, with the cursor) and the trimming. Idempotent.
  void Shutdown();

 private:
  struct State;
  explicit NotifierServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace bulkhead::notifier

#endif  // SERVICES_NOTIFIER_NOTIFIER_SERVICE_H_
