#include "services/agent/run_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/agent/run_ending.h"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/agent/thread_admission.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {

using storage::Connection;
using storage::Row;
using storage::Value;

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

absl::StatusOr<std::vector<RunRecord>> RunStore::Scoped::List(const RunFilter& filter, int64_t before,
                                                              int limit) const {
  std::string sql = absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE owner = ?");
  std::vector<Value> values = {owner_};
  if (before > 0) {
    absl::StrAppend(&sql, " AND key < ?");
    values.push_back(before);
  }
  if (!filter.states.empty()) {
    absl::StrAppend(
        &sql, " AND state IN (",
        absl::StrJoin(filter.states, ",",
                      [](std::string* out, RunState state) { absl::StrAppend(out, static_cast<int>(state)); }),
        ")");
  }
  if (!filter.agent.empty()) {
    absl::StrAppend(&sql, " AND agent = ?");
    values.push_back(filter.agent);
  }
  if (!filter.parent.empty()) {
    absl::StrAppend(&sql, " AND parent <> '' AND parent = ?");
    values.push_back(filter.parent);
  }
  if (!filter.thread.empty()) {
    absl::StrAppend(&sql, " AND thread <> '' AND thread = ?");
    values.push_back(filter.thread);
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

absl::StatusOr<std::optional<RunRecord>> RunStore::Scoped::FindByRequest(std::string_view request_id) const {
  std::optional<RunRecord> run;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(run, FindRun(connection, "owner = ? AND request_id = ?", {owner_, std::string(request_id)}));
    return absl::OkStatus();
  }));
  return run;
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::Scoped::Create(RunRecord run, int max_unfinished, BusyPolicy busy,
                                                              Displaced* displaced) const {
  const RunStore* store = store_;
  run.owner = owner_;
  RunRecord stored;
  Displaced moved;
  absl::Status written = co_await store->database_->Write([&](Connection& connection) -> absl::Status {
    if (!run.request_id.empty()) {
      ASSIGN_OR_RETURN(std::optional<RunRecord> first,
                       FindRun(connection, "owner = ? AND request_id = ?", {run.owner, run.request_id}));
      if (first.has_value()) {
        stored = *std::move(first);
        return absl::OkStatus();
      }
    }
    if (!run.parent.empty()) {
      // Else it would outlive it: its children are cancelled when it has ended.
      ASSIGN_OR_RETURN(RunRecord parent, OwnRun(connection, run.owner, run.parent));
      if (IsTerminal(parent.state)) {
        return RunEnded(parent);
      }
    }
    if (!run.thread.empty()) {
      RETURN_IF_ERROR(AdmitToThread(connection, run, busy, moved));
    }
    int64_t unfinished = 0;
    RETURN_IF_ERROR(connection.Query("SELECT count(*) FROM runs WHERE state <= 4 AND owner = ?", {run.owner},
                                     [&unfinished](const Row& row) {
                                       unfinished = row.Int(0);
                                       return absl::OkStatus();
                                     }));
    if (unfinished >= max_unfinished) {
      return MakeError(absl::StatusCode::kResourceExhausted,
                       absl::StrCat("there are ", unfinished, " runs that have not ended, and ", max_unfinished,
                                    " are allowed: wait for one to end, or cancel one"),
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
                "deadline, sealed_token, traceparent, request_id, parent, definition, roles, thread, waits_for) VALUES "
                "(?, ?, ?, ?, ?, ?, ?, "
                "?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                {run.id, run.owner, run.session, run.agent, run.agent_version, static_cast<int64_t>(RunState::kPending),
                 run.input, Micros(run.create_time), Micros(run.deadline), storage::Blob{run.sealed_token},
                 run.traceparent, run.request_id.empty() ? Value(nullptr) : Value(run.request_id), run.parent,
                 run.definition, run.roles, run.thread, run.waits_for})
            .status());
    run.key = connection.last_insert_id();
    run.state = RunState::kPending;
    RETURN_IF_ERROR(connection.Execute("INSERT INTO run_progress (run) VALUES (?)", {run.key}).status());
    stored = run;
    const std::string waits_for =
        run.waits_for.empty() ? "" : absl::StrCat("users/", run.owner, "/runs/", run.waits_for);
    return AddEvents(connection, run, {RunEvents(run).Queued(run.create_time, waits_for)});
  });
  CO_RETURN_IF_ERROR(written);
  if (displaced != nullptr) {
    *displaced = std::move(moved);
  }
  store->on_outbox_();
  co_return stored;
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::Scoped::Cancel(std::string id, std::string comment,
                                                              absl::Time now) const {
  const RunStore* store = store_;
  const std::string owner = owner_;
  RunRecord run;
  absl::Status written = co_await store->database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(run, OwnRun(connection, owner, id));
    if (IsTerminal(run.state)) {
      return RunEnded(run);
    }
    if (run.state == RunState::kCancelling) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(connection
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

Awaitable<absl::StatusOr<RunRecord>> RunStore::Scoped::Interrupt(std::string id, absl::Time now) const {
  const RunStore* store = store_;
  const std::string owner = owner_;
  RunRecord run;
  absl::Status written = co_await store->database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(run, OwnRun(connection, owner, id));
    if (IsTerminal(run.state) || run.state == RunState::kCancelling) {
      return RunEnded(run);
    }
    if (run.interrupt_time.has_value() && run.held_by.empty()) {
      return absl::OkStatus();
    }
    run.interrupt_time = run.interrupt_time.value_or(now);
    run.held_by.clear();
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE runs SET interrupt_time = ?, held_by = '' WHERE key = ?",
                                 {Micros(*run.interrupt_time), run.key})
                        .status());
    return AddEvents(connection, run, {RunEvents(run).Interrupted(now, absl::StrCat("users/", owner))});
  });
  CO_RETURN_IF_ERROR(written);
  store->on_outbox_();
  co_return run;
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::Scoped::Resume(std::string id, absl::Time now) const {
  const RunStore* store = store_;
  const std::string owner = owner_;
  RunRecord run;
  absl::Status written = co_await store->database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(run, OwnRun(connection, owner, id));
    if (!run.interrupt_time.has_value()) {
      return Refused(absl::StatusCode::kFailedPrecondition, "RUN_NOT_INTERRUPTED",
                     absl::StrCat("the run is not held back: ", RunStateName(run.state)), run.id);
    }
    run.interrupt_time.reset();
    run.held_by.clear();
    RETURN_IF_ERROR(
        connection.Execute("UPDATE runs SET interrupt_time = NULL, held_by = '' WHERE key = ?", {run.key}).status());
    return AddEvents(connection, run, {RunEvents(run).Resumed(now, absl::StrCat("users/", owner))});
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
    return DeleteRun(connection, run.key);
  });
}

}  // namespace bulkhead::agent
