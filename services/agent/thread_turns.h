// Which run of a thread goes when. Each function takes part in the transaction of its connection; errors are those of
// storage, and with domain bulkhead.agent as named.
//
// A run that waits names the run before it (`waits_for`), a run that a newer one holds back names that one (`held_by`):
// both are unfinished runs of the thread, so the end of each is where others go on.
#ifndef SERVICES_AGENT_THREAD_TURNS_H_
#define SERVICES_AGENT_THREAD_TURNS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/agent/run_record.h"
#include "services/common/storage/connection.h"

namespace bulkhead::agent {

// NOT_FOUND `THREAD_NOT_FOUND`.
absl::Status ThreadNotFound(std::string_view id);
// FAILED_PRECONDITION `THREAD_BUSY` (metadata: thread, run). `run` is what it is busy with.
absl::Status ThreadBusy(std::string_view thread, const RunRecord& run);

// The runs of the thread that have not ended, in the order in which they were made.
absl::StatusOr<std::vector<RunRecord>> UnfinishedRunsOf(storage::Connection& connection, const std::string& owner,
                                                        const std::string& thread);

// `ended` has just ended; its `held_by` is as it was before. Runs that it held back go on, or are held back by what held
// it back, or would do so now: a run that came in while `ended` was held by its user. The run that waited for it waits for the one before, or
// for none.
absl::Status PassOnTurn(storage::Connection& connection, const RunRecord& ended, absl::Time now);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_THREAD_TURNS_H_
