#include "services/agent/thread_admission.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/agent/run_ending.h"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/agent/thread_turns.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using storage::Connection;
using storage::Row;

absl::StatusOr<BusyPolicy> PolicyOf(Connection& connection, const RunRecord& run) {
  std::optional<BusyPolicy> policy;
  RETURN_IF_ERROR(connection.Query("SELECT busy_policy FROM threads WHERE owner = ? AND id = ?",
                                   {run.owner, run.thread}, [&policy](const Row& row) {
                                     policy = static_cast<BusyPolicy>(row.Int(0));
                                     return absl::OkStatus();
                                   }));
  if (!policy.has_value()) {
    return ThreadNotFound(run.thread);
  }
  return *policy;
}

absl::Status HoldBack(Connection& connection, const RunRecord& run, std::vector<RunRecord> others,
                      Displaced& displaced) {
  for (RunRecord& other : others) {
    // One that is held back already stays so until whoever did it lets it go.
    if (other.state == RunState::kCancelling || other.interrupt_time.has_value()) {
      continue;
    }
    other.interrupt_time = run.create_time;
    other.held_by = run.id;
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE runs SET interrupt_time = ?, held_by = ? WHERE key = ?",
                                 {Micros(run.create_time), run.id, other.key})
                        .status());
    RETURN_IF_ERROR(AddEvents(connection, other, {RunEvents(other).Interrupted(run.create_time, run.name())}));
    displaced.held_back.push_back(std::move(other));
  }
  return absl::OkStatus();
}

absl::Status CancelAll(Connection& connection, const RunRecord& run, const std::vector<RunRecord>& others,
                       Displaced& displaced) {
  for (const RunRecord& listed : others) {
    // The end of one may have changed the next.
    ASSIGN_OR_RETURN(RunRecord other, OwnRun(connection, run.owner, listed.id));
    if (other.state == RunState::kCancelling) {
      continue;
    }
    RETURN_IF_ERROR(
        connection
            .Execute("UPDATE runs SET cancelled_by = ?, cancel_comment = ? WHERE key = ?",
                     {absl::StrCat("users/", run.owner), absl::StrCat("replaced by ", run.name()), other.key})
            .status());
    RETURN_IF_ERROR(other.state == RunState::kPending
                        ? EndRun(connection, other, {.state = RunState::kCancelled, .time = run.create_time})
                        : SetState(connection, other, RunState::kCancelling));
    displaced.cancelled.push_back(std::move(other));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AdmitToThread(Connection& connection, RunRecord& run, BusyPolicy wanted, Displaced& displaced) {
  ASSIGN_OR_RETURN(const BusyPolicy own, PolicyOf(connection, run));
  ASSIGN_OR_RETURN(std::vector<RunRecord> others, UnfinishedRunsOf(connection, run.owner, run.thread));
  if (others.empty()) {
    return absl::OkStatus();
  }
  switch (wanted == BusyPolicy::kUnspecified ? own : wanted) {
    case BusyPolicy::kUnspecified:
    case BusyPolicy::kRefuse: {
      auto goes = std::ranges::find_if(others, [](const RunRecord& other) { return other.held_by.empty(); });
      return ThreadBusy(run.thread, goes == others.end() ? others.front() : *goes);
    }
    case BusyPolicy::kQueue:
      run.waits_for = others.back().id;
      return absl::OkStatus();
    case BusyPolicy::kInterrupt:
      return HoldBack(connection, run, std::move(others), displaced);
    case BusyPolicy::kCancelAndReplace: {
      RETURN_IF_ERROR(CancelAll(connection, run, others, displaced));
      ASSIGN_OR_RETURN(others, UnfinishedRunsOf(connection, run.owner, run.thread));
      run.waits_for = others.empty() ? "" : others.back().id;
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::agent
