#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/analysis_parts.h"

namespace bulkhead::agent::analyst {

bool IsConcentrated(const Column& column) {
  return column.role == Role::kMeasure && column.count >= 200 && column.min.value_or(-1) >= 0 &&
         column.mean.value_or(0) > 0 && *column.mean > 2 * column.median.value_or(0) && !column.IsBinary();
}

std::string ConcentrationQuery(const Table& table, size_t measure) {
  const Column& column = table.columns[measure];
  return absl::Substitute(
      "SELECT (SELECT count($0) FROM $1) AS n, (SELECT total($0) FROM $1) AS total, count(*) AS "
      "largest, total($0) AS largest_total FROM "
      "(SELECT $0 FROM $1 WHERE $0 IS NOT NULL ORDER BY $0 DESC LIMIT $2)",
      QuoteName(column.name), SourceOf(table), (column.count + 99) / 100);
}

std::optional<Concentration> ParseConcentration(size_t measure, const Rows& answer, std::string sql) {
  if (answer.rows.empty() || Number(answer.rows[0], 1) <= 0) {
    return std::nullopt;
  }
  const auto& row = answer.rows[0];
  return Concentration{.measure = measure,
                       .count = Count(row, 0),
                       .largest = Count(row, 2),
                       .total = Number(row, 1),
                       .largest_total = Number(row, 3),
                       .sql = std::move(sql)};
}

std::string CompleteRowsQuery(const Table& table, const std::vector<size_t>& columns) {
  std::vector<std::string> names;
  for (const size_t column : columns) {
    names.push_back(NameAt(table, column));
  }
  return absl::StrCat("SELECT count(*) AS complete_rows FROM ", SourceOf(table), Where(names));
}

std::string DuplicateRowsQuery(const Table& table) {
  return absl::Substitute(
      "SELECT (SELECT count(*) FROM $0) - count(*) AS repeated_rows FROM (SELECT DISTINCT * FROM "
      "$0)",
      SourceOf(table));
}

std::string ScatterQuery(const Table& table, size_t x, size_t y, int64_t limit) {
  const int64_t step = std::max<int64_t>((table.rows + limit - 1) / limit, 1);
  return absl::StrCat("SELECT ", NameAt(table, x), ", ", NameAt(table, y), " FROM ", SourceOf(table),
                      Where({NameAt(table, x), NameAt(table, y)}, SampleCondition(table, step)), " LIMIT ", 2 * limit);
}

}  // namespace bulkhead::agent::analyst
