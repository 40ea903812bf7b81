#include "services/common/storage/user_database.h"

#include <sqlite3.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/sqlite_memory.h"

namespace bulkhead::storage {
namespace {

constexpr char kDomain[] = "bulkhead.storage";
// A value larger than this is neither stored nor made by a query.
constexpr int kMaxValueBytes = 16 << 20;
// How many steps of SQLite's virtual machine pass between two looks at the stop token: some
// microseconds.
constexpr int kStepsBetweenChecks = 1000;
// What a connection may keep in memory of its file, in KiB.
constexpr int kReaderCacheKib = 16 << 10;
constexpr int kWriterCacheKib = 32 << 10;
// What SQLite may allocate for a reader, cache and statement together: for some values of the largest
// size at once, of the thousands that the columns of one row could be.
constexpr int64_t kMaxReaderBytes = 128 << 20;
// How long SQLite waits for a lock by itself; between two waits the stop token is looked at.
constexpr int kLockWaitMilliseconds = 50;

struct CloseConnection {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
using Handle = std::unique_ptr<sqlite3, CloseConnection>;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

absl::Status Interrupted() {
  return MakeError(absl::StatusCode::kCancelled, "the query was interrupted",
                   {.domain = kDomain, .reason = "QUERY_INTERRUPTED"});
}

absl::Status NotReadOnly(std::string_view problem) {
  return MakeError(
      absl::StatusCode::kPermissionDenied, absl::StrCat("only a single statement that reads is allowed: ", problem),
      {.domain = kDomain, .reason = "QUERY_NOT_READ_ONLY", .metadata = {{"problem", std::string(problem)}}});
}

absl::Status TooMuchMemory() {
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("the query needs more than ", kMaxReaderBytes, " bytes of memory at once; select less"),
                   {.domain = kDomain, .reason = "QUERY_TOO_LARGE", .metadata = {{"problem", "out of memory"}}});
}

absl::Status RowTooLarge(size_t max_row_bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("a row has more than ", max_row_bytes, " bytes; select less"),
                   {.domain = kDomain, .reason = "QUERY_ROW_TOO_LARGE"});
}

// The status of the last call on `handle` that failed with `code`.
absl::Status ErrorOf(sqlite3* handle, int code) {
  const std::string problem = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  auto make = [&problem](absl::StatusCode status, std::string_view reason) {
    return MakeError(status, problem,
                     {.domain = kDomain, .reason = std::string(reason), .metadata = {{"problem", problem}}});
  };
  switch (code & 0xff) {
    case SQLITE_INTERRUPT:
      return Interrupted();
    case SQLITE_AUTH:
      return NotReadOnly(problem);
    case SQLITE_FULL:
      return make(absl::StatusCode::kResourceExhausted, "STORAGE_FULL");
    case SQLITE_TOOBIG:
      return make(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE");
    case SQLITE_NOMEM:
      return TooMuchMemory();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make(absl::StatusCode::kUnavailable, "STORAGE_BUSY");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return make(absl::StatusCode::kDataLoss, "STORAGE_CORRUPT");
    case SQLITE_CANTOPEN:
      return make(absl::StatusCode::kNotFound, "STORAGE_NOT_FOUND");
    default:
      return make(absl::StatusCode::kInternal, "STORAGE_FAILED");
  }
}

int IsStopped(void* stop) { return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0; }

// Decides what a statement of the user's may do. https://www.sqlite.org/c3ref/set_authorizer.html
// `refused` (a bool) remembers: SQLite gives a function that is refused the same error as one that
// does not exist.
int Authorize(void* refused, int action, const char* /*first*/, const char* second, const char* /*database*/,
              const char* /*trigger*/) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      // The one function that brings code in from outside.
      if (second == nullptr || absl::AsciiStrToLower(second) != "load_extension") {
        return SQLITE_OK;
      }
      break;
    default:
      break;
  }
  *static_cast<bool*>(refused) = true;
  return SQLITE_DENY;
}

absl::Status RunScript(sqlite3* handle, const char* sql) {
  const int code = sqlite3_exec(handle, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ErrorOf(handle, code);
}

// Values are copied: they need not outlive the call.
absl::Status Bind(sqlite3* handle, sqlite3_stmt* statement, const std::vector<Value>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const int index = static_cast<int>(i) + 1;
    int code = SQLITE_OK;
    if (const auto* integer = std::get_if<int64_t>(&values[i])) {
      code = sqlite3_bind_int64(statement, index, *integer);
    } else if (const auto* real = std::get_if<double>(&values[i])) {
      code = sqlite3_bind_double(statement, index, *real);
    } else if (const auto* text = std::get_if<std::string>(&values[i])) {
      code = sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else if (const auto* blob = std::get_if<Blob>(&values[i])) {
      code = sqlite3_bind_blob64(statement, index, blob->bytes.data(), blob->bytes.size(), SQLITE_TRANSIENT);
    } else {
      code = sqlite3_bind_null(statement, index);
    }
    if (code != SQLITE_OK) {
      return ErrorOf(handle, code);
    }
  }
  return absl::OkStatus();
}

// Of texts and blobs. Nothing is converted or expanded for it.
size_t BytesOf(sqlite3_stmt* statement, int column) {
  const int type = sqlite3_column_type(statement, column);
  return type == SQLITE_TEXT || type == SQLITE_BLOB ? static_cast<size_t>(sqlite3_column_bytes(statement, column)) : 0;
}

// Nothing when there is no memory for it: a blob of zeroes, for one, has not had any so far.
std::optional<Value> ColumnOf(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return static_cast<int64_t>(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      if (text == nullptr) {
        return std::nullopt;
      }
      return std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement, column)));
    }
    case SQLITE_BLOB: {
      // The size comes first: a blob that there is no memory for becomes NULL.
      const auto size = static_cast<size_t>(sqlite3_column_bytes(statement, column));
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
      if (bytes == nullptr && size > 0) {
        return std::nullopt;
      }
      return Blob{size == 0 ? std::string() : std::string(bytes, size)};
    }
    default:
      return nullptr;
  }
}

absl::StatusOr<Handle> OpenHandle(const std::string& path, int flags) {
  if (!CountSqliteMemory()) {
    return MakeError(absl::StatusCode::kInternal, "SQLite was in use before its memory could be bounded",
                     {.domain = kDomain, .reason = "STORAGE_FAILED"});
  }
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Handle handle(raw);
  if (code != SQLITE_OK) {
    return ErrorOf(handle.get(), code);
  }
  sqlite3_extended_result_codes(handle.get(), 1);
  sqlite3_db_config(handle.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // "name" is a column, or an error: SQLite would take the name of no column as a text.
  sqlite3_db_config(handle.get(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle.get(), SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_limit(handle.get(), SQLITE_LIMIT_LENGTH, kMaxValueBytes);
  sqlite3_limit(handle.get(), SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_busy_timeout(handle.get(), kLockWaitMilliseconds);
  return handle;
}

// The tail of a statement after its first one: only spaces, comments and semicolons may be left.
bool IsBlank(sqlite3* handle, std::string_view tail) {
  while (!tail.empty()) {
    sqlite3_stmt* raw = nullptr;
    const char* rest = nullptr;
    const int code = sqlite3_prepare_v2(handle, tail.data(), static_cast<int>(tail.size()), &raw, &rest);
    Statement statement(raw);
    if (code != SQLITE_OK || statement != nullptr) {
      return false;
    }
    const auto used = static_cast<size_t>(rest - tail.data());
    if (used == 0) {
      return true;
    }
    tail.remove_prefix(used);
  }
  return true;
}

}  // namespace

std::string QuoteIdentifier(std::string_view name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

std::string QuoteText(std::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}}), "'");
}

// The stop token has a fixed address: SQLite's handlers point to it. Members die in reverse order,
// the connection first.
struct UserReader::State {
  std::stop_token stop;
  bool refused = false;  // By the authorizer.
  SqliteMemory memory{kMaxReaderBytes};
  Handle handle;
};

UserReader::UserReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
UserReader::~UserReader() = default;

absl::StatusOr<std::unique_ptr<UserReader>> UserReader::Open(const std::string& path, std::stop_token stop) {
  auto state = std::make_unique<State>();
  state->stop = std::move(stop);
  ASSIGN_OR_RETURN(state->handle, OpenHandle(path, SQLITE_OPEN_READONLY));
  sqlite3* handle = state->handle.get();
  sqlite3_limit(handle, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
  sqlite3_limit(handle, SQLITE_LIMIT_EXPR_DEPTH, 200);
  sqlite3_limit(handle, SQLITE_LIMIT_WORKER_THREADS, 0);
  RETURN_IF_ERROR(
      RunScript(handle, absl::StrCat("PRAGMA cache_size=-", kReaderCacheKib, "; PRAGMA query_only=1").c_str()));
  sqlite3_set_authorizer(handle, Authorize, &state->refused);
  sqlite3_progress_handler(handle, kStepsBetweenChecks, IsStopped, &state->stop);
  return std::unique_ptr<UserReader>(new UserReader(std::move(state)));
}

absl::Status UserReader::Query(std::string_view sql, const std::vector<Value>& parameters,
                               absl::FunctionRef<void(std::vector<std::string>)> columns,
                               absl::FunctionRef<bool(std::vector<Value>)> row, size_t max_row_bytes) {
  sqlite3* handle = state_->handle.get();
  const SqliteMemory::Scope counted(&state_->memory);
  auto invalid = [](std::string_view problem) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("the query is not valid: ", problem),
                     {.domain = kDomain, .reason = "QUERY_INVALID", .metadata = {{"problem", std::string(problem)}}});
  };

  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  state_->refused = false;
  int code = sqlite3_prepare_v2(handle, sql.data(), static_cast<int>(sql.size()), &raw, &tail);
  Statement statement(raw);
  if (state_->refused) {
    return NotReadOnly(sqlite3_errmsg(handle));
  }
  if ((code & 0xff) == SQLITE_ERROR || code == SQLITE_TOOBIG) {
    return invalid(sqlite3_errmsg(handle));
  }
  if (code != SQLITE_OK) {
    return ErrorOf(handle, code);
  }
  if (statement == nullptr) {
    return invalid("it is empty");
  }
  if (!IsBlank(handle, sql.substr(static_cast<size_t>(tail - sql.data())))) {
    return NotReadOnly("there is more than one");
  }
  // The authorizer has refused all writing already; this is the second lock on the same door.
  if (sqlite3_stmt_readonly(statement.get()) == 0) {
    return NotReadOnly("this one writes");
  }
  if (const int wanted = sqlite3_bind_parameter_count(statement.get());
      static_cast<size_t>(wanted) != parameters.size()) {
    return invalid(absl::StrCat("it has ", wanted, " parameters, but ", parameters.size(), " were given"));
  }
  RETURN_IF_ERROR(Bind(handle, statement.get(), parameters));

  const int count = sqlite3_column_count(statement.get());
  std::vector<std::string> names;
  size_t name_bytes = 0;
  for (int i = 0; i < count; ++i) {
    const char* name = sqlite3_column_name(statement.get(), i);
    if (name == nullptr) {
      return TooMuchMemory();
    }
    names.emplace_back(name);
    name_bytes += names.back().size();
    if (name_bytes > max_row_bytes) {
      return RowTooLarge(max_row_bytes);
    }
  }
  columns(std::move(names));
  while (true) {
    if (state_->stop.stop_requested()) {
      return Interrupted();
    }
    code = sqlite3_step(statement.get());
    if (code == SQLITE_DONE) {
      return absl::OkStatus();
    }
    if ((code & 0xff) == SQLITE_ERROR || code == SQLITE_MISMATCH) {
      return invalid(sqlite3_errmsg(handle));  // For example malformed JSON given to a JSON function.
    }
    if (code != SQLITE_ROW) {
      return ErrorOf(handle, code);
    }
    size_t bytes = 0;
    for (int i = 0; i < count; ++i) {
      bytes += BytesOf(statement.get(), i);
    }
    if (bytes > max_row_bytes) {
      return RowTooLarge(max_row_bytes);
    }
    std::vector<Value> values;
    values.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      std::optional<Value> value = ColumnOf(statement.get(), i);
      if (!value.has_value()) {
        return TooMuchMemory();
      }
      values.push_back(*std::move(value));
    }
    if (!row(std::move(values))) {
      return absl::OkStatus();
    }
  }
}

struct UserWriter::State {
  std::stop_token stop;
  Handle handle;
  Statement insert;
};

UserWriter::UserWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
UserWriter::~UserWriter() = default;

absl::StatusOr<std::unique_ptr<UserWriter>> UserWriter::Open(const Options& options, std::stop_token stop) {
  auto state = std::make_unique<State>();
  state->stop = std::move(stop);
  ASSIGN_OR_RETURN(state->handle, OpenHandle(options.path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  sqlite3* handle = state->handle.get();
  // A reader that wants the pages of a table loads them in order: large pages, fewer of them. The
  // log is cut back after a large load.
  RETURN_IF_ERROR(RunScript(handle,
                            "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                            "PRAGMA journal_size_limit=16777216; PRAGMA secure_delete=0"));
  RETURN_IF_ERROR(RunScript(handle, absl::StrCat("PRAGMA cache_size=-", kWriterCacheKib).c_str()));
  if (options.max_bytes > 0) {
    RETURN_IF_ERROR(RunScript(
        handle, absl::StrCat("PRAGMA max_page_count=", std::max<uint64_t>(options.max_bytes / 8192, 16)).c_str()));
  }
  sqlite3_progress_handler(handle, kStepsBetweenChecks, IsStopped, &state->stop);
  return std::unique_ptr<UserWriter>(new UserWriter(std::move(state)));
}

absl::Status UserWriter::Begin() {
  while (true) {
    absl::Status status = RunScript(state_->handle.get(), "BEGIN IMMEDIATE");
    if (!absl::IsUnavailable(status)) {
      return status;
    }
    if (state_->stop.stop_requested()) {
      return Interrupted();
    }
  }
}

absl::Status UserWriter::Commit() {
  state_->insert.reset();
  return RunScript(state_->handle.get(), "COMMIT");
}

absl::Status UserWriter::Execute(std::string_view sql, const std::vector<Value>& parameters) {
  sqlite3* handle = state_->handle.get();
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(handle, sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  Statement statement(raw);
  if (code != SQLITE_OK) {
    return ErrorOf(handle, code);
  }
  RETURN_IF_ERROR(Bind(handle, statement.get(), parameters));
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
  }
  return code == SQLITE_DONE ? absl::OkStatus() : ErrorOf(handle, code);
}

absl::Status UserWriter::PrepareInsert(std::string_view table, size_t columns) {
  std::string sql = absl::StrCat("INSERT INTO ", QuoteIdentifier(table), " VALUES (");
  for (size_t i = 0; i < columns; ++i) {
    sql += i == 0 ? "?" : ",?";
  }
  sql += ")";
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(state_->handle.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  state_->insert.reset(raw);
  return code == SQLITE_OK ? absl::OkStatus() : ErrorOf(state_->handle.get(), code);
}

// Binding fails only for a wrong index or a value beyond SQLITE_LIMIT_LENGTH; then Insert would
// store NULL, so a text too long is refused by the readers of files before.
void UserWriter::SetInteger(size_t column, int64_t value) {
  sqlite3_bind_int64(state_->insert.get(), static_cast<int>(column) + 1, value);
}

void UserWriter::SetReal(size_t column, double value) {
  sqlite3_bind_double(state_->insert.get(), static_cast<int>(column) + 1, value);
}

void UserWriter::SetText(size_t column, std::string_view value) {
  sqlite3_bind_text64(state_->insert.get(), static_cast<int>(column) + 1, value.data(), value.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

absl::Status UserWriter::Insert() {
  sqlite3_stmt* statement = state_->insert.get();
  const int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return code == SQLITE_DONE ? absl::OkStatus() : ErrorOf(state_->handle.get(), code);
}

}  // namespace bulkhead::storage
