#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/model_usage.h"
#include "services/agent/run_ending.h"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/agent/run_store.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {

using storage::Connection;
using storage::Row;
using storage::Value;

Awaitable<absl::StatusOr<TakenUp>> RunStore::TakeUp(int64_t key, absl::Time now, std::optional<Woken> woken) const {
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
        const absl::Time written = run.create_time + run.timing.Total();
        if (woken.has_value()) {
          absl::Duration& waited = woken->asked ? run.timing.approval : run.timing.sleep;
          waited += std::max(woken->at - written, absl::ZeroDuration());
          run.timing.queued += std::max(now - std::max(woken->at, written), absl::ZeroDuration());
          break;
        }
        ++run.recoveries;
        // Since its last write it has waited: for a person, or to be taken up.
        absl::Duration& waited = run.state == RunState::kAwaitingApproval ? run.timing.approval : run.timing.queued;
        waited += std::max(now - written, absl::ZeroDuration());
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
                        .Execute("UPDATE runs SET start_time = ?, recoveries = ? WHERE key = ?",
                                 {MaybeMicros(run.start_time), int64_t{run.recoveries}, key})
                        .status());
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE run_progress SET epoch = ?, timing = ? WHERE run = ?",
                                 {run.epoch, TimingText(run.timing), key})
                        .status());
    return AddEvents(connection, run, std::move(events));
  });
  CO_RETURN_IF_ERROR(written);
  on_outbox_();
  co_return taken;
}

namespace {

// One step of a run. Its epoch is what says that the run goes on and whose it is: taking a run up and ending it change it.
absl::Status AppendStep(Connection& connection, Ownership owner, Append& append) {
  std::optional<int64_t> last;
  std::string id;
  RETURN_IF_ERROR(connection.Query(
      "SELECT last_sequence, (SELECT id FROM runs WHERE key = run) FROM run_progress WHERE run = ? AND epoch = ?",
      {owner.key, owner.epoch}, [&](const Row& row) {
        last = row.Int(0);
        id = row.Text(1);
        return absl::OkStatus();
      }));
  if (!last.has_value()) {
    return RunFenced(owner.key);
  }
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE run_progress SET steps = ?, timing = ?, last_sequence = ? WHERE run = ?",
                               {int64_t{append.steps}, TimingText(append.timing),
                                *last + static_cast<int64_t>(append.events.size()), owner.key})
                      .status());
  for (const JournalRecord& record : append.records) {
    RETURN_IF_ERROR(AddRecord(connection, owner.key, record));
  }
  if (append.model_use.has_value()) {
    RETURN_IF_ERROR(AddModelUse(connection, owner.key, *append.model_use));
  }
  return SendEvents(connection, id, *last, std::move(append.events));
}

}  // namespace

Awaitable<absl::Status> RunStore::Write(Ownership owner, Append append) const {
  const bool notify = !append.events.empty();
  absl::Status written = co_await database_->Write(
      [&](Connection& connection) -> absl::Status { return AppendStep(connection, owner, append); });
  if (written.ok() && notify) {
    on_outbox_();
  }
  co_return written;
}

void RunStore::WriteThen(Ownership owner, Append append, absl::AnyInvocable<void(absl::Status)> done) const {
  database_->WriteThen([owner, append = std::move(append)](
                           Connection& connection) mutable { return AppendStep(connection, owner, append); },
                       [this, done = std::move(done)](absl::Status written) mutable {
                         if (written.ok()) {
                           on_outbox_();
                         }
                         done(std::move(written));
                       });
}

Awaitable<absl::StatusOr<RunRecord>> RunStore::End(Ownership owner, Ending ending) const {
  RunRecord run;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<RunRecord> found, FindRun(connection, "key = ?", {owner.key}));
    if (!found.has_value() || IsTerminal(found->state) || (owner.epoch != 0 && found->epoch != owner.epoch)) {
      return RunFenced(owner.key);
    }
    run = *std::move(found);
    return EndRun(connection, run, ending);
  });
  CO_RETURN_IF_ERROR(written);
  on_outbox_();
  co_return run;
}

absl::Status RunStore::EachUnfinishedAcrossUsers(absl::FunctionRef<void(const RunRecord&)> run) const {
  constexpr int64_t kPage = 500;  // Bounds the memory, and the time that a connection is held.
  const std::string sql =
      absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE state <= 4 AND key > ? ORDER BY key LIMIT ?");
  std::vector<RunRecord> page;
  int64_t last = 0;
  do {
    page.clear();
    RETURN_IF_ERROR(database_->Read([&](Connection& connection) {
      return connection.Query(sql, {last, kPage}, [&page](const Row& row) {
        page.push_back(RunOf(row));
        return absl::OkStatus();
      });
    }));
    for (const RunRecord& found : page) {
      run(found);
      last = found.key;
    }
  } while (!page.empty());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RunRecord>> RunStore::UnfinishedAcrossUsers() const {
  std::vector<RunRecord> runs;
  RETURN_IF_ERROR(EachUnfinishedAcrossUsers([&runs](const RunRecord& run) { runs.push_back(run); }));
  return runs;
}

absl::StatusOr<std::vector<RunRecord>> RunStore::UnfinishedChildrenAcrossUsers(std::string_view parent) const {
  std::vector<RunRecord> children;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) {
    // The first condition is that of the index.
    return connection.Query(
        absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE parent <> '' AND parent = ? AND state <= 4"),
        {std::string(parent)}, [&children](const Row& row) {
          children.push_back(RunOf(row));
          return absl::OkStatus();
        });
  }));
  return children;
}

Awaitable<absl::StatusOr<int>> RunStore::DeleteEndedAcrossUsers(absl::Time ended_before, int limit) const {
  std::vector<int64_t> keys;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Query("SELECT key FROM runs WHERE end_time IS NOT NULL AND end_time < ? LIMIT ?",
                                     {Micros(ended_before), int64_t{limit}}, [&keys](const Row& row) {
                                       keys.push_back(row.Int(0));
                                       return absl::OkStatus();
                                     }));
    for (const int64_t key : keys) {
      RETURN_IF_ERROR(DeleteRun(connection, key));
    }
    return absl::OkStatus();
  });
  CO_RETURN_IF_ERROR(written);
  co_return static_cast<int>(keys.size());
}

absl::StatusOr<std::vector<OutboxEntry>> RunStore::OutboxAcrossUsers(int64_t after, int limit) const {
  std::vector<OutboxEntry> entries;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) {
    return connection.Query("SELECT key, event FROM outbox WHERE key > ? ORDER BY key LIMIT ?", {after, int64_t{limit}},
                            [&entries](const Row& row) {
                              entries.push_back({.id = row.Int(0), .event = row.Blob(1)});
                              return absl::OkStatus();
                            });
  }));
  return entries;
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
