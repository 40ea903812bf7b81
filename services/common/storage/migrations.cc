#include "services/common/storage/migrations.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::storage {
namespace {

absl::StatusOr<size_t> ReadVersion(SqliteConnection& connection) {
  int64_t version = 0;
  RETURN_IF_ERROR(connection.Query("PRAGMA user_version", {}, [&version](const Row& row) {
    version = row.Int(0);
    return absl::OkStatus();
  }));
  return static_cast<size_t>(version);
}

absl::Status ApplyNext(SqliteConnection& connection, const std::vector<Migration>& migrations) {
  // Read again under the lock: another process may be opening the same file.
  ASSIGN_OR_RETURN(const size_t version, ReadVersion(connection));
  if (version >= migrations.size()) {
    return absl::OkStatus();
  }
  const Migration& migration = migrations[version];
  if (absl::Status status = connection.ExecuteScript(migration.statements); !status.ok()) {
    return Annotate(status, absl::StrCat("Migration ", version + 1, " (", migration.name, ")"));
  }
  return connection.ExecuteScript(absl::StrCat("PRAGMA user_version = ", version + 1));
}

}  // namespace

absl::Status Migrate(SqliteConnection& connection, const std::vector<Migration>& migrations) {
  ASSIGN_OR_RETURN(size_t version, ReadVersion(connection));
  while (version < migrations.size()) {
    RETURN_IF_ERROR(connection.Execute("BEGIN IMMEDIATE").status());
    absl::Status status = ApplyNext(connection, migrations);
    if (status.ok()) {
      status = connection.Execute("COMMIT").status();
    }
    if (!status.ok()) {
      if (connection.in_transaction()) {
        connection.Execute("ROLLBACK").IgnoreError();  // The error of the migration says more.
      }
      return status;
    }
    ASSIGN_OR_RETURN(version, ReadVersion(connection));
  }
  if (version > migrations.size()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("The database has schema version ", version, "; this program knows versions up to ",
                                  migrations.size(), ". Use the version of Bulkhead that wrote it, or a later one."),
                     {.domain = "bulkhead.storage",
                      .reason = "STORAGE_TOO_NEW",
                      .metadata = {{"version", absl::StrCat(version)}, {"known", absl::StrCat(migrations.size())}}});
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::storage
