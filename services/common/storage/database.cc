#include "services/common/storage/database.h"

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/group_writer.h"
#include "services/common/storage/migrations.h"
#include "services/common/storage/reader_pool.h"
#include "services/common/storage/sqlite_connection.h"

namespace bulkhead::storage {
namespace {

class SqliteDatabase : public Database {
 public:
  SqliteDatabase(std::unique_ptr<SqliteConnection> writer, const SqliteLocation& location, Options options)
      : readers_(location, options.readers), writer_(std::move(writer), std::move(options.before_commit)) {}

  Awaitable<absl::Status> Write(WriteFunction write) override {
    return AwaitCallback<absl::Status>(
        [this, write = std::move(write)](absl::AnyInvocable<void(absl::Status)> done) mutable {
          WriteThen(std::move(write), std::move(done));
        });
  }

  void WriteThen(WriteFunction write, absl::AnyInvocable<void(absl::Status)> done) override {
    writer_.Add(std::move(write), std::move(done));
  }

  absl::Status WriteAndWait(WriteFunction write) override {
    if (writer_.IsOnWriterThread()) {
      return MakeError(absl::StatusCode::kInternal, "A write waits for another on the writer's own thread.",
                       {.domain = "bulkhead.storage", .reason = "STORAGE_FAILED"});
    }
    absl::Status result;
    absl::Notification finished;
    WriteThen(std::move(write), [&](absl::Status status) {
      result = std::move(status);
      finished.Notify();
    });
    finished.WaitForNotification();
    return result;
  }

  absl::Status Read(absl::FunctionRef<absl::Status(Connection&)> read) override { return readers_.Read(read); }

 private:
  ReaderPool readers_;
  GroupWriter writer_;  // Dies first: what it still calls back may read.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(Options options) {
  const SqliteLocation location = LocationOf(options.path);
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> writer,
                   SqliteConnection::Open(location, options.durable ? SqliteConnection::Mode::kDurableWriter
                                                                    : SqliteConnection::Mode::kWriter));
  RETURN_IF_ERROR(Migrate(*writer, options.migrations));
  return std::make_unique<SqliteDatabase>(std::move(writer), location, std::move(options));
}

}  // namespace bulkhead::storage
