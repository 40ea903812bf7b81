// Connections that read.
#ifndef SERVICES_COMMON_STORAGE_READER_POOL_H_
#define SERVICES_COMMON_STORAGE_READER_POOL_H_

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/sqlite_connection.h"

namespace bulkhead::storage {

// Thread-safe. Opens connections as they are needed, up to `size`.
class ReaderPool {
 public:
  ReaderPool(SqliteLocation location, int size);

  // Runs `read` in one snapshot on a connection that nobody else uses. UNAVAILABLE `STORAGE_BUSY` when none becomes
  // free within 10 s.
  absl::Status Read(absl::FunctionRef<absl::Status(Connection&)> read);

 private:
  absl::StatusOr<std::unique_ptr<SqliteConnection>> Take();
  void GiveBack(std::unique_ptr<SqliteConnection> connection);  // Null when it could not be opened.
  bool HasFree() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !idle_.empty() || unopened_ > 0; }

  const SqliteLocation location_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<SqliteConnection>> idle_ ABSL_GUARDED_BY(mutex_);
  int unopened_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_READER_POOL_H_
