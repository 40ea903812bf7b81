#include "services/common/storage/reader_pool.h"

#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::storage {
namespace {

constexpr absl::Duration kMaxWait = absl::Seconds(10);  // Reads are short; this means that one of them is not.

absl::Status ReadInSnapshot(SqliteConnection& connection, absl::FunctionRef<absl::Status(Connection&)> read) {
  RETURN_IF_ERROR(connection.Execute("BEGIN").status());
  absl::Status status = read(connection);
  if (connection.in_transaction()) {
    status.Update(connection.Execute("COMMIT").status());
  }
  return status;
}

}  // namespace

ReaderPool::ReaderPool(SqliteLocation location, int size) : location_(std::move(location)), unopened_(size) {}

absl::Status ReaderPool::Read(absl::FunctionRef<absl::Status(Connection&)> read) {
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> connection, Take());
  absl::Status status = ReadInSnapshot(*connection, read);
  GiveBack(std::move(connection));
  return status;
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> ReaderPool::Take() {
  {
    absl::MutexLock lock(mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &ReaderPool::HasFree), kMaxWait)) {
      return MakeError(absl::StatusCode::kUnavailable, "All connections to read from are busy.",
                       {.domain = "bulkhead.storage", .reason = "STORAGE_BUSY"});
    }
    if (!idle_.empty()) {
      std::unique_ptr<SqliteConnection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    --unopened_;
  }
  auto connection = SqliteConnection::Open(location_, SqliteConnection::Mode::kReader);
  if (!connection.ok()) {
    GiveBack(nullptr);
  }
  return connection;
}

void ReaderPool::GiveBack(std::unique_ptr<SqliteConnection> connection) {
  absl::MutexLock lock(mutex_);
  if (connection == nullptr) {
    ++unopened_;
  } else {
    idle_.push_back(std::move(connection));
  }
}

}  // namespace bulkhead::storage
