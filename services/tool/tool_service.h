// The tool service: the one entry for whoever composes a platform.
#ifndef SERVICES_TOOL_TOOL_SERVICE_H_
#define SERVICES_TOOL_TOOL_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"
#include "services/tool/tool.h"

namespace grpc {
class Service;
}

namespace bulkhead::tool {

// Serves ToolService and FileService of bulkhead.tool.v1.
class ToolServer {
 public:
  struct Options {
    // tool.db, workspaces/<user> and tables/<user>.db are made below.
    std::string data_dir;
    // How long a tool may take when it declares no time-out, and at most.
    absl::Duration max_timeout = absl::Minutes(10);
    // How long a tool may take to stop when told to, before its call ends without it.
    absl::Duration cut_off_grace = absl::Seconds(2);
    // The largest input or output of a tool.
    uint64_t max_message_bytes = 4 << 20;
    // What one user may store: in files, and again in tables.
    uint64_t max_workspace_bytes = uint64_t{16} << 30;
    int max_calls_per_minute = 1200;
    int max_concurrent_calls = 32;
    // False: a power cut may lose the last results; a crash of the process may not.
    bool durable = true;
  };
  // All pointers outlive the server.
  struct Dependencies {
    rpc::ServerDependencies rpc;
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    Executor* executor = nullptr;
    BlockingPool* blocking = nullptr;
    // Of their own, so that tools, which may take long, keep nobody from his files or from signing in.
    BlockingPool* tool_threads = nullptr;
    // Besides the built-in ones, for everyone or for the owner that their spec names.
    std::vector<std::shared_ptr<Tool>> extra_tools;
  };

  // Opens the data and registers the tools. Errors: those of storage, and INVALID_ARGUMENT
  // `TOOL_INVALID` for an extra tool.
  static absl::StatusOr<std::unique_ptr<ToolServer>> Create(Options options, Dependencies dependencies);
  ~ToolServer();

  // To register on one grpc::Server.
  std::vector<grpc::Service*> services();

  // When all services listen.
  absl::Status Start();

  // Refuses new calls, stops the tools that run and waits for them, a few seconds at most.
  // Idempotent.
  void Shutdown();

 private:
  struct State;
  explicit ToolServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TOOL_SERVICE_H_
