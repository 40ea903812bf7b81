#include "services/tool/tables/table_catalog.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

// Tables of users begin with a letter: this one cannot be hit.
constexpr std::string_view kCatalog = "_bulkhead_tables";

std::string ColumnsToJson(const std::vector<CatalogColumn>& columns) {
  nlohmann::json json = nlohmann::json::array();
  for (const CatalogColumn& column : columns) {
    json.push_back({{"name", column.name}, {"type", ColumnTypeName(column.type)}, {"missing", column.missing}});
  }
  return json.dump();
}

std::vector<CatalogColumn> ColumnsFromJson(const std::string& text) {
  std::vector<CatalogColumn> columns;
  for (const nlohmann::json& column : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false)) {
    columns.push_back({.name = column.value("name", ""),
                       .type = ParseColumnType(column.value("type", "")).value_or(ColumnType::kText),
                       .missing = column.value("missing", int64_t{0})});
  }
  return columns;
}

// Rows of the catalog that `condition` selects.
absl::StatusOr<std::vector<CatalogEntry>> Read(storage::UserReader& database, std::string_view condition,
                                               const std::vector<storage::Value>& parameters) {
  std::vector<CatalogEntry> entries;
  absl::Status status = database.Query(
      absl::StrCat("SELECT name, file, row_count, columns FROM ", kCatalog, condition), parameters,
      [](std::vector<std::string>) {},
      [&](std::vector<storage::Value> row) {
        entries.push_back({.table = std::get<std::string>(row[0]),
                           .file = std::get<std::string>(row[1]),
                           .rows = std::get<int64_t>(row[2]),
                           .columns = ColumnsFromJson(std::get<std::string>(row[3]))});
        return true;
      });
  // A file without a catalog is one whose first load was never finished.
  if (ReasonOf(status) == "QUERY_INVALID") {
    return entries;
  }
  RETURN_IF_ERROR(status);
  return entries;
}

}  // namespace

absl::Status RecordInCatalog(storage::UserWriter& database, const CatalogEntry& entry) {
  RETURN_IF_ERROR(database.Execute(absl::StrCat("CREATE TABLE IF NOT EXISTS ", kCatalog,
                                                " (name TEXT PRIMARY KEY, file TEXT NOT NULL, row_count "
                                                "INTEGER NOT NULL, columns TEXT NOT NULL) STRICT")));
  return database.Execute(absl::StrCat("INSERT OR REPLACE INTO ", kCatalog, " VALUES (?, ?, ?, ?)"),
                          {entry.table, entry.file, entry.rows, ColumnsToJson(entry.columns)});
}

absl::StatusOr<bool> DropTable(storage::UserWriter& writer, storage::UserReader& reader, std::string_view table) {
  RETURN_IF_ERROR(writer.Begin());
  absl::StatusOr<CatalogEntry> entry = FindTable(reader, table);
  if (absl::IsNotFound(entry.status())) {
    RETURN_IF_ERROR(writer.Commit());
    return false;
  }
  RETURN_IF_ERROR(entry.status());
  RETURN_IF_ERROR(writer.Execute(absl::StrCat("DROP TABLE IF EXISTS ", storage::QuoteIdentifier(table))));
  RETURN_IF_ERROR(writer.Execute(absl::StrCat("DELETE FROM ", kCatalog, " WHERE name = ?"), {std::string(table)}));
  RETURN_IF_ERROR(writer.Commit());
  return true;
}

absl::StatusOr<std::vector<CatalogEntry>> ListTables(storage::UserReader& database) {
  return Read(database, " ORDER BY name", {});
}

absl::StatusOr<CatalogEntry> FindTable(storage::UserReader& database, std::string_view table) {
  ASSIGN_OR_RETURN(std::vector<CatalogEntry> entries, Read(database, " WHERE name = ?", {std::string(table)}));
  if (entries.empty()) {
    return TableNotFound(table);
  }
  return std::move(entries.front());
}

absl::Status TableNotFound(std::string_view table) {
  return MakeError(
      absl::StatusCode::kNotFound, absl::StrCat("there is no table '", table, "'; load a file into it first"),
      {.domain = "bulkhead.tool", .reason = "TABLE_NOT_FOUND", .metadata = {{"table", std::string(table)}}});
}

}  // namespace bulkhead::tool
