// A service's own SQL database: one writer that groups commits, many readers. SQLite in WAL mode.
//
// Tables that only grow (events, journals, audit) are keyed by one global sequence, with the key that readers use as a
// second index:
//
//   CREATE TABLE events (
//     id INTEGER PRIMARY KEY,
//     stream TEXT NOT NULL,
//     sequence INTEGER NOT NULL,
//     envelope BLOB NOT NULL
//   );
//   CREATE UNIQUE INDEX events_by_stream ON events (stream, sequence);
//
// Rows then go to the right edge of the table whichever stream they belong to. Measured five times faster than rows
// that lie under a key of (stream, sequence), which an insert finds all over the file.
#ifndef SERVICES_COMMON_STORAGE_DATABASE_H_
#define SERVICES_COMMON_STORAGE_DATABASE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/connection.h"

namespace bulkhead::storage {

// `statements` take the schema from version N-1 to N, N being the position in the list from 1. Never edit one that
// shipped.
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
    // For crash tests: called before the `n`th commit since opening, from 1. An error takes the place of the commit:
    // the writes are rolled back and get it. A storage that dies at its nth commit is one whose hook fails from n on.
    std::function<absl::Status(int64_t n)> before_commit;
  };

  // Opens or creates, and migrates. FAILED_PRECONDITION `STORAGE_TOO_NEW` when a later version of Bulkhead wrote it,
  // and `STORAGE_CANNOT_OPEN` when the file cannot be opened or created.
  static absl::StatusOr<std::unique_ptr<Database>> Open(Options options);
  virtual ~Database() = default;  // Commits what is queued.

  using WriteFunction = absl::AnyInvocable<absl::Status(Connection&)>;

  // Runs `write` in a transaction on the writer thread and resumes when it is durable. Writes queued meanwhile share
  // one commit, each in a savepoint of its own: one that returns an error is rolled back alone. In the order of the
  // calls. `write` must not block on anything else. UNAVAILABLE `STORAGE_BUSY`, at once, when thousands of writes wait
  // already.
  virtual Awaitable<absl::Status> Write(WriteFunction write) = 0;
  // The same with a callback (on the writer thread; short), and blocking, for start-up and tests.
  virtual void WriteThen(WriteFunction write, absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual absl::Status WriteAndWait(WriteFunction write) = 0;

  // Runs `read` on a reader connection in one snapshot. Short reads only: it runs on the caller's thread.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(Connection&)> read) = 0;
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_DATABASE_H_
