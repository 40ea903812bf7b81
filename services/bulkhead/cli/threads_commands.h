// The commands about conversations.
#ifndef SERVICES_BULKHEAD_CLI_THREADS_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_THREADS_COMMANDS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

struct ThreadOptions {
  std::optional<std::string> title;
  std::optional<std::string> busy;  // One of BusyPolicies.
  std::string request_id;           // Of a new one; "" makes none.
};

// THREAD is a name or an id. Each command prints its result and returns how it went.
absl::Status ListThreads(const RemoteContext& context, int limit);
absl::Status CreateThread(const RemoteContext& context, const ThreadOptions& options);
// With its runs, newest first, at most `limit`.
absl::Status ShowThread(const RemoteContext& context, const std::string& thread, int limit);
// What `options` names. INVALID_ARGUMENT `INPUT_INVALID` when that is nothing.
absl::Status UpdateThread(const RemoteContext& context, const std::string& thread, const ThreadOptions& options);
absl::Status DeleteThread(const RemoteContext& context, const std::string& thread);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_THREADS_COMMANDS_H_
