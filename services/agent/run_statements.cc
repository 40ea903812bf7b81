#include "services/agent/run_statements.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {

using storage::Connection;
using storage::Row;
using storage::Value;

absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view message, std::string_view run) {
  return MakeError(
      code, message,
      {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = {{"run", std::string(run)}}});
}

absl::Status RunNotFound(std::string_view id) {
  return Refused(absl::StatusCode::kNotFound, "RUN_NOT_FOUND", absl::StrCat("there is no run '", id, "'"), id);
}

absl::Status RunEnded(const RunRecord& run) {
  return Refused(
      absl::StatusCode::kFailedPrecondition, "RUN_ENDED",
      absl::StrCat(IsTerminal(run.state) ? "the run has ended: " : "the run is ending: ", RunStateName(run.state)),
      run.id);
}

absl::Status RunFenced(int64_t key) {
  return MakeError(absl::StatusCode::kAborted, "the run has another owner by now, or has ended",
                   {.domain = "bulkhead.agent", .reason = "RUN_FENCED", .metadata = {{"run_key", absl::StrCat(key)}}});
}

absl::StatusOr<std::optional<RunRecord>> FindRun(Connection& connection, std::string_view where,
                                                 std::vector<Value> values) {
  std::optional<RunRecord> run;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE ", where), std::move(values),
                                   [&run](const Row& row) {
                                     run = RunOf(row);
                                     return absl::OkStatus();
                                   }));
  return run;
}

absl::StatusOr<RunRecord> OwnRun(Connection& connection, const std::string& owner, const std::string& id) {
  ASSIGN_OR_RETURN(std::optional<RunRecord> run, FindRun(connection, "owner = ? AND id = ?", {owner, id}));
  if (!run.has_value()) {
    return RunNotFound(id);
  }
  return *std::move(run);
}

absl::StatusOr<RunRecord> OwnedRun(Connection& connection, Ownership owner) {
  ASSIGN_OR_RETURN(std::optional<RunRecord> run, FindRun(connection, "key = ?", {owner.key}));
  if (!run.has_value() || run->epoch != owner.epoch || IsTerminal(run->state)) {
    return RunFenced(owner.key);
  }
  return *std::move(run);
}

absl::Status SetState(Connection& connection, RunRecord& run, RunState to) {
  if (!IsAllowed(run.state, to)) {
    return MakeError(
        absl::StatusCode::kInternal,
        absl::StrCat("a run cannot go from ", RunStateName(run.state), " to ", RunStateName(to)),
        {.domain = "bulkhead.agent",
         .reason = "RUN_TRANSITION_REFUSED",
         .metadata = {{"from", std::string(RunStateName(run.state))}, {"to", std::string(RunStateName(to))}}});
  }
  run.state = to;
  return connection.Execute("UPDATE runs SET state = ? WHERE key = ?", {static_cast<int64_t>(to), run.key}).status();
}

absl::Status AddEvents(Connection& connection, const RunRecord& run, std::vector<std::string> events) {
  if (events.empty()) {
    return absl::OkStatus();
  }
  // Two statements: RETURNING would be one, and slower than both, since it makes a table for its rows.
  int64_t last = 0;
  RETURN_IF_ERROR(
      connection.Query("SELECT last_sequence FROM run_progress WHERE run = ?", {run.key}, [&last](const Row& row) {
        last = row.Int(0);
        return absl::OkStatus();
      }));
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE run_progress SET last_sequence = ? WHERE run = ?",
                               {last + static_cast<int64_t>(events.size()), run.key})
                      .status());
  return SendEvents(connection, run.id, last, std::move(events));
}

absl::Status SendEvents(Connection& connection, std::string_view run_id, int64_t last,
                        std::vector<std::string> events) {
  for (std::string& event : events) {
    RETURN_IF_ERROR(connection
                        .Execute("INSERT INTO outbox (event) VALUES (?)",
                                 {storage::Blob{Numbered(std::move(event), run_id, ++last)}})
                        .status());
  }
  return absl::OkStatus();
}

absl::Status DeleteRun(Connection& connection, int64_t key) {
  for (std::string_view table : {"journal", "approvals"}) {
    RETURN_IF_ERROR(connection.Execute(absl::StrCat("DELETE FROM ", table, " WHERE run = ?"), {key}).status());
  }
  RETURN_IF_ERROR(connection.Execute("DELETE FROM run_progress WHERE run = ?", {key}).status());
  return connection.Execute("DELETE FROM runs WHERE key = ?", {key}).status();
}

absl::Status AddRecord(Connection& connection, int64_t run, const JournalRecord& record) {
  return connection
      .Execute(
          "INSERT INTO journal (run, path, step, kind, command, payload) VALUES (?, ?, ?, ?, ?, ?)",
          {run, record.path, int64_t{record.step}, static_cast<int64_t>(record.kind), record.command, record.payload})
      .status();
}

absl::StatusOr<std::vector<JournalRecord>> ReadJournal(Connection& connection, int64_t run) {
  std::vector<JournalRecord> journal;
  RETURN_IF_ERROR(connection.Query("SELECT path, step, kind, command, payload FROM journal WHERE run = ? ORDER BY key",
                                   {run}, [&journal](const Row& row) {
                                     journal.push_back({.path = row.Text(0),
                                                        .step = static_cast<int>(row.Int(1)),
                                                        .kind = static_cast<JournalRecord::Kind>(row.Int(2)),
                                                        .command = row.Text(3),
                                                        .payload = row.Text(4)});
                                     return absl::OkStatus();
                                   }));
  return journal;
}

}  // namespace bulkhead::agent
