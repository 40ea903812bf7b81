// A service's own SQL database: one writer that groups commits, many readers. SQLite in WAL mode.
#ifndef SERVICES_COMMON_STORAGE_DATABASE_H_
#define SERVICES_COMMON_STORAGE_DATABASE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::storage {

struct Blob {
  std::string bytes;
};

// A value bound to a `?` of a statement. Times are stored as microseconds since the Unix epoch (int64_t).
using Value = std::variant<std::nullptr_t, int64_t, double, std::string, Blob>;

// One row of a result; valid during the callback that receives it. Columns count from 0.
class Row {
 public:
  virtual ~Row() = default;
  virtual bool IsNull(int column) const = 0;
  virtual int64_t Int(int column) const = 0;
  virtual double Real(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual std::string Blob(int column) const = 0;
};

// Runs statements. Statements are prepared once a connection and kept. Used by one thread at a time.
//
// Errors: domain bulkhead.storage. ALREADY_EXISTS `STORAGE_CONFLICT` (unique key), FAILED_PRECONDITION `STORAGE_CONSTRAINT`, RESOURCE_EXHAUSTED
// `STORAGE_FULL`, UNAVAILABLE `STORAGE_BUSY`, DATA_LOSS `STORAGE_CORRUPT`, INTERNAL `STORAGE_FAILED`.
class Connection {
 public:
  virtual ~Connection() = default;
  // Returns the number of rows changed.
  virtual absl::StatusOr<int64_t> Execute(std::string_view sql, std::vector<Value> values = {}) = 0;
  // Calls `row` for each row; stops at the first error it returns, and returns that.
  virtual absl::Status Query(std::string_view sql, std::vector<Value> values,
                             absl::FunctionRef<absl::Status(const Row&)> row) = 0;
  // The row id given by the last INSERT of this connection.
  virtual int64_t last_insert_id() const = 0;
};

// `statements` take the schema from version N-1 to N, N being the position in the list from 1. Never edit one that shipped.
struct Migration {
  std::string_view name;
  std::string_view statements;
};

// Thread-safe.
class Database {
 public:
  struct Options {
    std::string path;  // "" keeps it in memory, for tests.
    std::vector<Migration> migrations;
    int readers = 4;
    // False skips the fsync of each commit: a power cut may lose the last commits, a crash of the process may not.
    bool durable = true;
  };

  // Opens or creates, and migrates. FAILED_PRECONDITION `STORAGE_TOO_NEW` when a later version of Bulkhead wrote it.
  static absl::StatusOr<std::unique_ptr<Database>> Open(Options options);
  virtual ~Database() = default;  // Commits what is queued.

  using WriteFunction = absl::AnyInvocable<absl::Status(Connection&)>;

  // Runs `write` in a transaction on the writer thread and resumes when it is durable. Writes queued meanwhile share one commit, each
  // in a savepoint of its own: one that returns an error is rolled back alone. In the order of the calls. `write` must not block on anything else.
  virtual Awaitable<absl::Status> Write(WriteFunction write) = 0;
  // The same with a callback (on the writer thread; short), and blocking, for start-up and tests.
  virtual void WriteThen(WriteFunction write, absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual absl::Status WriteAndWait(WriteFunction write) = 0;

  // Runs `read` on a reader connection in one snapshot. Short reads only: it runs on the caller's thread.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(Connection&)> read) = 0;
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_DATABASE_H_
