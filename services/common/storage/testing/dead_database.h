// Looks at what a dead process has left.
#ifndef SERVICES_COMMON_STORAGE_TESTING_DEAD_DATABASE_H_
#define SERVICES_COMMON_STORAGE_TESTING_DEAD_DATABASE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace bulkhead::storage {

// The rows that `sql` finds in the database file at `path`, each column as text, "" for NULL. Whatever the version of
// its schema; nothing is migrated. Errors: those of Connection, FAILED_PRECONDITION `STORAGE_CANNOT_OPEN`.
absl::StatusOr<std::vector<std::vector<std::string>>> ReadRows(std::string_view path, std::string_view sql,
                                                               int columns);

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_TESTING_DEAD_DATABASE_H_
