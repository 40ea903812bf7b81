#include "services/agent/run_store.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "services/agent/run_events.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {
namespace {

using storage::Connection;
using storage::Row;
using storage::Value;

constexpr std::string_view kSchema = R"sql(
CREATE TABLE runs (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  session TEXT NOT NULL,
  agent TEXT NOT NULL,
  agent_version TEXT NOT NULL,
  state INTEGER NOT NULL,
  input TEXT NOT NULL,
  answer TEXT,
  error TEXT,
  create_time INTEGER NOT NULL,
  start_time INTEGER,
  end_time INTEGER,
  deadline INTEGER NOT NULL,
  steps INTEGER NOT NULL DEFAULT 0,
  recoveries INTEGER NOT NULL DEFAULT 0,
  timing TEXT NOT NULL DEFAULT '[]',
  epoch INTEGER NOT NULL DEFAULT 0,
  sealed_token BLOB NOT NULL,
  traceparent TEXT NOT NULL,
  request_id TEXT,
  last_sequence INTEGER NOT NULL DEFAULT 0,
  cancelled_by TEXT NOT NULL DEFAULT '',
  cancel_comment TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX runs_by_request ON runs (owner, request_id);
CREATE INDEX runs_by_owner ON runs (owner, key);
CREATE INDEX runs_unfinished ON runs (state, owner) WHERE state <= 4;

-- Appended to, never changed: one global sequence and a secondary index are several times faster than a (run, ...) key.
CREATE TABLE journal (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL,
  path TEXT NOT NULL,
  step INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  command TEXT NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX journal_by_run ON journal (run);

-- What the notifier does not have yet. AUTOINCREMENT: a key is never used again, so the relay's checkpoint outlives trimming.
CREATE TABLE outbox (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  event BLOB NOT NULL
);

CREATE TABLE approvals (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  run INTEGER NOT NULL,
  path TEXT NOT NULL,
  step INTEGER NOT NULL,
  command TEXT NOT NULL,
  question TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,
  call_hash BLOB NOT NULL,
  create_time INTEGER NOT NULL,
  expire_time INTEGER NOT NULL,
  verdict INTEGER NOT NULL DEFAULT 0,
  comment TEXT NOT NULL DEFAULT '',
  edited_arguments TEXT,
  decided_by TEXT NOT NULL DEFAULT '',
  decide_time INTEGER
);
CREATE UNIQUE INDEX approvals_by_run ON approvals (run, path);
)sql";

constexpr std::string_view kRunColumns =
    "key, id, owner, session, agent, agent_version, state, input, answer, error, create_time, "
    "start_time, end_time, "
    "deadline, steps, recoveries, timing, epoch, sealed_token, traceparent, request_id";

constexpr std::string_view kApprovalColumns =
    "approvals.id, path, step, command, question, tool, arguments, call_hash, "
    "approvals.create_time, expire_time, "
    "verdict, comment, edited_arguments, decided_by, decide_time";

absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view message,
                     std::string_view run) {
  return MakeError(code, message,
                   {.domain = "bulkhead.agent",
                    .reason = std::string(reason),
                    .metadata = {{"run", std::string(run)}}});
}

absl::Status RunNotFound(std::string_view id) {
  return Refused(absl::StatusCode::kNotFound, "RUN_NOT_FOUND",
                 absl::StrCat("there is no run '", id, "'"), id);
}

absl::Status RunEnded(const RunRecord& run) {
  return Refused(absl::StatusCode::kFailedPrecondition, "RUN_ENDED",
                 absl::StrCat("the run has ended: ", RunStateName(run.state)), run.id);
}

absl::Status RunFenced(int64_t key) {
  return MakeError(absl::StatusCode::kAborted, "the run has another owner by now, or has ended",
                   {.domain = "bulkhead.agent",
                    .reason = "RUN_FENCED",
                    .metadata = {{"run_key", absl::StrCat(key)}}});
}

int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }
Value MaybeMicros(const std::optional<absl::Time>& time) {
  return time.has_value() ? Value(Micros(*time)) : Value(nullptr);
}
Value MaybeText(const std::optional<std::string>& text) {
  return text.has_value() ? Value(*text) : Value(nullptr);
}
std::optional<absl::Time> MaybeTime(const Row& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(absl::FromUnixMicros(row.Int(column)));
}
std::optional<std::string> MaybeString(const Row& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(row.Text(column));
}

std::string TimingText(const RunTiming& timing) {
  nlohmann::json parts = nlohmann::json::array();
  for (absl::Duration part :
       {timing.queued, timing.agent, timing.tools, timing.journal, timing.approval, timing.sleep}) {
    parts.push_back(absl::ToInt64Microseconds(part));
  }
  return parts.dump();
}

RunTiming TimingOf(const std::string& text) {
  std::array<absl::Duration, 6> parts{};
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (size_t i = 0; json.is_array() && i < json.size() && i < parts.size(); ++i) {
    parts[i] = absl::Microseconds(json[i].is_number_integer() ? json[i].get<int64_t>() : 0);
  }
  return {parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]};
}

std::string ErrorText(const RunError& error) {
  // A message may quote bytes that are no UTF-8.
  return nlohmann::json{{"reason", error.reason},
                        {"message", error.message},
                        {"domain", error.domain},
                        {"metadata", error.metadata}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<RunError> ErrorOf(const Row& row, int column) {
  if (row.IsNull(column)) {
    return std::nullopt;
  }
  nlohmann::json json =
      nlohmann::json::parse(row.Text(column), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return RunError{.reason = "UNSPECIFIED_ERROR",
                    .message = row.Text(column),
                    .domain = "bulkhead.agent",
                    .metadata = {}};
  }
  return RunError{.reason = json.value("reason", ""),
                  .message = json.value("message", ""),
                  .domain = json.value("domain", ""),
                  .metadata = json.value("metadata", std::map<std::string, std::string>())};
}

RunRecord RunOf(const Row& row) {
  RunRecord run;
  run.key = row.Int(0);
  run.id = row.Text(1);
  run.owner = row.Text(2);
  run.session = row.Text(3);
  run.agent = row.Text(4);
  run.agent_version = row.Text(5);
  run.state = static_cast<RunState>(row.Int(6));
  run.input = row.Text(7);
  run.answer = MaybeString(row, 8);
  run.error = ErrorOf(row, 9);
  run.create_time = absl::FromUnixMicros(row.Int(10));
  run.start_time = MaybeTime(row, 11);
  run.end_time = MaybeTime(row, 12);
  run.deadline = absl::FromUnixMicros(row.Int(13));
  run.steps = static_cast<int>(row.Int(14));
  run.recoveries = static_cast<int>(row.Int(15));
  run.timing = TimingOf(row.Text(16));
  run.epoch = row.Int(17);
  run.sealed_token = row.Blob(18);
  run.traceparent = row.Text(19);
  run.request_id = row.IsNull(20) ? "" : row.Text(20);
  return run;
}

ApprovalRecord ApprovalOf(const Row& row) {
  ApprovalRecord approval;
  approval.id = row.Text(0);
  approval.path = row.Text(1);
  approval.step = static_cast<int>(row.Int(2));
  approval.command = row.Text(3);
  approval.question = row.Text(4);
  approval.tool = row.Text(5);
  approval.arguments = row.Text(6);
  approval.call_hash = row.Blob(7);
  approval.create_time = absl::FromUnixMicros(row.Int(8));
  approval.expire_time = absl::FromUnixMicros(row.Int(9));
  approval.verdict = static_cast<ApprovalRecord::Verdict>(row.Int(10));
  approval.comment = row.Text(11);
  approval.edited_arguments = MaybeString(row, 12);
  approval.decided_by = row.Text(13);
  approval.decide_time = MaybeTime(row, 14);
  return approval;
}

// The run of the query, or nullopt. `where` follows WHERE.
absl::StatusOr<std::optional<RunRecord>> FindRun(Connection& connection, std::string_view where,
                                                 std::vector<Value> values) {
  std::optional<RunRecord> run;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE ", where),
                                   std::move(values), [&run](const Row& row) {
                                     run = RunOf(row);
                                     return absl::OkStatus();
                                   }));
  return run;
}

absl::StatusOr<RunRecord> OwnRun(Connection& connection, const std::string& owner,
                                 const std::string& id) {
  ASSIGN_OR_RETURN(std::optional<RunRecord> run,
                   FindRun(connection, "owner = ? AND id = ?", {owner, id}));
  if (!run.has_value()) {
    return RunNotFound(id);
  }
  return *std::move(run);
}

// The run of `owner.key` that may be written under `owner.epoch`.
absl::StatusOr<RunRecord> OwnedRun(Connection& connection, Ownership owner) {
  ASSIGN_OR_RETURN(std::optional<RunRecord> run, FindRun(connection, "key = ?", {owner.key}));
  if (!run.has_value() || run->epoch != owner.epoch || IsTerminal(run->state)) {
    return RunFenced(owner.key);
  }
  return *std::move(run);
}

// The only place that changes a state.
absl::Status SetState(Connection& connection, RunRecord& run, RunState to) {
  if (!IsAllowed(run.state, to)) {
    return MakeError(
        absl::StatusCode::kInternal,
        absl::StrCat("a run cannot go from ", RunStateName(run.state), " to ", RunStateName(to)),
        {.domain = "bulkhead.agent",
         .reason = "RUN_TRANSITION_REFUSED",
         .metadata = {{"from", std::string(RunStateName(run.state))},
                      {"to", std::string(RunStateName(to))}}});
  }
  run.state = to;
  return connection
      .Execute("UPDATE runs SET state = ? WHERE key = ?", {static_cast<int64_t>(to), run.key})
      .status();
}

// Numbers the events and puts them into the outbox.
absl::Status AddEvents(Connection& connection, const RunRecord& run,
                       std::vector<std::string> events) {
  if (events.empty()) {
    return absl::OkStatus();
  }
  int64_t last = 0;
  RETURN_IF_ERROR(connection.Query(
      "UPDATE runs SET last_sequence = last_sequence + ? WHERE key = ? RETURNING last_sequence",
      {static_cast<int64_t>(events.size()), run.key}, [&last](const Row& row) {
        last = row.Int(0);
        return absl::OkStatus();
      }));
  int64_t sequence = last - static_cast<int64_t>(events.size());
  for (std::string& event : events) {
    RETURN_IF_ERROR(connection
                        .Execute("INSERT INTO outbox (event) VALUES (?)",
                                 {storage::Blob{Numbered(std::move(event), run.id, ++sequence)}})
                        .status());
  }
  return absl::OkStatus();
}

absl::Status AddRecord(Connection& connection, int64_t run, const JournalRecord& record) {
  return connection
      .Execute(
          "INSERT INTO journal (run, path, step, kind, command, payload) VALUES (?, ?, ?, ?, ?, ?)",
          {run, record.path, int64_t{record.step}, static_cast<int64_t>(record.kind),
           record.command, record.payload})
      .status();
}

absl::StatusOr<std::vector<JournalRecord>> ReadJournal(Connection& connection, int64_t run) {
  std::vector<JournalRecord> journal;
  RETURN_IF_ERROR(connection.Query(
      "SELECT path, step, kind, command, payload FROM journal WHERE run = ? ORDER BY key", {run},
      [&journal](const Row& row) {
        journal.push_back({.path = row.Text(0),
                           .step = static_cast<int>(row.Int(1)),
                           .kind = static_cast<JournalRecord::Kind>(row.Int(2)),
                           .command = row.Text(3),
                           .payload = row.Text(4)});
        return absl::OkStatus();
      }));
  return journal;
}

// Calls that are executing and have no result: each tool_executing needs its tool_completed before
// the terminal event.
absl::StatusOr<std::vector<std::string>> CloseOpenCalls(Connection& connection,
                                                        const RunRecord& run,
                                                        const RunEvents& events,
                                                        const RunError& why, absl::Time now) {
  std::vector<std::string> closing;
  RETURN_IF_ERROR(connection.Query(
      "SELECT step, payload FROM journal AS opened WHERE run = ?1 AND kind = 2 AND NOT EXISTS "
      "(SELECT 1 FROM journal AS done WHERE done.run = ?1 AND done.path = opened.path AND "
      "done.kind = 3) ORDER BY key",
      {run.key}, [&](const Row& row) {
        nlohmann::json opened =
            nlohmann::json::parse(row.Text(1), nullptr, /*allow_exceptions=*/false);
        absl::Time since = now;
        std::string tool;
        if (opened.is_object()) {
          tool = opened.value("tool", "");
          since = absl::FromUnixMicros(opened.value("since", Micros(now)));
        }
        closing.push_back(
            events.ToolCompleted(now, static_cast<int>(row.Int(0)), tool, now - since, why, {}));
        return absl::OkStatus();
      }));
  return closing;
}

RunError CancelledError(const RunRecord& run) {
  return {.reason = "RUN_CANCELLED",
          .message = "the run was cancelled",
          .domain = "bulkhead.agent",
          .metadata = {{"run", run.id}}};
}

absl::Status EndRun(Connection& connection, RunRecord& run, const Ending& ending) {
  const RunState to = run.state == RunState::kCancelling ? RunState::kCancelled : ending.state;
  RETURN_IF_ERROR(SetState(connection, run, to));
  run.end_time = ending.time;
  if (ending.timing.has_value()) {
    run.timing = *ending.timing;
  } else if (!run.start_time.has_value()) {
    run.timing.queued = ending.time - run.create_time;
  }
  if (to == RunState::kSucceeded) {
    run.answer = ending.answer;
  } else {
    run.error = to == RunState::kCancelled
                    ? CancelledError(run)
                    : ending.error.value_or(RunError{.reason = "UNSPECIFIED_ERROR",
                                                     .message = "the run failed",
                                                     .domain = "bulkhead.agent",
                                                     .metadata = {}});
  }
  // The token has done its work; nothing of an ended run may act for its user.
  RETURN_IF_ERROR(
      connection
          .Execute(
              "UPDATE runs SET end_time = ?, timing = ?, answer = ?, error = ?, epoch = epoch + 1, "
              "sealed_token = x'' WHERE key = ?",
              {Micros(ending.time), TimingText(run.timing), MaybeText(run.answer),
               run.error.has_value() ? Value(ErrorText(*run.error)) : Value(nullptr), run.key})
          .status());
  RETURN_IF_ERROR(
      connection
          .Execute(
              "UPDATE approvals SET verdict = 3, decide_time = ? WHERE run = ? AND verdict = 0",
              {Micros(ending.time), run.key})
          .status());

  const RunEvents events(run);
  const absl::Duration duration = ending.time - run.start_time.value_or(ending.time);
  const RunError why = run.error.value_or(RunError{.reason = "RUN_ENDED",
                                                   .message = "the run ended before the call",
                                                   .domain = "bulkhead.agent",
                                                   .metadata = {}});
  ASSIGN_OR_RETURN(std::vector<std::string> out,
                   CloseOpenCalls(connection, run, events, why, ending.time));
  if (to == RunState::kSucceeded) {
    out.push_back(events.Completed(ending.time, ending.summary, ending.artifacts, duration));
  } else if (to == RunState::kCancelled) {
    std::string by;
    std::string comment;
    RETURN_IF_ERROR(connection.Query("SELECT cancelled_by, cancel_comment FROM runs WHERE key = ?",
                                     {run.key}, [&](const Row& row) {
                                       by = row.Text(0);
                                       comment = row.Text(1);
                                       return absl::OkStatus();
                                     }));
    out.push_back(events.Cancelled(ending.time, by, comment, duration));
  } else {
    out.push_back(events.Failed(ending.time, *run.error, duration));
  }
  return AddEvents(connection, run, std::move(out));
}

// Writes a decision on a pending approval: for the person who asks later, the agent that waits, and
// those who watch.
absl::Status Decide(Connection& connection, RunRecord& run, const ApprovalRecord& approval) {
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE approvals SET verdict = ?, comment = ?, edited_arguments = "
                               "?, decided_by = ?, "
                               "decide_time = ? WHERE id = ?",
                               {static_cast<int64_t>(approval.verdict), approval.comment,
                                MaybeText(approval.edited_arguments), approval.decided_by,
                                MaybeMicros(approval.decide_time), approval.id})
                      .status());
  nlohmann::json result{{"verdict", static_cast<int>(approval.verdict)},
                        {"comment", approval.comment}};
  if (approval.edited_arguments.has_value()) {
    result["edited"] =
        nlohmann::json::parse(*approval.edited_arguments, nullptr, /*allow_exceptions=*/false);
  }
  RETURN_IF_ERROR(AddRecord(connection, run.key,
                            {.path = approval.path,
                             .step = approval.step,
                             .kind = JournalRecord::Kind::kResult,
                             .command = approval.command,
                             .payload = nlohmann::json{{"ok", std::move(result)}}.dump(
                                 -1, ' ', false, nlohmann::json::error_handler_t::replace)}));
  RETURN_IF_ERROR(AddEvents(
      connection, run,
      {RunEvents(run).ApprovalResolved(approval.decide_time.value_or(run.create_time), approval)}));
  int64_t pending = 0;
  RETURN_IF_ERROR(connection.Query("SELECT count(*) FROM approvals WHERE run = ? AND verdict = 0",
                                   {run.key}, [&pending](const Row& row) {
                                     pending = row.Int(0);
                                     return absl::OkStatus();
                                   }));
  return pending == 0 && run.state == RunState::kAwaitingApproval
             ? SetState(connection, run, RunState::kRunning)
             : absl::OkStatus();
}

absl::StatusOr<std::optional<ApprovalRecord>> OneApproval(Connection& connection,
                                                          std::string_view where,
                                                          std::vector<Value> values) {
  std::optional<ApprovalRecord> approval;
  RETURN_IF_ERROR(
      connection.Query(absl::StrCat("SELECT ", kApprovalColumns, " FROM approvals WHERE ", where),
                       std::move(values), [&approval](const Row& row) {
                         approval = ApprovalOf(row);
                         return absl::OkStatus();
                       }));
  return approval;
}

}  // namespace

const storage::Migration kRunTables = {.name = "runs", .statements = kSchema};

RunStore::RunStore(std::shared_ptr<storage::Database> database, std::function<void()> on_outbox)
    : database_(std::move(database)), on_outbox_(std::move(on_outbox)) {}

absl::StatusOr<RunRecord> RunStore::Scoped::Get(std::string_view id) const {
  std::optional<RunRecord> run;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(run, OwnRun(connection, owner_, std::string(id)));
    return absl::OkStatus();
  }));
  return *std::move(run);
}

absl::StatusOr<std::vector<RunRecord>> RunStore::Scoped::List(const RunFilter& filter,
                                                              int64_t before, int limit) const {
  std::string sql = absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE owner = ?");
  std::vector<Value> values = {owner_};
  if (before > 0) {
    absl::StrAppend(&sql, " AND key < ?");
    values.push_back(before);
  }
  if (!filter.states.empty()) {
    absl::StrAppend(&sql, " AND state IN (",
                    absl::StrJoin(filter.states, ",",
                                  [](std::string* out, RunState state) {
                                    absl::StrAppend(out, static_cast<int>(state));
                                  }),
                    ")");
  }
  if (!filter.agent.empty()) {
    absl::StrAppend(&sql, " AND agent = ?");
    values.push_back(filter.agent);
  }
  absl::StrAppend(&sql, " ORDER BY key DESC LIMIT ?");
  values.push_back(int64_t{limit} + 1);
  std::vector<RunRecord> runs;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) {
    return connection.Query(sql, std::move(values), [&runs](const Row& row) {
      runs.push_back(RunOf(row));
      return absl::OkStatus();
    });
  }));
  return runs;
}

absl::StatusOr<std::optional<RunRecord>> RunStore::Scoped::FindByRequest(
    std::string_view request_id) const {
  std::optional<RunRecord> run;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(run, FindRun(connection, "owner = ? AND request_id = ?",
                                  {owner_, std::string(request_id)}));
    return absl::OkStatus();
  }));
  return run;
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::Scoped::Create(RunRecord run,
                                                              int max_unfinished) const {
  const RunStore* store = store_;
  run.owner = owner_;
  RunRecord stored;
  absl::Status written =
      co_await store->database_->Write([&](Connection& connection) -> absl::Status {
        if (!run.request_id.empty()) {
          ASSIGN_OR_RETURN(
              std::optional<RunRecord> first,
              FindRun(connection, "owner = ? AND request_id = ?", {run.owner, run.request_id}));
          if (first.has_value()) {
            stored = *std::move(first);
            return absl::OkStatus();
          }
        }
        int64_t unfinished = 0;
        RETURN_IF_ERROR(connection.Query("SELECT count(*) FROM runs WHERE state <= 4 AND owner = ?",
                                         {run.owner}, [&unfinished](const Row& row) {
                                           unfinished = row.Int(0);
                                           return absl::OkStatus();
                                         }));
        if (unfinished >= max_unfinished) {
          return MakeError(
              absl::StatusCode::kResourceExhausted,
              absl::StrCat("there are ", unfinished, " runs that have not ended, and ",
                           max_unfinished, " are allowed: wait for one to end, or cancel one"),
              {.domain = "bulkhead.agent",
               .reason = "RUN_QUOTA_EXCEEDED",
               .metadata = {{"limit", absl::StrCat(max_unfinished)}},
               .retry_after = absl::Seconds(1)});
        }
        RETURN_IF_ERROR(
            connection
                .Execute(
                    "INSERT INTO runs (id, owner, session, agent, agent_version, state, input, "
                    "create_time, "
                    "deadline, sealed_token, traceparent, request_id) VALUES (?, ?, ?, ?, ?, ?, ?, "
                    "?, ?, ?, ?, ?)",
                    {run.id, run.owner, run.session, run.agent, run.agent_version,
                     static_cast<int64_t>(RunState::kPending), run.input, Micros(run.create_time),
                     Micros(run.deadline), storage::Blob{run.sealed_token}, run.traceparent,
                     run.request_id.empty() ? Value(nullptr) : Value(run.request_id)})
                .status());
        run.key = connection.last_insert_id();
        run.state = RunState::kPending;
        stored = run;
        return AddEvents(connection, run, {RunEvents(run).Queued(run.create_time)});
      });
  CO_RETURN_IF_ERROR(written);
  store->on_outbox_();
  co_return stored;
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::Scoped::Cancel(std::string id, std::string comment,
                                                              absl::Time now) const {
  const RunStore* store = store_;
  const std::string owner = owner_;
  RunRecord run;
  absl::Status written =
      co_await store->database_->Write([&](Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(run, OwnRun(connection, owner, id));
        if (IsTerminal(run.state)) {
          return RunEnded(run);
        }
        if (run.state == RunState::kCancelling) {
          return absl::OkStatus();
        }
        RETURN_IF_ERROR(
            connection
                .Execute("UPDATE runs SET cancelled_by = ?, cancel_comment = ? WHERE key = ?",
                         {absl::StrCat("users/", owner), comment, run.key})
                .status());
        if (run.state == RunState::kPending) {
          return EndRun(connection, run, {.state = RunState::kCancelled, .time = now});
        }
        return SetState(connection, run, RunState::kCancelling);
      });
  CO_RETURN_IF_ERROR(written);
  store->on_outbox_();
  co_return run;
}

Awaitable<absl::Status> RunStore::Scoped::Delete(std::string id) const {
  const std::string owner = owner_;
  co_return co_await store_->database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord run, OwnRun(connection, owner, id));
    if (!IsTerminal(run.state)) {
      return Refused(absl::StatusCode::kFailedPrecondition, "RUN_NOT_ENDED",
                     absl::StrCat("the run has not ended: ", RunStateName(run.state)), run.id);
    }
    for (std::string_view table : {"journal", "approvals"}) {
      RETURN_IF_ERROR(
          connection.Execute(absl::StrCat("DELETE FROM ", table, " WHERE run = ?"), {run.key})
              .status());
    }
    return connection.Execute("DELETE FROM runs WHERE key = ?", {run.key}).status();
  });
}

absl::StatusOr<std::vector<ApprovalRecord>> RunStore::Scoped::Approvals(
    std::string_view run) const {
  std::vector<ApprovalRecord> approvals;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord record, OwnRun(connection, owner_, std::string(run)));
    return connection.Query(
        absl::StrCat("SELECT ", kApprovalColumns, " FROM approvals WHERE run = ? ORDER BY key"),
        {record.key}, [&](const Row& row) {
          approvals.push_back(ApprovalOf(row));
          approvals.back().run = record.id;
          return absl::OkStatus();
        });
  }));
  return approvals;
}

Awaitable<absl::StatusOr<ApprovalRecord>> RunStore::Scoped::Resolve(std::string run_id,
                                                                    std::string approval_id,
                                                                    std::string call_hash,
                                                                    ApprovalRecord decision) const {
  const RunStore* store = store_;
  const std::string owner = owner_;
  ApprovalRecord approval;
  absl::Status written =
      co_await store->database_->Write([&](Connection& connection) -> absl::Status {
        auto refused = [&](absl::StatusCode code, std::string_view reason,
                           std::string_view message) {
          return MakeError(code, message,
                           {.domain = "bulkhead.agent",
                            .reason = std::string(reason),
                            .metadata = {{"run", run_id}, {"approval", approval_id}}});
        };
        ASSIGN_OR_RETURN(std::optional<RunRecord> run,
                         FindRun(connection, "owner = ? AND id = ?", {owner, run_id}));
        std::optional<ApprovalRecord> found;
        if (run.has_value()) {
          ASSIGN_OR_RETURN(found,
                           OneApproval(connection, "run = ? AND id = ?", {run->key, approval_id}));
        }
        if (!found.has_value()) {
          return refused(absl::StatusCode::kNotFound, "APPROVAL_NOT_FOUND",
                         "there is no such approval");
        }
        approval = *std::move(found);
        approval.run = run_id;
        if (approval.verdict == ApprovalRecord::Verdict::kExpired ||
            *decision.decide_time >= approval.expire_time) {
          return refused(absl::StatusCode::kFailedPrecondition, "APPROVAL_EXPIRED",
                         "the time to decide is over");
        }
        if (approval.verdict != ApprovalRecord::Verdict::kPending) {
          return refused(absl::StatusCode::kFailedPrecondition, "APPROVAL_DECIDED",
                         "it has been decided already");
        }
        if (approval.call_hash != call_hash) {
          return refused(absl::StatusCode::kFailedPrecondition, "APPROVAL_CALL_CHANGED",
                         "call_hash is not that of the call that waits: look at it again");
        }
        approval.verdict = decision.verdict;
        approval.comment = decision.comment;
        approval.edited_arguments = decision.edited_arguments;
        approval.decided_by = decision.decided_by;
        approval.decide_time = decision.decide_time;
        return Decide(connection, *run, approval);
      });
  CO_RETURN_IF_ERROR(written);
  store->on_outbox_();
  co_return approval;
}

Awaitable<absl::StatusOr<TakenUp>> RunStore::TakeUp(int64_t key, absl::Time now) const {
  TakenUp taken;
  RunRecord& run = taken.run;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<RunRecord> found, FindRun(connection, "key = ?", {key}));
    if (!found.has_value()) {
      return RunNotFound(absl::StrCat(key));
    }
    run = *std::move(found);
    if (IsTerminal(run.state)) {
      return RunEnded(run);
    }
    ASSIGN_OR_RETURN(taken.journal, ReadJournal(connection, key));
    std::vector<std::string> events;
    switch (run.state) {
      case RunState::kPending:
        RETURN_IF_ERROR(SetState(connection, run, RunState::kRunning));
        run.start_time = now;
        run.timing.queued = now - run.create_time;
        events.push_back(RunEvents(run).Started(now, run.timing.queued));
        break;
      case RunState::kCancelling:
        break;  // It will be ended at once.
      default: {
        ++run.recoveries;
        int completed = 0;
        for (const JournalRecord& record : taken.journal) {
          completed += record.kind == JournalRecord::Kind::kResult;
        }
        events.push_back(RunEvents(run).Recovered(now, run.recoveries, completed));
        break;
      }
    }
    ++run.epoch;
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE runs SET epoch = ?, start_time = ?, timing = ?, "
                                 "recoveries = ? WHERE key = ?",
                                 {run.epoch, MaybeMicros(run.start_time), TimingText(run.timing),
                                  int64_t{run.recoveries}, key})
                        .status());
    return AddEvents(connection, run, std::move(events));
  });
  CO_RETURN_IF_ERROR(written);
  on_outbox_();
  co_return taken;
}

Awaitable<absl::Status> RunStore::Write(Ownership owner, Append append) const {
  const bool notify = !append.events.empty();
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(int64_t changed,
                     connection.Execute("UPDATE runs SET steps = ?, timing = ? WHERE key = ? AND "
                                        "epoch = ? AND state IN (2, 3, 4)",
                                        {int64_t{append.steps}, TimingText(append.timing),
                                         owner.key, owner.epoch}));
    if (changed == 0) {
      return RunFenced(owner.key);
    }
    for (const JournalRecord& record : append.records) {
      RETURN_IF_ERROR(AddRecord(connection, owner.key, record));
    }
    if (append.events.empty()) {
      return absl::OkStatus();
    }
    RunRecord run;
    run.key = owner.key;
    RETURN_IF_ERROR(
        connection.Query("SELECT id FROM runs WHERE key = ?", {owner.key}, [&run](const Row& row) {
          run.id = row.Text(0);
          return absl::OkStatus();
        }));
    return AddEvents(connection, run, append.events);
  });
  if (written.ok() && notify) {
    on_outbox_();
  }
  co_return written;
}

Awaitable<absl::Status> RunStore::Ask(Ownership owner, ApprovalRecord approval,
                                      JournalRecord intent, RunTiming timing, int steps) const {
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord run, OwnedRun(connection, owner));
    RETURN_IF_ERROR(
        connection
            .Execute("INSERT INTO approvals (id, run, path, step, command, question, tool, "
                     "arguments, call_hash, "
                     "create_time, expire_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     {approval.id, run.key, approval.path, int64_t{approval.step}, approval.command,
                      approval.question, approval.tool, approval.arguments,
                      storage::Blob{approval.call_hash}, Micros(approval.create_time),
                      Micros(approval.expire_time)})
            .status());
    RETURN_IF_ERROR(AddRecord(connection, run.key, intent));
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE runs SET steps = ?, timing = ? WHERE key = ?",
                                 {int64_t{steps}, TimingText(timing), run.key})
                        .status());
    if (run.state == RunState::kRunning) {
      RETURN_IF_ERROR(SetState(connection, run, RunState::kAwaitingApproval));
    }
    return AddEvents(connection, run,
                     {RunEvents(run).ApprovalRequested(approval.create_time, approval)});
  });
  if (written.ok()) {
    on_outbox_();
  }
  co_return written;
}

absl::StatusOr<std::optional<ApprovalRecord>> RunStore::FindApproval(int64_t key,
                                                                     std::string_view path) const {
  std::optional<ApprovalRecord> approval;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(approval,
                     OneApproval(connection, "run = ? AND path = ?", {key, std::string(path)}));
    return absl::OkStatus();
  }));
  return approval;
}

Awaitable<absl::StatusOr<ApprovalRecord>> RunStore::Expire(Ownership owner, std::string path,
                                                           absl::Time now) const {
  ApprovalRecord approval;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord run, OwnedRun(connection, owner));
    ASSIGN_OR_RETURN(std::optional<ApprovalRecord> found,
                     OneApproval(connection, "run = ? AND path = ?", {owner.key, path}));
    if (!found.has_value()) {
      return Refused(absl::StatusCode::kInternal, "APPROVAL_NOT_FOUND",
                     "the approval that expires is gone", run.id);
    }
    approval = *std::move(found);
    if (approval.verdict != ApprovalRecord::Verdict::kPending) {
      return absl::OkStatus();
    }
    approval.verdict = ApprovalRecord::Verdict::kExpired;
    approval.decide_time = now;
    return Decide(connection, run, approval);
  });
  CO_RETURN_IF_ERROR(written);
  on_outbox_();
  co_return approval;
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::End(Ownership owner, Ending ending) const {
  RunRecord run;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<RunRecord> found, FindRun(connection, "key = ?", {owner.key}));
    if (!found.has_value() || IsTerminal(found->state) ||
        (owner.epoch != 0 && found->epoch != owner.epoch)) {
      return RunFenced(owner.key);
    }
    run = *std::move(found);
    return EndRun(connection, run, ending);
  });
  CO_RETURN_IF_ERROR(written);
  on_outbox_();
  co_return run;
}

absl::StatusOr<std::vector<RunRecord>> RunStore::UnfinishedAcrossUsers() const {
  std::vector<RunRecord> runs;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) {
    return connection.Query(
        absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE state <= 4 ORDER BY key"), {},
        [&runs](const Row& row) {
          runs.push_back(RunOf(row));
          return absl::OkStatus();
        });
  }));
  return runs;
}

absl::StatusOr<std::vector<OutboxEntry>> RunStore::OutboxAcrossUsers(int64_t after,
                                                                     int limit) const {
  std::vector<OutboxEntry> entries;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) {
    return connection.Query("SELECT key, event FROM outbox WHERE key > ? ORDER BY key LIMIT ?",
                            {after, int64_t{limit}}, [&entries](const Row& row) {
                              entries.push_back({.id = row.Int(0), .event = row.Blob(1)});
                              return absl::OkStatus();
                            });
  }));
  return entries;
}

Awaitable<absl::Status> RunStore::TrimOutboxAcrossUsers(int64_t up_to) const {
  co_return co_await database_->Write([up_to](Connection& connection) {
    return connection.Execute("DELETE FROM outbox WHERE key <= ?", {up_to}).status();
  });
}

absl::StatusOr<std::vector<JournalRecord>> RunStore::Journal(int64_t key) const {
  std::vector<JournalRecord> journal;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(journal, ReadJournal(connection, key));
    return absl::OkStatus();
  }));
  return journal;
}

}  // namespace bulkhead::agent
