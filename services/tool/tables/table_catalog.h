// What a user's database knows about its tables.
#ifndef SERVICES_TOOL_TABLES_TABLE_CATALOG_H_
#define SERVICES_TOOL_TABLES_TABLE_CATALOG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/storage/user_database.h"
#include "services/tool/tables/column_type.h"

namespace bulkhead::tool {

struct CatalogColumn {
  std::string name;
  ColumnType type = ColumnType::kText;
  int64_t missing = 0;
};

struct CatalogEntry {
  std::string table;
  std::string file;
  int64_t rows = 0;
  std::vector<CatalogColumn> columns;
};

// Within the writer's transaction.
absl::Status RecordInCatalog(storage::UserWriter& database, const CatalogEntry& entry);

// Drops the table and its entry in one transaction. False when there is none.
absl::StatusOr<bool> DropTable(storage::UserWriter& writer, storage::UserReader& reader, std::string_view table);

// All tables, by name.
absl::StatusOr<std::vector<CatalogEntry>> ListTables(storage::UserReader& database);

// NOT_FOUND `TABLE_NOT_FOUND`.
absl::StatusOr<CatalogEntry> FindTable(storage::UserReader& database, std::string_view table);
absl::Status TableNotFound(std::string_view table);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_TABLE_CATALOG_H_
