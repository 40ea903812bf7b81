#include "services/agent/agents/analysis_parts.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/substitute.h"
#include "nlohmann/json.hpp"

namespace bulkhead::agent::analyst {

using nlohmann::json;

std::string StringAt(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<double> NumberAt(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? std::nullopt : NumberOf(*found);
}

int64_t CountAt(const json& object, std::string_view key) {
  return static_cast<int64_t>(NumberAt(object, key).value_or(0));
}

const json& ArrayAt(const json& object, std::string_view key) {
  static const json& empty = *new json(json::array());
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : empty;
}

const json& Cell(const std::vector<json>& row, size_t column) {
  static const json& null = *new json();
  return column < row.size() ? row[column] : null;
}

double Number(const std::vector<json>& row, size_t column) { return NumberOf(Cell(row, column)).value_or(0); }
int64_t Count(const std::vector<json>& row, size_t column) { return static_cast<int64_t>(Number(row, column)); }

bool HasWord(const std::vector<std::string>& words, std::initializer_list<std::string_view> wanted) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::find(wanted.begin(), wanted.end(), word) != wanted.end();
  });
}

std::string Where(const std::vector<std::string>& present, std::string_view extra) {
  std::vector<std::string> conditions;
  for (const std::string& name : present) {
    conditions.push_back(absl::StrCat(name, " IS NOT NULL"));
  }
  if (!extra.empty()) {
    conditions.emplace_back(extra);
  }
  return conditions.empty() ? "" : absl::StrCat(" WHERE ", absl::StrJoin(conditions, " AND "));
}

std::string NameAt(const Table& table, size_t column) { return QuoteName(table.columns[column].name); }

std::string Centred(const Column& column) {
  return absl::StrCat("(", QuoteName(column.name), " - ", Literal(column.mean.value_or(0)), ")");
}

bool IsClipped(const Column& column) {
  return column.outliers.has_value() && column.outliers->count > 0 && column.outliers->low < column.outliers->high;
}

std::string Clipped(const Column& column) {
  if (!IsClipped(column)) {
    return Centred(column);
  }
  const double mean = column.mean.value_or(0);
  return absl::StrCat("min(max(", Centred(column), ", ", Literal(column.outliers->low - mean), "), ",
                      Literal(column.outliers->high - mean), ")");
}

std::string PearsonOf(std::string_view n) {
  return absl::Substitute("(xy - x * y / $0) / sqrt((xx - x * x / $0) * (yy - y * y / $0))", n);
}

std::string AssociationCte(const Table& table, size_t a, size_t b, std::string_view sample) {
  return absl::Substitute(
      "WITH c AS (SELECT $0 AS a, $1 AS b, count(*) AS n FROM $2$3 GROUP BY 1, 2), "
      "ra AS (SELECT a, sum(n) AS n FROM c GROUP BY a), rb AS (SELECT b, sum(n) AS n FROM c GROUP "
      "BY b), "
      "k AS (SELECT (SELECT 1.0 * sum(n) FROM c) AS n, (SELECT 1.0 * count(*) FROM ra) AS ka, "
      "(SELECT 1.0 * count(*) FROM rb) AS kb), "
      "e AS (SELECT c.a, c.b, c.n, ra.n * rb.n / k.n AS expected FROM c JOIN ra ON ra.a = c.a JOIN "
      "rb ON rb.b = c.b JOIN k), "
      "p AS (SELECT max(0.0, (SELECT sum(n * n / expected) FROM e) / k.n - 1 - (ka - 1) * (kb - 1) "
      "/ (k.n - 1)) AS phi2, "
      "min(ka - (ka - 1) * (ka - 1) / (k.n - 1), kb - (kb - 1) * (kb - 1) / (k.n - 1)) - 1 AS most "
      "FROM k)",
      NameAt(table, a), NameAt(table, b), SourceOf(table), Where({NameAt(table, a), NameAt(table, b)}, sample));
}

}  // namespace bulkhead::agent::analyst
