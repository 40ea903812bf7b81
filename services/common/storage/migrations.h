// Brings a database's schema up to date.
#ifndef SERVICES_COMMON_STORAGE_MIGRATIONS_H_
#define SERVICES_COMMON_STORAGE_MIGRATIONS_H_

#include <vector>

#include "absl/status/status.h"
#include "services/common/storage/database.h"
#include "services/common/storage/sqlite_connection.h"

namespace bulkhead::storage {

// Applies those of `migrations` that the database has not seen, each in a transaction of its own with its number
// (PRAGMA user_version), so that one that fails or dies leaves the version before it. FAILED_PRECONDITION
// `STORAGE_TOO_NEW` when it has seen more.
absl::Status Migrate(SqliteConnection& connection, const std::vector<Migration>& migrations);

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_MIGRATIONS_H_
