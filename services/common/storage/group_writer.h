// The one thread that writes: it commits in groups what was queued while it wrote.
#ifndef SERVICES_COMMON_STORAGE_GROUP_WRITER_H_
#define SERVICES_COMMON_STORAGE_GROUP_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/sqlite_connection.h"

namespace bulkhead::storage {

// Thread-safe.
class GroupWriter {
 public:
  using WriteFunction = absl::AnyInvocable<absl::Status(Connection&)>;
  using Done = absl::AnyInvocable<void(absl::Status)>;
  using BeforeCommit = std::function<absl::Status(int64_t n)>;

  // `before_commit` may be null; see Database::Options.
  GroupWriter(std::unique_ptr<SqliteConnection> connection, BeforeCommit before_commit);
  // Commits what is queued.
  ~GroupWriter();

  // Calls `done` on the writer's thread once `write` is committed or has failed; at once when too many wait.
  void Add(WriteFunction write, Done done);

  bool IsOnWriterThread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  struct Pending {
    WriteFunction write;
    Done done;
    absl::Status result;
  };

  void Run();
  // The writes of the next group, in their order; none when the writer stops.
  std::vector<Pending> TakeGroup();
  // Runs writes from `first` on in one transaction, sets their results, and returns the first one that it did not run.
  size_t CommitFrom(size_t first, std::vector<Pending>& group);
  absl::Status RunInSavepoint(WriteFunction& write);
  absl::Status Commit();

  const std::unique_ptr<SqliteConnection> connection_;  // Of the thread alone.
  const BeforeCommit before_commit_;
  int64_t commits_ = 0;  // Of the thread alone.

  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::deque<Pending> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last, so that it starts when the rest exists.
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_GROUP_WRITER_H_
