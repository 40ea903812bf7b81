// Databases that users fill and query themselves: bulk loads, and read-only SQL that is not
// trusted. SQLite.
//
// A service's own data is in storage::Database; nothing here touches it. Each object below is one
// connection, cheap to open, used by one thread at a time; any number may be open on one file. A
// load does not block queries: they see the state before it until it commits.
//
// Errors: domain bulkhead.storage, those of Connection (database.h), and CANCELLED
// `QUERY_INTERRUPTED` when the stop token was requested.
#ifndef SERVICES_COMMON_STORAGE_USER_DATABASE_H_
#define SERVICES_COMMON_STORAGE_USER_DATABASE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/storage/connection.h"

namespace bulkhead::storage {

// "name", with quotes in it doubled.
std::string QuoteIdentifier(std::string_view name);
// 'text', with quotes in it doubled.
std::string QuoteText(std::string_view text);

// SQLite's limit on columns of a table.
inline constexpr size_t kMaxTableColumns = 2000;
// No row of a query may have more in its texts and blobs unless the caller says so.
inline constexpr size_t kMaxRowBytes = 32 << 20;

// Reads one user's database with SQL that he, or a model, wrote. The file is opened read-only, and
// a statement is refused that does anything but read: no ATTACH, no PRAGMA, no functions that reach
// out of the database.
class UserReader {
 public:
  // NOT_FOUND `STORAGE_NOT_FOUND` when there is no such file yet. `stop` interrupts whatever runs.
  static absl::StatusOr<std::unique_ptr<UserReader>> Open(const std::string& path, std::stop_token stop);
  ~UserReader();

  // Runs one SELECT, VALUES, WITH or EXPLAIN. `columns` gets the names of the result before the
  // first row; `row` each row, and may return false to stop. INVALID_ARGUMENT `QUERY_INVALID`
  // (SQLite's message in metadata `problem`), PERMISSION_DENIED `QUERY_NOT_READ_ONLY`,
  // RESOURCE_EXHAUSTED `QUERY_TOO_LARGE` (a value over 16 MiB, or over 128 MiB of memory for all that
  // the query holds at once) and `QUERY_ROW_TOO_LARGE` (the texts and blobs of a row, or the names of
  // the columns, over `max_row_bytes`: found before they are copied).
  absl::Status Query(std::string_view sql, const std::vector<Value>& parameters,
                     absl::FunctionRef<void(std::vector<std::string>)> columns,
                     absl::FunctionRef<bool(std::vector<Value>)> row, size_t max_row_bytes = kMaxRowBytes);

 private:
  struct State;
  explicit UserReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Fills one user's database.
class UserWriter {
 public:
  struct Options {
    std::string path;        // Made when missing.
    uint64_t max_bytes = 0;  // Of the whole file; RESOURCE_EXHAUSTED `STORAGE_FULL` beyond. 0: no limit.
  };

  static absl::StatusOr<std::unique_ptr<UserWriter>> Open(const Options& options, std::stop_token stop);
  // Rolls back what is not committed.
  ~UserWriter();

  // Waits for other writers of this file until `stop`.
  absl::Status Begin();
  absl::Status Commit();

  // One trusted statement.
  absl::Status Execute(std::string_view sql, const std::vector<Value>& parameters = {});

  // Prepares to insert rows of `columns` values into `table`: set each value by its column from 0,
  // then Insert. Values that are not set are NULL. A text that is set is read by Insert and must
  // live until then.
  absl::Status PrepareInsert(std::string_view table, size_t columns);
  void SetInteger(size_t column, int64_t value);
  void SetReal(size_t column, double value);
  void SetText(size_t column, std::string_view value);
  absl::Status Insert();

 private:
  struct State;
  explicit UserWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_USER_DATABASE_H_
