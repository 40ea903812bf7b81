#include "services/common/storage/testing/dead_database.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/sqlite_connection.h"

namespace bulkhead::storage {

absl::StatusOr<std::vector<std::vector<std::string>>> ReadRows(std::string_view path, std::string_view sql,
                                                               int columns) {
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> connection,
                   SqliteConnection::Open(LocationOf(path), SqliteConnection::Mode::kReader));
  std::vector<std::vector<std::string>> rows;
  RETURN_IF_ERROR(connection->Query(sql, {}, [&](const Row& row) {
    std::vector<std::string>& texts = rows.emplace_back();
    for (int column = 0; column < columns; ++column) {
      texts.push_back(row.IsNull(column) ? "" : row.Text(column));
    }
    return absl::OkStatus();
  }));
  return rows;
}

}  // namespace bulkhead::storage
