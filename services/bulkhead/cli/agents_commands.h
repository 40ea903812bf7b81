// The commands that list, show, make, change and check agents.
#ifndef SERVICES_BULKHEAD_CLI_AGENTS_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_AGENTS_COMMANDS_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

// `agent` is a name or its last part; `file` as ReadDefinition takes it. A definition that the server refuses is AGENT_INVALID, with every problem.
absl::Status ListAgents(const RemoteContext& context, int limit);
absl::Status ShowAgent(const RemoteContext& context, const std::string& agent);
absl::Status CreateAgent(const RemoteContext& context, const std::string& file);
// A file without an etag replaces whatever version is there.
absl::Status UpdateAgent(const RemoteContext& context, const std::string& file);
absl::Status DeleteAgent(const RemoteContext& context, const std::string& agent);
// Whether it would be accepted, as a new agent or as the next version of one that is there.
absl::Status CheckAgent(const RemoteContext& context, const std::string& file);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_AGENTS_COMMANDS_H_
