// Threads as the command line names them.
#ifndef SERVICES_BULKHEAD_CLI_THREAD_NAMES_H_
#define SERVICES_BULKHEAD_CLI_THREAD_NAMES_H_

#include <string>
#include <string_view>
#include <vector>

#include "services/bulkhead/cli/session.h"

namespace bulkhead::cli {

// What may stand behind --busy.
std::vector<std::string> BusyPolicies();

// "BUSY_POLICY_CANCEL_AND_REPLACE" of "replace"; `policy` is one of BusyPolicies.
std::string BusyPolicyOf(std::string_view policy);
// The other way round: "refuse" of a thread that has none of its own.
std::string BusyPolicyText(std::string_view value);

// "users/u/threads/t" of a name or of its last part.
std::string ThreadName(const Session& session, const std::string& thread);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_THREAD_NAMES_H_
