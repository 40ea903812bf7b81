#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/analysis_parts.h"

namespace bulkhead::agent::analyst {

std::string CorrelationQuery(const Table& table, size_t a, size_t b) {
  const Column& x = table.columns[a];
  const Column& y = table.columns[b];
  // The fences, moved as the values are.
  const auto inside = [](std::string_view name, const Column& column) {
    const double mean = column.mean.value_or(0);
    return column.outliers.has_value() ? absl::StrCat(name, " BETWEEN ", Literal(column.outliers->low - mean), " AND ",
                                                      Literal(column.outliers->high - mean))
                                       : absl::StrCat(name, " IS NOT NULL");
  };
  constexpr std::string_view kSums =
      "count(*) AS n, total(x) AS x, total(y) AS y, total(x * x) AS xx, total(y * y) AS yy, "
      "total(x * y) AS xy FROM d";
  return absl::StrCat("WITH d AS (SELECT ", Centred(x), " AS x, ", Centred(y), " AS y FROM ", SourceOf(table),
                      Where({QuoteName(x.name), QuoteName(y.name)}), "), s AS (SELECT 'all rows' AS which, ", kSums,
                      " UNION ALL SELECT 'without outliers', ", kSums, " WHERE ", inside("x", x), " AND ",
                      inside("y", y), ") SELECT which, n, ", PearsonOf("n"),
                      " AS r, (xy - x * y / n) / (xx - x * x / n) AS slope FROM s");
}

std::optional<Correlation> ParseCorrelation(size_t a, size_t b, const Rows& answer, std::string sql) {
  if (answer.rows.size() != 2 || Count(answer.rows[0], 1) < 3 || !NumberOf(Cell(answer.rows[0], 2)).has_value()) {
    return std::nullopt;
  }
  Correlation correlation{.a = a,
                          .b = b,
                          .count = Count(answer.rows[0], 1),
                          .r = std::clamp(Number(answer.rows[0], 2), -1.0, 1.0),
                          .slope = Number(answer.rows[0], 3),
                          .inner_count = Count(answer.rows[1], 1),
                          .sql = std::move(sql)};
  if (correlation.inner_count >= 3) {
    correlation.inner_r = NumberOf(Cell(answer.rows[1], 2));
  }
  return correlation;
}

std::string EffectQuery(const Table& table, size_t category, size_t outcome, int64_t least_count) {
  const std::string group = NameAt(table, category);
  const std::string value = NameAt(table, outcome);
  const std::string centred = Centred(table.columns[outcome]);
  return absl::Substitute(
      "WITH g AS (SELECT $0 AS value, count(*) AS n, avg($1) AS mean, total($1) AS total, "
      "total($2) AS s, total($2 * $2) AS q FROM $3$4 "
      "GROUP BY $0), e AS (SELECT sum(n) AS all_n, count(*) AS all_groups, (sum(s * s / n) - "
      "sum(s) * sum(s) / sum(n)) / "
      "(sum(q) - sum(s) * sum(s) / sum(n)) AS eta_squared FROM g) SELECT value, n, mean, total, "
      "eta_squared, all_n, all_groups FROM g, e "
      "WHERE n >= $5 ORDER BY mean DESC, value LIMIT $6",
      group, value, centred, SourceOf(table), Where({group, value}), least_count, kMaxGroups);
}

std::optional<Effect> ParseEffect(const Table& table, size_t category, size_t outcome, int64_t least_count,
                                  const Rows& answer, std::string sql) {
  if (answer.rows.empty()) {
    return std::nullopt;
  }
  const auto& first = answer.rows[0];
  Effect effect{.category = category,
                .outcome = outcome,
                .count = Count(first, 5),
                .group_count = Count(first, 6),
                .eta_squared = std::clamp(Number(first, 4), 0.0, 1.0),
                .least_count = least_count,
                .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    effect.groups.push_back(
        {TextOf(Cell(row, 0), table.columns[category]), Count(row, 1), Number(row, 2), Number(row, 3)});
  }
  return effect;
}

std::string AssociationQuery(const Table& table, size_t a, size_t b) {
  return absl::StrCat(AssociationCte(table, a, b, ""),
                      " SELECT a, b, e.n, expected, sqrt(phi2 / most) AS v, k.n AS all_n FROM e, p, k "
                      "ORDER BY (e.n - expected) * (e.n - expected) / expected DESC, a, b LIMIT 10");
}

std::optional<Association> ParseAssociation(const Table& table, size_t a, size_t b, const Rows& answer,
                                            std::string sql) {
  if (answer.rows.empty() || !NumberOf(Cell(answer.rows[0], 4)).has_value()) {
    return std::nullopt;
  }
  Association association{.a = a,
                          .b = b,
                          .count = Count(answer.rows[0], 5),
                          .v = std::min(1.0, Number(answer.rows[0], 4)),
                          .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    association.cells.push_back({TextOf(Cell(row, 0), table.columns[a]), TextOf(Cell(row, 1), table.columns[b]),
                                 Count(row, 2), Number(row, 3)});
  }
  return association;
}

std::string BreakdownQuery(const Table& table, size_t category, const std::vector<size_t>& outcomes, int limit) {
  const std::string name = NameAt(table, category);
  std::string means;
  for (const size_t outcome : outcomes) {
    absl::StrAppend(&means, ", avg(", NameAt(table, outcome), ") AS ",
                    QuoteName(absl::StrCat("mean of ", table.columns[outcome].name)));
  }
  return absl::StrCat("SELECT ", name, " AS value, count(*) AS n, 1.0 * count(*) / ", std::max<int64_t>(table.rows, 1),
                      " AS share", means, " FROM ", SourceOf(table), Where({name}), " GROUP BY ", name,
                      " ORDER BY n DESC, value LIMIT ", limit);
}

Breakdown ParseBreakdown(const Table& table, size_t category, std::vector<size_t> outcomes, const Rows& answer,
                         std::string sql) {
  Breakdown breakdown{.category = category, .outcomes = std::move(outcomes), .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    breakdown.groups.push_back({.value = TextOf(Cell(row, 0), table.columns[category]), .count = Count(row, 1)});
    auto& means = breakdown.means.emplace_back();
    for (size_t i = 0; i < breakdown.outcomes.size(); ++i) {
      means.push_back(NumberOf(Cell(row, 3 + i)));
    }
  }
  return breakdown;
}

double StrengthOf(const Correlation& correlation) {
  const double r = std::abs(correlation.r);
  if (correlation.inner_count == correlation.count) {
    return r;
  }
  if (!correlation.inner_r.has_value()) {
    return 0.6 * r;
  }
  const double inner = std::abs(*correlation.inner_r);
  const bool few_outliers = 5 * correlation.inner_count >= 4 * correlation.count;
  return few_outliers && inner > r ? 0.9 * inner : std::min(r, (r + inner) / 2);
}

}  // namespace bulkhead::agent::analyst
