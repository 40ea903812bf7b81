// The commands about sessions: one's own, and for administrators those of others.
#ifndef SERVICES_BULKHEAD_CLI_SESSIONS_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_SESSIONS_COMMANDS_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

// `user` as in UserPath; "" is the caller.
absl::Status ListSessions(const RemoteContext& context, const std::string& user, int limit);
// `session` is an id, or "users/{user}/sessions/{id}".
absl::Status RevokeSession(const RemoteContext& context, const std::string& user, const std::string& session);
absl::Status RevokeAllSessions(const RemoteContext& context, const std::string& user, bool keep_current);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_SESSIONS_COMMANDS_H_
