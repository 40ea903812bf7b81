// How a run ends in the store.
#ifndef SERVICES_AGENT_RUN_ENDING_H_
#define SERVICES_AGENT_RUN_ENDING_H_

#include "absl/status/status.h"
#include "services/agent/run_changes.h"
#include "services/agent/run_record.h"
#include "services/common/storage/connection.h"

namespace bulkhead::agent {

// Takes part in the transaction of `connection`: closes open calls and approvals, writes the
// terminal state and its event, drops the run's token, and lets others of its thread go on. `run` has the new state then.
absl::Status EndRun(storage::Connection& connection, RunRecord& run, const Ending& ending);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_ENDING_H_
