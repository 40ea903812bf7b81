#include "services/agent/thread_turns.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using storage::Connection;
using storage::Row;

// `rest` follows WHERE.
absl::StatusOr<std::vector<RunRecord>> Runs(Connection& connection, std::string_view rest,
                                            std::vector<storage::Value> values) {
  std::vector<RunRecord> runs;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE ", rest), std::move(values),
                                   [&runs](const Row& row) {
                                     runs.push_back(RunOf(row));
                                     return absl::OkStatus();
                                   }));
  return runs;
}

absl::Status ReleaseHeldBack(Connection& connection, const RunRecord& ended, absl::Time now) {
  // The first condition is that of the index, as below.
  ASSIGN_OR_RETURN(std::vector<RunRecord> held, Runs(connection, "held_by <> '' AND held_by = ?", {ended.id}));
  if (held.empty()) {
    return absl::OkStatus();
  }
  std::string holder = ended.held_by;
  if (holder.empty()) {
    // A run that waits for none came in beside `ended` while its user held that back: then it did not hold back what `ended` did.
    RETURN_IF_ERROR(
        connection.Query("SELECT id FROM runs WHERE thread <> '' AND thread = ? AND owner = ? AND state <= 3 AND "
                         "waits_for = '' AND key > ? ORDER BY key LIMIT 1",
                         {ended.thread, ended.owner, ended.key}, [&holder](const Row& row) {
                           holder = row.Text(0);
                           return absl::OkStatus();
                         }));
  }
  for (const RunRecord& run : held) {
    if (!holder.empty()) {
      RETURN_IF_ERROR(connection.Execute("UPDATE runs SET held_by = ? WHERE key = ?", {holder, run.key}).status());
      continue;
    }
    RETURN_IF_ERROR(
        connection.Execute("UPDATE runs SET held_by = '', interrupt_time = NULL WHERE key = ?", {run.key}).status());
    // One that is being cancelled does not go on.
    if (run.state != RunState::kCancelling) {
      RETURN_IF_ERROR(AddEvents(connection, run, {RunEvents(run).Resumed(now, ended.name())}));
    }
  }
  return absl::OkStatus();
}

absl::Status ReleaseWaiting(Connection& connection, const RunRecord& ended) {
  ASSIGN_OR_RETURN(std::vector<RunRecord> waiting, Runs(connection, "waits_for <> '' AND waits_for = ?", {ended.id}));
  for (const RunRecord& run : waiting) {
    std::string before;
    RETURN_IF_ERROR(
        connection.Query("SELECT id FROM runs WHERE thread <> '' AND thread = ? AND owner = ? AND state <= 4 AND "
                         "key < ? ORDER BY key DESC LIMIT 1",
                         {run.thread, run.owner, run.key}, [&before](const Row& row) {
                           before = row.Text(0);
                           return absl::OkStatus();
                         }));
    RETURN_IF_ERROR(connection.Execute("UPDATE runs SET waits_for = ? WHERE key = ?", {before, run.key}).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ThreadNotFound(std::string_view id) {
  return MakeError(
      absl::StatusCode::kNotFound, absl::StrCat("there is no thread '", id, "'"),
      {.domain = "bulkhead.agent", .reason = "THREAD_NOT_FOUND", .metadata = {{"thread", std::string(id)}}});
}

absl::Status ThreadBusy(std::string_view thread, const RunRecord& run) {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("the thread is busy: its run '", run.id, "' has not ended (", RunStateName(run.state),
                                "); wait for it, cancel it, or name another busy policy"),
                   {.domain = "bulkhead.agent",
                    .reason = "THREAD_BUSY",
                    .metadata = {{"thread", std::string(thread)}, {"run", run.name()}}});
}

absl::StatusOr<std::vector<RunRecord>> UnfinishedRunsOf(Connection& connection, const std::string& owner,
                                                        const std::string& thread) {
  return Runs(connection, "thread <> '' AND thread = ? AND owner = ? AND state <= 4 ORDER BY key", {thread, owner});
}

absl::Status PassOnTurn(Connection& connection, const RunRecord& ended, absl::Time now) {
  if (ended.thread.empty()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(ReleaseHeldBack(connection, ended, now));
  return ReleaseWaiting(connection, ended);
}

}  // namespace bulkhead::agent
