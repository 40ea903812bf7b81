#include <utility>

#include "absl/strings/str_cat.h"
#include "services/agent/run_ending.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/agent/run_store.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {

Awaitable<absl::StatusOr<RunRecord>> RunStore::CancelRevokedAcrossUsers(int64_t key, RevokedBy cause,
                                                                        absl::Time now) const {
  RunRecord run;
  absl::Status written = co_await database_->Write([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<RunRecord> found, FindRun(connection, "key = ?", {key}));
    if (!found.has_value()) {
      return RunNotFound(absl::StrCat(key));
    }
    run = *std::move(found);
    if (IsTerminal(run.state)) {
      return RunEnded(run);
    }
    // Nobody answers for a run that has no right to go on, in whichever session.
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE approvals SET verdict = 3, decide_time = ? WHERE run = ? AND verdict = 0",
                                 {Micros(now), run.key})
                        .status());
    if (run.state == RunState::kCancelling) {
      return absl::OkStatus();  // Somebody was faster; the run ends for his reason.
    }
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE runs SET cancelled_by = ?, cancel_reason = ? WHERE key = ?",
                                 {cause.target, cause.reason, run.key})
                        .status());
    if (run.state == RunState::kPending) {
      return EndRun(connection, run, {.state = RunState::kCancelled, .time = now});
    }
    return SetState(connection, run, RunState::kCancelling);
  });
  CO_RETURN_IF_ERROR(written);
  on_outbox_();
  co_return run;
}

}  // namespace bulkhead::agent
