// The agent service's own data: runs, their journals, approvals, and the outbox of events that have
// not reached the notifier.
#ifndef SERVICES_AGENT_RUN_STORE_H_
#define SERVICES_AGENT_RUN_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/agent/run_changes.h"
#include "services/agent/run_record.h"
#include "services/agent/run_state.h"
#include "services/agent/thread_record.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::storage {
class Database;
}  // namespace bulkhead::storage

namespace bulkhead::agent {

// Which runs a list shall have.
struct RunFilter {
  std::vector<RunState> states;  // All when empty.
  std::string agent;             // All when empty.
  std::string parent;            // The id of a run: only its children. All when empty.
  std::string thread;            // The id of a thread. All when empty.
};

// An event on its way to the notifier.
struct OutboxEntry {
  int64_t id = 0;     // Grows; the order in which events leave.
  std::string event;  // A serialized bulkhead.notifier.v1.Event.
};

// Thread-safe. Every event that a method writes gets its sequence in the same transaction, after
// which `on_outbox` is called. Errors: those of storage, and as named below with domain
// bulkhead.agent.
class RunStore {
 public:
  // `on_outbox` may be called on any thread and must be short.
  RunStore(std::shared_ptr<storage::Database> database, std::function<void()> on_outbox);

  // What one user may see and do. Copyable.
  class Scoped {
   public:
    // NOT_FOUND `RUN_NOT_FOUND`, also for another user's.
    absl::StatusOr<RunRecord> Get(std::string_view id) const;
    // Newest first, those with a key below `before` (0: all), one more than `limit` at most.
    absl::StatusOr<std::vector<RunRecord>> List(const RunFilter& filter, int64_t before, int limit) const;
    absl::StatusOr<std::optional<RunRecord>> FindByRequest(std::string_view request_id) const;
    // Stores a PENDING run of this owner, and its run_queued event; `run.key` is set. A run with
    // the same request id is returned in its place. RESOURCE_EXHAUSTED `RUN_QUOTA_EXCEEDED` when
    // the owner has `max_unfinished` runs that have not ended; FAILED_PRECONDITION `RUN_ENDED` when its parent has.
    // One of a thread comes in as `busy` says: errors, and what is added to `displaced`, are AdmitToThread's.
    Awaitable<absl::StatusOr<RunRecord>> Create(RunRecord run, int max_unfinished,
                                                BusyPolicy busy = BusyPolicy::kUnspecified,
                                                Displaced* displaced = nullptr) const;
    // PENDING becomes CANCELLED; what executes becomes CANCELLING. FAILED_PRECONDITION `RUN_ENDED`,
    // NOT_FOUND `RUN_NOT_FOUND`.
    Awaitable<absl::StatusOr<RunRecord>> Cancel(std::string id, std::string comment, absl::Time now) const;
    // Holds it back, or lets it go on, also when a newer run of its thread has held it back: then the one makes it the
    // user's own, and the other lets it go on beside that run. FAILED_PRECONDITION `RUN_ENDED` (also when it is ending),
    // `RUN_NOT_INTERRUPTED`; NOT_FOUND `RUN_NOT_FOUND`.
    Awaitable<absl::StatusOr<RunRecord>> Interrupt(std::string id, absl::Time now) const;
    Awaitable<absl::StatusOr<RunRecord>> Resume(std::string id, absl::Time now) const;
    // The ids of the thread's runs that have not ended, oldest first.
    absl::StatusOr<std::vector<std::string>> UnfinishedOfThread(std::string_view thread) const;
    // The thread's newest runs that have ended, but `but`, oldest first: at most `max_runs`, whose inputs, answers and
    // errors have no more than `max_bytes` together.
    absl::StatusOr<std::vector<RunRecord>> History(std::string_view thread, std::string_view but, int max_runs,
                                                   size_t max_bytes) const;
    // FAILED_PRECONDITION `RUN_NOT_ENDED`, NOT_FOUND `RUN_NOT_FOUND`.
    Awaitable<absl::Status> Delete(std::string id) const;
    // Oldest first.
    absl::StatusOr<std::vector<ApprovalRecord>> Approvals(std::string_view run) const;
    // NOT_FOUND `APPROVAL_NOT_FOUND`; FAILED_PRECONDITION `APPROVAL_DECIDED`, `APPROVAL_EXPIRED`,
    // `APPROVAL_CALL_CHANGED` (`call_hash` differs). `decision`: verdict, comment,
    // edited_arguments, decided_by, decide_time, request_id: what was decided by the same request_id is answered again.
    Awaitable<absl::StatusOr<ApprovalRecord>> Resolve(std::string run, std::string approval, std::string call_hash,
                                                      ApprovalRecord decision) const;

   private:
    friend class RunStore;
    Scoped(const RunStore* store, std::string owner) : store_(store), owner_(std::move(owner)) {}
    const RunStore* store_;
    std::string owner_;
  };
  Scoped For(std::string owner) const { return Scoped(this, std::move(owner)); }

  // --- for the engine, which executes everybody's runs ---

  // Takes a run up under a new epoch: one that waits starts, one that a dead process left is
  // recovered (its event is run_recovered, unless it was being cancelled), one that has `woken` goes on. NOT_FOUND,
  // FAILED_PRECONDITION `RUN_ENDED`.
  Awaitable<absl::StatusOr<TakenUp>> TakeUp(int64_t key, absl::Time now,
                                            std::optional<Woken> woken = std::nullopt) const;

  // ABORTED `RUN_FENCED` when the run has another owner by now, or has ended.
  Awaitable<absl::Status> Write(Ownership owner, Append append) const;
  // The same for one who goes on meanwhile. In the order of the calls with Write; `done` is called on the storage's thread.
  void WriteThen(Ownership owner, Append append, absl::AnyInvocable<void(absl::Status)> done) const;

  // Stores a question with its intent in the journal; the run awaits approval.
  Awaitable<absl::Status> Ask(Ownership owner, ApprovalRecord approval, JournalRecord intent, RunTiming timing,
                              int steps) const;
  // What has been decided on a command of the run, or nullopt.
  absl::StatusOr<std::optional<ApprovalRecord>> FindApproval(int64_t key, std::string_view path) const;
  // Counts as denied unless it has been decided in the meantime. Returns how it stands.
  Awaitable<absl::StatusOr<ApprovalRecord>> Expire(Ownership owner, std::string path, absl::Time now) const;

  // Ends a run: tool calls that are open get their tool_completed, then comes the one terminal
  // event. An ownership without epoch (0) ends a run that nobody has taken up. ABORTED
  // `RUN_FENCED`.
  Awaitable<absl::StatusOr<RunRecord>> End(Ownership owner, Ending ending) const;

  // Cancels a run whose token has been revoked, whosever it is, and closes the questions that it asks. Else as Scoped::Cancel.
  Awaitable<absl::StatusOr<RunRecord>> CancelRevokedAcrossUsers(int64_t key, RevokedBy cause, absl::Time now) const;

  // Runs that have not ended, oldest first: one after another without holding all, or all.
  absl::Status EachUnfinishedAcrossUsers(absl::FunctionRef<void(const RunRecord&)> run) const;
  absl::StatusOr<std::vector<RunRecord>> UnfinishedAcrossUsers() const;

  absl::StatusOr<std::vector<RunRecord>> UnfinishedChildrenAcrossUsers(std::string_view parent) const;

  // Deletes runs that ended before `ended_before`, at most `limit`, with their journals; gives how many.
  Awaitable<absl::StatusOr<int>> DeleteEndedAcrossUsers(absl::Time ended_before, int limit) const;

  // --- for the relay ---
  absl::StatusOr<std::vector<OutboxEntry>> OutboxAcrossUsers(int64_t after, int limit) const;

  // For tests that look at what a run left.
  absl::StatusOr<std::vector<JournalRecord>> Journal(int64_t key) const;

  storage::Database& database() const { return *database_; }

 private:
  std::shared_ptr<storage::Database> database_;
  std::function<void()> on_outbox_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_STORE_H_
