#include "services/common/storage/sqlite_connection.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/sqlite_memory.h"

namespace bulkhead::storage {
namespace {

constexpr int kBusyTimeoutMs = 5000;
// The statements of a service are some dozens of constants; more means that SQL is put together from values.
constexpr size_t kMaxPrepared = 256;

absl::Status ToStatus(int code, std::string_view message) {
  const auto error = [&](absl::StatusCode status_code, std::string_view reason) {
    return MakeError(status_code, absl::StrCat("Storage: ", message),
                     {.domain = "bulkhead.storage",
                      .reason = std::string(reason),
                      .metadata = {{"sqlite_code", absl::StrCat(code)}}});
  };
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return error(absl::StatusCode::kAlreadyExists, "STORAGE_CONFLICT");
    default:
      break;
  }
  switch (code & 0xFF) {
    case SQLITE_CONSTRAINT:
      return error(absl::StatusCode::kFailedPrecondition, "STORAGE_CONSTRAINT");
    case SQLITE_FULL:
      return error(absl::StatusCode::kResourceExhausted, "STORAGE_FULL");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return error(absl::StatusCode::kUnavailable, "STORAGE_BUSY");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return error(absl::StatusCode::kDataLoss, "STORAGE_CORRUPT");
    case SQLITE_CANTOPEN:
      return error(absl::StatusCode::kFailedPrecondition, "STORAGE_CANNOT_OPEN");
    default:
      return error(absl::StatusCode::kInternal, "STORAGE_FAILED");
  }
}

class SqliteRow : public Row {
 public:
  explicit SqliteRow(sqlite3_stmt* statement) : statement_(statement) {}
  bool IsNull(int column) const override { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  int64_t Int(int column) const override { return sqlite3_column_int64(statement_, column); }
  double Real(int column) const override { return sqlite3_column_double(statement_, column); }
  std::string Text(int column) const override { return Bytes(sqlite3_column_text(statement_, column), column); }
  std::string Blob(int column) const override { return Bytes(sqlite3_column_blob(statement_, column), column); }

 private:
  // The pointer comes first: asking for it may convert the value and so change its length.
  std::string Bytes(const void* data, int column) const {
    return data == nullptr ? "" : std::string(static_cast<const char*>(data), sqlite3_column_bytes(statement_, column));
  }

  sqlite3_stmt* const statement_;
};

// Creates the file readable for its owner alone, before SQLite would create it readable for all. Its -wal and -shm
// files get the same mode.
void CreatePrivately(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file >= 0) {
    close(file);
  }
}

}  // namespace

SqliteLocation LocationOf(std::string_view path) {
  if (!path.empty()) {
    return {.uri = std::string(path)};
  }
  static_cast<void>(CountSqliteMemory());  // The next line uses SQLite.
  std::string name(16, '\0');
  sqlite3_randomness(static_cast<int>(name.size()), name.data());
  return {.uri = absl::StrCat("file:/", absl::BytesToHexString(name), "?vfs=memdb"), .in_memory = true};
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(const SqliteLocation& location, Mode mode) {
  // Not for this connection, but perhaps it is the first one.
  static_cast<void>(CountSqliteMemory());
  if (!location.in_memory && mode != Mode::kReader) {
    CreatePrivately(location.uri);
  }
  // A path must not be read as a URI; its owner chose it.
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (mode == Mode::kReader ? 0 : SQLITE_OPEN_CREATE) | (location.in_memory ? SQLITE_OPEN_URI : 0);
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(location.uri.c_str(), &handle, flags, /*zVfs=*/nullptr);
  if (code != SQLITE_OK) {
    absl::Status status = Annotate(ToStatus(code, sqlite3_errstr(code)), absl::StrCat("Opening ", location.uri));
    sqlite3_close(handle);
    return status;
  }
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(handle));
  if (absl::Status status = connection->Configure(location, mode); !status.ok()) {
    return Annotate(status, absl::StrCat("Opening ", location.uri));
  }
  return connection;
}

absl::Status SqliteConnection::Configure(const SqliteLocation& location, Mode mode) {
  sqlite3_busy_timeout(handle_, kBusyTimeoutMs);
  RETURN_IF_ERROR(ExecuteScript("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"));
  if (mode == Mode::kReader) {
    return ExecuteScript("PRAGMA query_only = ON;");
  }
  RETURN_IF_ERROR(
      ExecuteScript(mode == Mode::kDurableWriter ? "PRAGMA synchronous = FULL;" : "PRAGMA synchronous = NORMAL;"));
  if (location.in_memory) {
    return absl::OkStatus();
  }
  // Pages that many commits change (the ends of tables, indexes) are copied to the file once for all of them. At the usual
  // 1000 pages a busy writer spends more time on copying than on committing. 32 MiB of log are read in a moment at a start.
  RETURN_IF_ERROR(ExecuteScript("PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -16384;"));
  return Query("PRAGMA journal_mode = WAL", {}, [](const Row& row) {
    if (row.Text(0) == "wal") {
      return absl::OkStatus();
    }
    return MakeError(absl::StatusCode::kFailedPrecondition, "The file system does not support write-ahead logging.",
                     {.domain = "bulkhead.storage", .reason = "STORAGE_CANNOT_OPEN"});
  });
}

SqliteConnection::~SqliteConnection() {
  for (const auto& [sql, prepared] : prepared_) {
    sqlite3_finalize(prepared.statement);
  }
  sqlite3_close(handle_);
}

absl::StatusOr<int64_t> SqliteConnection::Execute(std::string_view sql, std::vector<Value> values) {
  ASSIGN_OR_RETURN(const Lease statement, Prepare(sql, values));
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) {
    code = sqlite3_step(statement.get());
  }
  if (code != SQLITE_DONE) {
    return LastError();
  }
  // What reads only leaves the count of the statement before it.
  return sqlite3_stmt_readonly(statement.get()) ? 0 : sqlite3_changes64(handle_);
}

absl::Status SqliteConnection::Query(std::string_view sql, std::vector<Value> values,
                                     absl::FunctionRef<absl::Status(const Row&)> row) {
  ASSIGN_OR_RETURN(const Lease statement, Prepare(sql, values));
  const SqliteRow current(statement.get());
  int code;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
    RETURN_IF_ERROR(row(current));
  }
  return code == SQLITE_DONE ? absl::OkStatus() : LastError();
}

int64_t SqliteConnection::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }

absl::Status SqliteConnection::ExecuteScript(std::string_view sql) {
  const int code = sqlite3_exec(handle_, std::string(sql).c_str(), /*callback=*/nullptr, nullptr, /*errmsg=*/nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : LastError();
}

bool SqliteConnection::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

void SqliteConnection::Release::operator()(sqlite3_stmt* statement) const {
  if (cached == nullptr) {
    sqlite3_finalize(statement);
    return;
  }
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  cached->in_use = false;
}

absl::StatusOr<sqlite3_stmt*> SqliteConnection::Compile(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const char* tail = nullptr;
  if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                         &tail) != SQLITE_OK) {
    return Annotate(LastError(), absl::StrCat("In `", sql, "`"));
  }
  const std::string_view rest(tail, sql.data() + sql.size() - tail);
  if (statement == nullptr || !absl::StripAsciiWhitespace(rest).empty()) {
    sqlite3_finalize(statement);
    return MakeError(absl::StatusCode::kInternal, absl::StrCat("Not one statement: `", sql, "`."),
                     {.domain = "bulkhead.storage", .reason = "STORAGE_FAILED"});
  }
  return statement;
}

absl::StatusOr<SqliteConnection::Lease> SqliteConnection::Prepare(std::string_view sql,
                                                                  const std::vector<Value>& values) {
  auto found = prepared_.find(sql);
  Lease lease;
  if (found != prepared_.end() && !found->second.in_use) {
    lease = Lease(found->second.statement, Release{&found->second});
    found->second.in_use = true;
  } else {
    ASSIGN_OR_RETURN(sqlite3_stmt* const statement, Compile(sql));
    // One that runs already (a query inside of its own row callback) needs a second copy, which is not kept.
    Prepared* cached = nullptr;
    if (found == prepared_.end() && prepared_.size() < kMaxPrepared) {
      cached = &prepared_.emplace(std::string(sql), Prepared{statement, /*in_use=*/true}).first->second;
    }
    lease = Lease(statement, Release{cached});
  }
  RETURN_IF_ERROR(Bind(lease.get(), values));
  return lease;
}

absl::Status SqliteConnection::Bind(sqlite3_stmt* statement, const std::vector<Value>& values) {
  if (static_cast<size_t>(sqlite3_bind_parameter_count(statement)) != values.size()) {
    return MakeError(absl::StatusCode::kInternal,
                     absl::StrCat("`", sqlite3_sql(statement), "` takes ", sqlite3_bind_parameter_count(statement),
                                  " values and got ", values.size(), "."),
                     {.domain = "bulkhead.storage", .reason = "STORAGE_FAILED"});
  }
  struct Binder {
    sqlite3_stmt* statement;
    int index;
    int operator()(std::nullptr_t) const { return sqlite3_bind_null(statement, index); }
    int operator()(int64_t value) const { return sqlite3_bind_int64(statement, index, value); }
    int operator()(double value) const { return sqlite3_bind_double(statement, index, value); }
    int operator()(const std::string& value) const {
      return sqlite3_bind_text64(statement, index, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    int operator()(const storage::Blob& value) const {
      // A null pointer would bind NULL; that of an empty string is none.
      return sqlite3_bind_blob64(statement, index, value.bytes.data(), value.bytes.size(), SQLITE_STATIC);
    }
  };
  int index = 0;
  for (const Value& value : values) {
    const int code = std::visit(Binder{statement, ++index}, value);
    if (code != SQLITE_OK) {
      return ToStatus(code, sqlite3_errstr(code));
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteConnection::LastError() const {
  return ToStatus(sqlite3_extended_errcode(handle_), sqlite3_errmsg(handle_));
}

}  // namespace bulkhead::storage
