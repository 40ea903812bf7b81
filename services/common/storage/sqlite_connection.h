// SQLite behind the Connection interface.
#ifndef SERVICES_COMMON_STORAGE_SQLITE_CONNECTION_H_
#define SERVICES_COMMON_STORAGE_SQLITE_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/storage/connection.h"

struct sqlite3;
struct sqlite3_stmt;

namespace bulkhead::storage {

// Where a database lies, as SQLite's open call wants it.
struct SqliteLocation {
  std::string uri;  // A path, or a file: URI.
  bool in_memory = false;
};

// The file `path`; for "" a new database in memory that all connections of this process to the same location share.
SqliteLocation LocationOf(std::string_view path);

// Used by one thread at a time.
class SqliteConnection : public Connection {
 public:
  enum class Mode { kWriter, kDurableWriter, kReader };

  // Creates the file unless `mode` is kReader. Foreign keys are enforced; a lock of another process is waited for for 5
  // s.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const SqliteLocation& location, Mode mode);
  ~SqliteConnection() override;

  absl::StatusOr<int64_t> Execute(std::string_view sql, std::vector<Value> values = {}) override;
  absl::Status Query(std::string_view sql, std::vector<Value> values,
                     absl::FunctionRef<absl::Status(const Row&)> row) override;
  int64_t last_insert_id() const override;

  // Runs any number of statements without parameters.
  absl::Status ExecuteScript(std::string_view sql);

  // False outside of BEGIN ... COMMIT, and when SQLite has rolled the transaction back by itself (disk full, I/O
  // error).
  bool in_transaction() const;

 private:
  struct Prepared {
    sqlite3_stmt* statement = nullptr;
    bool in_use = false;
  };
  // Gives a statement back to the cache, or finalizes one that is not of it.
  struct Release {
    Prepared* cached = nullptr;
    void operator()(sqlite3_stmt* statement) const;
  };
  using Lease = std::unique_ptr<sqlite3_stmt, Release>;

  explicit SqliteConnection(sqlite3* handle) : handle_(handle) {}

  absl::Status Configure(const SqliteLocation& location, Mode mode);
  absl::StatusOr<sqlite3_stmt*> Compile(std::string_view sql);
  // The statement of `sql`, bound to `values`, which outlive the lease.
  absl::StatusOr<Lease> Prepare(std::string_view sql, const std::vector<Value>& values);
  absl::Status Bind(sqlite3_stmt* statement, const std::vector<Value>& values);
  absl::Status LastError() const;

  sqlite3* const handle_;
  // By their text. std::map, because leases point into it.
  std::map<std::string, Prepared, std::less<>> prepared_;
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_SQLITE_CONNECTION_H_
