// The commands about what runs ask.
#ifndef SERVICES_BULKHEAD_CLI_APPROVALS_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_APPROVALS_COMMANDS_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

struct Verdict {
  bool allow = false;
  std::string comment;
  std::string arguments;  // With `allow`: JSON of those to use instead; "" leaves them.
};

// What waits for a decision: of a run, a name or an id, or of all of the user's when `run` is "".
absl::Status ListApprovals(const RemoteContext& context, const std::string& run);

// `what`: the name of an approval, or a run that asks one thing. INVALID_ARGUMENT `INPUT_INVALID` when it asks more, or when the arguments are no
// JSON object; NOT_FOUND `NOTHING_ASKED` when it asks nothing.
absl::Status Decide(const RemoteContext& context, const std::string& what, const Verdict& verdict);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_APPROVALS_COMMANDS_H_
