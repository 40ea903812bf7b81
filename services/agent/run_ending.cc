#include "services/agent/run_ending.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/agent/thread_turns.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {

using storage::Connection;
using storage::Row;
using storage::Value;

namespace {

// Calls of tools and models, and child runs, that are executing and have no result: each tool_executing needs its
// tool_completed before the terminal event.
absl::StatusOr<std::vector<std::string>> CloseOpenCalls(Connection& connection, const RunRecord& run,
                                                        const RunEvents& events, const RunError& why, absl::Time now) {
  std::vector<std::string> closing;
  RETURN_IF_ERROR(connection.Query(
      "SELECT step, payload FROM journal AS opened WHERE run = ?1 AND kind = 2 AND NOT EXISTS "
      "(SELECT 1 FROM journal AS done WHERE done.run = ?1 AND done.path = opened.path AND "
      "done.kind = 3) ORDER BY key",
      {run.key}, [&](const Row& row) {
        nlohmann::json opened = nlohmann::json::parse(row.Text(1), nullptr, /*allow_exceptions=*/false);
        absl::Time since = now;
        std::string tool;
        if (opened.is_object()) {
          tool = opened.value("tool", "");
          since = absl::FromUnixMicros(opened.value("since", Micros(now)));
        }
        if (opened.is_object() && opened.contains("child")) {
          const std::string child = absl::StrCat("users/", run.owner, "/runs/", opened.value("child", ""));
          closing.push_back(events.ChildEnded(now, static_cast<int>(row.Int(0)), child, now - since, why));
          return absl::OkStatus();
        }
        if (opened.is_object() && opened.contains("model")) {
          closing.push_back(events.ModelCompleted(now, static_cast<int>(row.Int(0)), opened.value("model", ""),
                                                  now - since, 0, 0, why));
          return absl::OkStatus();
        }
        closing.push_back(events.ToolCompleted(now, static_cast<int>(row.Int(0)), tool, now - since, why, {}));
        return absl::OkStatus();
      }));
  return closing;
}

// Who or what cancelled a run, and why.
struct Cancelling {
  std::string by;
  std::string comment;
  std::string reason;  // Of the revocation that did it; "" when a person did.
};

absl::StatusOr<Cancelling> CancellingOf(Connection& connection, const RunRecord& run) {
  Cancelling cancelling;
  RETURN_IF_ERROR(connection.Query("SELECT cancelled_by, cancel_comment, cancel_reason FROM runs WHERE key = ?",
                                   {run.key}, [&](const Row& row) {
                                     cancelling = {.by = row.Text(0), .comment = row.Text(1), .reason = row.Text(2)};
                                     return absl::OkStatus();
                                   }));
  return cancelling;
}

RunError CancelledError(const RunRecord& run, const Cancelling& cancelling) {
  RunError error{.reason = "RUN_CANCELLED",
                 .message = "the run was cancelled",
                 .domain = "bulkhead.agent",
                 .metadata = {{"run", run.id}}};
  if (!cancelling.reason.empty()) {
    error.message = "the run was cancelled: what it was started with has been revoked";
    error.metadata["cause"] = cancelling.reason;
  }
  return error;
}

}  // namespace

absl::Status EndRun(Connection& connection, RunRecord& run, const Ending& ending) {
  const RunState to = run.state == RunState::kCancelling ? RunState::kCancelled : ending.state;
  RETURN_IF_ERROR(SetState(connection, run, to));
  run.end_time = ending.time;
  run.interrupt_time.reset();
  run.waits_for.clear();
  if (ending.timing.has_value()) {
    run.timing = *ending.timing;
  } else {
    // Nobody counts any more: what is missing was waiting, or an agent that did not end.
    const absl::Duration missing = ending.time - run.create_time - run.timing.Total();
    (run.start_time.has_value() ? run.timing.agent : run.timing.queued) += std::max(missing, absl::ZeroDuration());
  }
  ASSIGN_OR_RETURN(const Cancelling cancelling, CancellingOf(connection, run));
  if (to == RunState::kSucceeded) {
    run.answer = ending.answer;
  } else {
    run.error = to == RunState::kCancelled ? CancelledError(run, cancelling)
                                           : ending.error.value_or(RunError{.reason = "UNSPECIFIED_ERROR",
                                                                            .message = "the run failed",
                                                                            .domain = "bulkhead.agent",
                                                                            .metadata = {}});
  }
  // The token has done its work; nothing of an ended run may act for its user.
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE run_progress SET epoch = epoch + 1, timing = ? WHERE run = ?",
                               {TimingText(run.timing), run.key})
                      .status());
  RETURN_IF_ERROR(
      connection
          .Execute("UPDATE runs SET end_time = ?, answer = ?, error = ?, interrupt_time = NULL, waits_for = '', "
                   "held_by = '', sealed_token = x'' WHERE key = ?",
                   {Micros(ending.time), MaybeText(run.answer),
                    run.error.has_value() ? Value(ErrorText(*run.error)) : Value(nullptr), run.key})
          .status());
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE approvals SET verdict = 3, decide_time = ? WHERE run = ? AND verdict = 0",
                               {Micros(ending.time), run.key})
                      .status());

  const RunEvents events(run);
  const absl::Duration duration = ending.time - run.start_time.value_or(ending.time);
  const RunError why = run.error.value_or(RunError{
      .reason = "RUN_ENDED", .message = "the run ended before the call", .domain = "bulkhead.agent", .metadata = {}});
  ASSIGN_OR_RETURN(std::vector<std::string> out, CloseOpenCalls(connection, run, events, why, ending.time));
  if (to == RunState::kSucceeded) {
    out.push_back(events.Completed(ending.time, ending.summary, ending.artifacts, duration, run.timing));
  } else if (to == RunState::kCancelled) {
    out.push_back(
        events.Cancelled(ending.time, cancelling.by, cancelling.comment, cancelling.reason, duration, run.timing));
  } else {
    out.push_back(events.Failed(ending.time, *run.error, duration, run.timing));
  }
  RETURN_IF_ERROR(AddEvents(connection, run, std::move(out)));
  RETURN_IF_ERROR(PassOnTurn(connection, run, ending.time));
  run.held_by.clear();
  return absl::OkStatus();
}

}  // namespace bulkhead::agent
