// Loads a file into a table of a user's own database.
#ifndef SERVICES_TOOL_TABLES_TABLE_LOADER_H_
#define SERVICES_TOOL_TABLES_TABLE_LOADER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/storage/user_database.h"
#include "services/tool/tables/column_type.h"
#include "services/tool/tables/text_source.h"

namespace bulkhead::tool {

struct LoadOptions {
  enum class Format { kCsv, kJsonLines };
  Format format = Format::kCsv;
  std::optional<char> delimiter;  // Sniffed when absent.
  bool header = true;
  bool pad_ragged_rows = false;
  std::string table;
  std::string file;  // For the catalog.
};

struct LoadedColumn {
  std::string name;
  ColumnFormat format;
  int64_t missing = 0;
};

struct LoadWarning {
  std::string code;
  std::string message;
  int64_t count = 0;
  int64_t line = 0;
};

struct LoadedTable {
  char delimiter = 0;  // 0 for JSON Lines.
  int64_t rows = 0;
  std::vector<LoadedColumn> columns;
  std::vector<LoadWarning> warnings;
};

// Reads `source` twice in bounded memory: first to find the columns and their types over all rows,
// then to insert the converted values. The table appears, or replaces an older one of its name, in
// one transaction.
//
// Errors: INVALID_ARGUMENT, with metadata `line`: TABLE_ROW_RAGGED and those of the readers;
// TABLE_FILE_EMPTY; CANCELLED `TOOL_CANCELLED` when `stop` is requested;
// RESOURCE_EXHAUSTED `STORAGE_FULL`.
absl::StatusOr<LoadedTable> LoadTable(const ByteSource& source, const LoadOptions& options,
                                      storage::UserWriter& database, std::stop_token stop,
                                      const std::function<void(double fraction, std::string_view text)>& progress);

// "sales_2021" for "data/Sales 2021.csv": a valid table name made of a file's name.
std::string TableNameOf(std::string_view file);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_TABLE_LOADER_H_
