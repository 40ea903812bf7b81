#include "services/common/storage/group_writer.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::storage {
namespace {

constexpr size_t kMaxGroup = 512;  // Bounds what one failed commit takes with it, and the wait of the first in a group.
constexpr size_t kMaxQueued = 16384;  // Beyond it the disk does not keep up, and callers must know.

}  // namespace

GroupWriter::GroupWriter(std::unique_ptr<SqliteConnection> connection, BeforeCommit before_commit)
    : connection_(std::move(connection)), before_commit_(std::move(before_commit)), thread_([this] { Run(); }) {}

GroupWriter::~GroupWriter() {
  {
    absl::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.Signal();
  }
  thread_.join();
}

void GroupWriter::Add(WriteFunction write, Done done) {
  {
    absl::MutexLock lock(mutex_);
    if (queue_.size() < kMaxQueued) {
      queue_.push_back({.write = std::move(write), .done = std::move(done), .result = absl::OkStatus()});
      changed_.Signal();
      return;
    }
  }
  done(MakeError(absl::StatusCode::kUnavailable, "Too many writes wait for the disk.",
                 {.domain = "bulkhead.storage", .reason = "STORAGE_BUSY"}));
}

void GroupWriter::Run() {
  while (true) {
    std::vector<Pending> group = TakeGroup();
    if (group.empty()) {
      return;
    }
    for (size_t next = 0; next < group.size();) {
      next = CommitFrom(next, group);
    }
    for (Pending& pending : group) {
      pending.write = nullptr;  // Nothing it holds is used once its caller goes on.
      pending.done(std::move(pending.result));
    }
  }
}

std::vector<GroupWriter::Pending> GroupWriter::TakeGroup() {
  absl::MutexLock lock(mutex_);
  while (queue_.empty() && !stopping_) {
    changed_.Wait(&mutex_);
  }
  const auto end = queue_.begin() + static_cast<ptrdiff_t>(std::min(queue_.size(), kMaxGroup));
  std::vector<Pending> group(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return group;
}

size_t GroupWriter::CommitFrom(size_t first, std::vector<Pending>& group) {
  absl::Status outcome = connection_->Execute("BEGIN IMMEDIATE").status();
  size_t next = group.size();
  if (outcome.ok()) {
    for (next = first; next < group.size() && connection_->in_transaction(); ++next) {
      group[next].result = RunInSavepoint(group[next].write);
    }
    // Some errors (disk full, I/O) make SQLite roll back the whole transaction: those before it share the fate of the
    // one that met it, those behind it get a transaction of their own.
    outcome = connection_->in_transaction() ? Commit() : group[next - 1].result;
  }
  if (!outcome.ok()) {
    for (size_t i = first; i < next; ++i) {
      if (group[i].result.ok()) {
        group[i].result = outcome;
      }
    }
  }
  return next;
}

absl::Status GroupWriter::RunInSavepoint(WriteFunction& write) {
  RETURN_IF_ERROR(connection_->Execute("SAVEPOINT one_write").status());
  absl::Status status = write(*connection_);
  if (!status.ok() && connection_->in_transaction()) {
    RETURN_IF_ERROR(connection_->Execute("ROLLBACK TO one_write").status());
  }
  if (connection_->in_transaction()) {
    RETURN_IF_ERROR(connection_->Execute("RELEASE one_write").status());
  } else if (status.ok()) {
    return MakeError(absl::StatusCode::kInternal, "A write ended the transaction that it shares with others.",
                     {.domain = "bulkhead.storage", .reason = "STORAGE_FAILED"});
  }
  return status;
}

absl::Status GroupWriter::Commit() {
  ++commits_;
  absl::Status status = before_commit_ ? before_commit_(commits_) : absl::OkStatus();
  if (status.ok()) {
    status = connection_->Execute("COMMIT").status();
  }
  if (!status.ok() && connection_->in_transaction()) {
    connection_->Execute("ROLLBACK").IgnoreError();  // The error of the commit says more.
  }
  return status;
}

}  // namespace bulkhead::storage
