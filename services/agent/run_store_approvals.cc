#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/agent/run_events.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_statements.h"
#include "services/agent/run_store.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {

using storage::Connection;
using storage::Row;
using storage::Value;

namespace {

// Writes a decision on a pending approval: for the person who asks later, the agent that waits, and
// those who watch.
absl::Status Decide(Connection& connection, RunRecord& run, const ApprovalRecord& approval) {
  RETURN_IF_ERROR(
      connection
          .Execute("UPDATE approvals SET verdict = ?, comment = ?, edited_arguments = ?, decided_by = ?, "
                   "decide_time = ?, decision_request_id = ? WHERE id = ?",
                   {static_cast<int64_t>(approval.verdict), approval.comment, MaybeText(approval.edited_arguments),
                    approval.decided_by, MaybeMicros(approval.decide_time), approval.request_id, approval.id})
          .status());
  nlohmann::json result{{"verdict", static_cast<int>(approval.verdict)}, {"comment", approval.comment}};
  if (approval.edited_arguments.has_value()) {
    result["edited"] = nlohmann::json::parse(*approval.edited_arguments, nullptr, /*allow_exceptions=*/false);
  }
  RETURN_IF_ERROR(AddRecord(connection, run.key,
                            {.path = approval.path,
                             .step = approval.step,
                             .kind = JournalRecord::Kind::kResult,
                             .command = approval.command,
                             .payload = nlohmann::json{{"ok", std::move(result)}}.dump(
                                 -1, ' ', false, nlohmann::json::error_handler_t::replace)}));
  RETURN_IF_ERROR(AddEvents(
      connection, run, {RunEvents(run).ApprovalResolved(approval.decide_time.value_or(run.create_time), approval)}));
  int64_t pending = 0;
  RETURN_IF_ERROR(connection.Query("SELECT count(*) FROM approvals WHERE run = ? AND verdict = 0", {run.key},
                                   [&pending](const Row& row) {
                                     pending = row.Int(0);
                                     return absl::OkStatus();
                                   }));
  return pending == 0 && run.state == RunState::kAwaitingApproval ? SetState(connection, run, RunState::kRunning)
                                                                  : absl::OkStatus();
}

absl::StatusOr<std::optional<ApprovalRecord>> OneApproval(Connection& connection, std::string_view where,
                                                          std::vector<Value> values) {
  std::optional<ApprovalRecord> approval;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT ", kApprovalColumns, " FROM approvals WHERE ", where),
                                   std::move(values), [&approval](const Row& row) {
                                     approval = ApprovalOf(row);
                                     return absl::OkStatus();
                                   }));
  return approval;
}

}  // namespace

absl::StatusOr<std::vector<ApprovalRecord>> RunStore::Scoped::Approvals(std::string_view run) const {
  std::vector<ApprovalRecord> approvals;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord record, OwnRun(connection, owner_, std::string(run)));
    return connection.Query(absl::StrCat("SELECT ", kApprovalColumns, " FROM approvals WHERE run = ? ORDER BY key"),
                            {record.key}, [&](const Row& row) {
                              approvals.push_back(ApprovalOf(row));
                              approvals.back().run = record.id;
                              return absl::OkStatus();
                            });
  }));
  return approvals;
}

Awaitable<absl::StatusOr<ApprovalRecord>> RunStore::Scoped::Resolve(std::string run_id, std::string approval_id,
                                                                    std::string call_hash,
                                                                    ApprovalRecord decision) const {
  const RunStore* store = store_;
  const std::string owner = owner_;
  ApprovalRecord approval;
  absl::Status written = co_await store->database_->Write([&](Connection& connection) -> absl::Status {
    auto refused = [&](absl::StatusCode code, std::string_view reason, std::string_view message) {
      return MakeError(code, message,
                       {.domain = "bulkhead.agent",
                        .reason = std::string(reason),
                        .metadata = {{"run", run_id}, {"approval", approval_id}}});
    };
    ASSIGN_OR_RETURN(std::optional<RunRecord> run, FindRun(connection, "owner = ? AND id = ?", {owner, run_id}));
    std::optional<ApprovalRecord> found;
    if (run.has_value()) {
      ASSIGN_OR_RETURN(found, OneApproval(connection, "run = ? AND id = ?", {run->key, approval_id}));
    }
    if (!found.has_value()) {
      return refused(absl::StatusCode::kNotFound, "APPROVAL_NOT_FOUND", "there is no such approval");
    }
    approval = *std::move(found);
    approval.run = run_id;
    if (approval.verdict != ApprovalRecord::Verdict::kPending && !decision.request_id.empty() &&
        approval.request_id == decision.request_id) {
      return absl::OkStatus();  // The same request again: its first answer was lost on the way.
    }
    if (approval.verdict == ApprovalRecord::Verdict::kExpired || *decision.decide_time >= approval.expire_time) {
      return refused(absl::StatusCode::kFailedPrecondition, "APPROVAL_EXPIRED", "the time to decide is over");
    }
    if (approval.verdict != ApprovalRecord::Verdict::kPending) {
      return refused(absl::StatusCode::kFailedPrecondition, "APPROVAL_DECIDED", "it has been decided already");
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
    approval.request_id = decision.request_id;
    return Decide(connection, *run, approval);
  });
  CO_RETURN_IF_ERROR(written);
  store->on_outbox_();
  co_return approval;
}

Awaitable<absl::Status> RunStore::Ask(Ownership owner, ApprovalRecord approval, JournalRecord intent, RunTiming timing,
                                      int steps) const {
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord run, OwnedRun(connection, owner));
    RETURN_IF_ERROR(
        connection
            .Execute("INSERT INTO approvals (id, run, path, step, command, question, tool, "
                     "arguments, call_hash, "
                     "create_time, expire_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     {approval.id, run.key, approval.path, int64_t{approval.step}, approval.command, approval.question,
                      approval.tool, approval.arguments, storage::Blob{approval.call_hash},
                      Micros(approval.create_time), Micros(approval.expire_time)})
            .status());
    RETURN_IF_ERROR(AddRecord(connection, run.key, intent));
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE run_progress SET steps = ?, timing = ? WHERE run = ?",
                                 {int64_t{steps}, TimingText(timing), run.key})
                        .status());
    if (run.state == RunState::kRunning) {
      RETURN_IF_ERROR(SetState(connection, run, RunState::kAwaitingApproval));
    }
    return AddEvents(connection, run, {RunEvents(run).ApprovalRequested(approval.create_time, approval)});
  });
  if (written.ok()) {
    on_outbox_();
  }
  co_return written;
}

absl::StatusOr<std::optional<ApprovalRecord>> RunStore::FindApproval(int64_t key, std::string_view path) const {
  std::optional<ApprovalRecord> approval;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(approval, OneApproval(connection, "run = ? AND path = ?", {key, std::string(path)}));
    return absl::OkStatus();
  }));
  return approval;
}

Awaitable<absl::StatusOr<ApprovalRecord>> RunStore::Expire(Ownership owner, std::string path, absl::Time now) const {
  ApprovalRecord approval;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(RunRecord run, OwnedRun(connection, owner));
    ASSIGN_OR_RETURN(std::optional<ApprovalRecord> found,
                     OneApproval(connection, "run = ? AND path = ?", {owner.key, path}));
    if (!found.has_value()) {
      return Refused(absl::StatusCode::kInternal, "APPROVAL_NOT_FOUND", "the approval that expires is gone", run.id);
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

}  // namespace bulkhead::agent
