// Statistics of the columns of a table, each with the SQL that computes it.
#ifndef SERVICES_TOOL_TABLES_TABLE_PROFILE_H_
#define SERVICES_TOOL_TABLES_TABLE_PROFILE_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/common/storage/user_database.h"
#include "services/tool/tables/table_catalog.h"

namespace bulkhead::tool {

struct ProfileOptions {
  int top = 10;   // Most frequent values.
  int bins = 20;  // Bars of the histogram.
};

// The profile of one column, in the form that docs/tools.md gives for `table.profile`. Every number
// comes from a statement in its `sql` member, which runs as it is in any SQLite with mathematical
// functions.
absl::StatusOr<nlohmann::json> ProfileColumn(storage::UserReader& database, std::string_view table,
                                             const CatalogColumn& column, const ProfileOptions& options);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_TABLE_PROFILE_H_
