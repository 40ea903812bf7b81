// The commands that speak to a running server.
#ifndef SERVICES_BULKHEAD_CLI_REMOTE_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_REMOTE_COMMANDS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

struct LoginOptions {
  std::string login;            // Asked for at the terminal when empty.
  bool password_stdin = false;  // The first line of standard input, instead of asking at the terminal.
  bool create_account = false;  // Register first.
};

struct RunOptions {
  std::string agent;
  std::string input;       // A JSON object, or "".
  std::string input_file;  // A file that holds one, "-" for standard input, or "".
  std::string request_id;  // "" makes none.
  std::string thread;      // A name or an id, or "".
  std::string busy;        // What BusyPolicyOf takes, or "".
  double timeout_seconds = 0;
  bool detach = false;  // Don't wait for the end.
};

// Each command prints its result and returns how it went; a run that ended without success is FAILED_PRECONDITION
// `RUN_NOT_SUCCEEDED`.
absl::Status Login(const RemoteContext& context, const LoginOptions& options);
absl::Status StartRun(const RemoteContext& context, const RunOptions& options);
// `thread`: its runs only, unless it is "".
absl::Status ListRuns(const RemoteContext& context, const std::string& thread, int limit);
absl::Status ShowRun(const RemoteContext& context, const std::string& run);
absl::Status WatchRun(const RemoteContext& context, const std::string& run, uint64_t after);
absl::Status CancelRun(const RemoteContext& context, const std::string& run, const std::string& comment);
// Holds it back, or lets it go on.
absl::Status InterruptRun(const RemoteContext& context, const std::string& run);
absl::Status ResumeRun(const RemoteContext& context, const std::string& run);
// Starts it again from its input, and follows the new one unless `detach`.
absl::Status RetryRun(const RemoteContext& context, const std::string& run, const std::string& request_id, bool detach);
absl::Status DeleteRun(const RemoteContext& context, const std::string& run);
absl::Status ListTools(const RemoteContext& context, const std::string& query);
absl::Status ShowTool(const RemoteContext& context, const std::string& tool);
absl::Status InvokeTool(const RemoteContext& context, const std::string& tool, const std::string& input,
                        const std::string& input_file);
absl::Status ListFiles(const RemoteContext& context, const std::string& prefix);
absl::Status PutFile(const RemoteContext& context, const std::string& local_file, const std::string& path);
absl::Status GetFile(const RemoteContext& context, const std::string& path, const std::string& local_file);

// One line of a list of runs.
std::string RunLine(const nlohmann::json& run);

// OK when `run` (JSON of agent.v1.Run) has succeeded, else RUN_NOT_SUCCEEDED with the run's own reason and message.
absl::Status OutcomeOf(const nlohmann::json& run);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_REMOTE_COMMANDS_H_
