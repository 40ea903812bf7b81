// What the store's transactions are made of. Each function takes part in the transaction of its
// connection; errors are those of storage, and with domain bulkhead.agent as named.
#ifndef SERVICES_AGENT_RUN_STATEMENTS_H_
#define SERVICES_AGENT_RUN_STATEMENTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/agent/run_changes.h"
#include "services/agent/run_record.h"
#include "services/agent/run_state.h"
#include "services/common/storage/connection.h"

namespace bulkhead::agent {

// A refusal about one run.
absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view message, std::string_view run);
absl::Status RunNotFound(std::string_view id);
absl::Status RunEnded(const RunRecord& run);
absl::Status RunFenced(int64_t key);

// The run of the query, or nullopt. `where` follows WHERE.
absl::StatusOr<std::optional<RunRecord>> FindRun(storage::Connection& connection, std::string_view where,
                                                 std::vector<storage::Value> values);
// NOT_FOUND `RUN_NOT_FOUND`.
absl::StatusOr<RunRecord> OwnRun(storage::Connection& connection, const std::string& owner, const std::string& id);
// The run of `owner.key` that may be written under `owner.epoch`. ABORTED `RUN_FENCED`.
absl::StatusOr<RunRecord> OwnedRun(storage::Connection& connection, Ownership owner);

// The only place that changes a state.
absl::Status SetState(storage::Connection& connection, RunRecord& run, RunState to);
// Numbers the events and puts them into the outbox.
absl::Status AddEvents(storage::Connection& connection, const RunRecord& run, std::vector<std::string> events);
// Puts events into the outbox whose numbers follow `last` and are taken already.
absl::Status SendEvents(storage::Connection& connection, std::string_view run_id, int64_t last,
                        std::vector<std::string> events);

// With its journal and its approvals.
absl::Status DeleteRun(storage::Connection& connection, int64_t key);

absl::Status AddRecord(storage::Connection& connection, int64_t run, const JournalRecord& record);
absl::StatusOr<std::vector<JournalRecord>> ReadJournal(storage::Connection& connection, int64_t run);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_STATEMENTS_H_
