#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/substitute.h"
#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/analysis_parts.h"

namespace bulkhead::agent::analyst {

using nlohmann::json;

bool IsTooLong(const Column& column) {
  // In bytes, with its quotes: sixty columns, each named once, or thirty, each named twice, leave room.
  return QuoteName(column.name).size() > 1000;
}

std::string SampleCondition(const Table& table, int64_t step) {
  if (step <= 1) {
    return "";
  }
  for (const std::string_view name : {"rowid", "_rowid_", "oid"}) {
    const bool hidden = std::any_of(table.columns.begin(), table.columns.end(),
                                    [&](const Column& column) { return absl::EqualsIgnoreCase(column.name, name); });
    if (!hidden) {
      return absl::StrCat(name, " % ", step, " = 0");
    }
  }
  return "";
}

int64_t SampleStep(int64_t rows, int64_t work, int64_t budget) {
  const int64_t wanted = std::max<int64_t>(budget / std::max<int64_t>(work, 1), 1000);
  return std::max<int64_t>((rows + wanted - 1) / wanted, 1);
}

std::string SketchQuery(const Table& table, const std::vector<size_t>& columns, int64_t step) {
  std::vector<std::string> parts;
  std::vector<std::string> values;
  for (size_t i = 0; i < columns.size(); ++i) {
    parts.push_back(absl::Substitute("count(DISTINCT c$0), count(c$0), max(length(c$0))", i));
    values.push_back(absl::StrCat(NameAt(table, columns[i]), " AS c", i));
  }
  return absl::StrCat("SELECT ", absl::StrJoin(parts, ", "), " FROM (SELECT ", absl::StrJoin(values, ", "), " FROM ",
                      SourceOf(table), Where({}, SampleCondition(table, step)), ")");
}

bool WantsTopValues(const Column& column, double distinct, double count, double longest) {
  if (longest > 500) {
    return false;
  }
  return distinct <= 100 || (column.type == "text" && distinct < 0.9 * count);
}

std::string CorrelationSurvey(const Table& table, const std::vector<size_t>& measures, int64_t step) {
  std::vector<std::string> values;
  std::vector<std::string> clipped;  // Where a measure's value with outliers moved to the fences is.
  std::vector<std::string> parts;
  for (size_t i = 0; i < measures.size(); ++i) {
    const Column& column = table.columns[measures[i]];
    values.push_back(absl::StrCat(Centred(column), " AS c", i));
    clipped.push_back(absl::StrCat(IsClipped(column) ? "k" : "c", i));
    if (IsClipped(column)) {
      values.push_back(absl::StrCat(Clipped(column), " AS k", i));
    }
    parts.push_back(absl::Substitute("avg($0), avg($0 * $0)", clipped[i]));
  }
  for (size_t i = 0; i < measures.size(); ++i) {
    for (size_t j = i + 1; j < measures.size(); ++j) {
      const bool is_clipped = IsClipped(table.columns[measures[i]]) || IsClipped(table.columns[measures[j]]);
      parts.push_back(absl::Substitute("avg(c$0 * c$1)", i, j));
      parts.push_back(is_clipped ? absl::Substitute("avg($0 * $1)", clipped[i], clipped[j]) : "NULL");
    }
  }
  return absl::StrCat("SELECT ", absl::StrJoin(parts, ", "), " FROM (SELECT ", absl::StrJoin(values, ", "), " FROM ",
                      SourceOf(table), Where({}, SampleCondition(table, step)), ")");
}

std::vector<Pair> ParseCorrelationSurvey(const Table& table, const std::vector<size_t>& measures, const Rows& answer) {
  std::vector<Pair> pairs;
  if (answer.rows.empty()) {
    return pairs;
  }
  const std::vector<json>& row = answer.rows[0];
  const auto variance = [&](size_t i) { return Number(row, 2 * i + 1) - Number(row, 2 * i) * Number(row, 2 * i); };
  size_t at = 2 * measures.size();
  for (size_t i = 0; i < measures.size(); ++i) {
    for (size_t j = i + 1; j < measures.size(); ++j, at += 2) {
      const double spread =
          table.columns[measures[i]].stddev.value_or(0) * table.columns[measures[j]].stddev.value_or(0);
      double strength = spread > 0 ? std::abs(Number(row, at)) / spread : 0;
      const std::optional<double> clipped = NumberOf(Cell(row, at + 1));
      if (const double both = variance(i) * variance(j); clipped.has_value() && variance(i) > 0 && variance(j) > 0) {
        strength = std::max(strength, std::abs(*clipped - Number(row, 2 * i) * Number(row, 2 * j)) / std::sqrt(both));
      }
      pairs.push_back({measures[i], measures[j], std::min(1.0, strength)});
    }
  }
  return pairs;
}

std::string EffectSurvey(const Table& table, size_t category, const std::vector<size_t>& outcomes, int64_t step) {
  const std::string name = NameAt(table, category);
  std::string values;
  std::vector<std::string> sums;
  std::vector<std::string> outer;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    absl::StrAppend(&values, ", ", Centred(table.columns[outcomes[i]]), " AS c", i);
    sums.push_back(absl::Substitute("count(c$0) AS n$0, total(c$0) AS s$0, total(c$0 * c$0) AS q$0", i));
    outer.push_back(
        absl::Substitute("total(n$0), count(nullif(n$0, 0)), total(s$0 * s$0 / n$0), total(s$0), total(q$0)", i));
  }
  return absl::StrCat("WITH g AS (SELECT ", absl::StrJoin(sums, ", "), " FROM (SELECT ", name, " AS value", values,
                      " FROM ", SourceOf(table), Where({name}, SampleCondition(table, step)),
                      ") GROUP BY value) SELECT ", absl::StrJoin(outer, ", "), " FROM g");
}

std::vector<Pair> ParseEffectSurvey(size_t category, const std::vector<size_t>& outcomes, const Rows& answer) {
  std::vector<Pair> pairs;
  if (answer.rows.empty()) {
    return pairs;
  }
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const auto& row = answer.rows[0];
    const double n = Number(row, 5 * i);
    const double groups = Number(row, 5 * i + 1);
    const double correction = n > 0 ? Number(row, 5 * i + 3) * Number(row, 5 * i + 3) / n : 0;
    const double all = Number(row, 5 * i + 4) - correction;
    if (outcomes[i] == category || n <= groups || groups < 2 || all <= 0) {
      continue;
    }
    const double eta_squared = (Number(row, 5 * i + 2) - correction) / all;
    const double epsilon_squared = 1 - (1 - eta_squared) * (n - 1) / (n - groups);
    pairs.push_back({category, outcomes[i], std::sqrt(std::clamp(epsilon_squared, 0.0, 1.0))});
  }
  return pairs;
}

std::vector<std::string> AssociationSurvey(const Table& table, const std::vector<Pair>& pairs, int64_t step) {
  constexpr std::string_view kAnd = " UNION ALL ";
  std::vector<std::string> statements;
  for (size_t i = 0; i < pairs.size(); ++i) {
    std::string part = absl::StrCat("SELECT ", i, " AS pair, (",
                                    AssociationCte(table, pairs[i].a, pairs[i].b, SampleCondition(table, step)),
                                    " SELECT sqrt(phi2 / most) FROM p) AS v");
    if (statements.empty() || statements.back().size() + kAnd.size() + part.size() > kMaxStatement) {
      statements.push_back(std::move(part));
    } else {
      absl::StrAppend(&statements.back(), kAnd, part);
    }
  }
  return statements;
}

std::vector<Pair> ParseAssociationSurvey(std::vector<Pair> pairs, const Rows& answer) {
  for (const auto& row : answer.rows) {
    const auto pair = static_cast<size_t>(Count(row, 0));
    if (pair < pairs.size()) {
      pairs[pair].strength = std::min(1.0, Number(row, 1));
    }
  }
  return pairs;
}

std::vector<Pair> Strongest(std::vector<Pair> pairs, size_t limit, double least, int per_column) {
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) { return x.strength > y.strength; });
  std::vector<Pair> strongest;
  std::map<size_t, int> uses;
  for (const Pair& pair : pairs) {
    if (strongest.size() == limit || pair.strength < least) {
      break;
    }
    if (uses[pair.a] < per_column && uses[pair.b] < per_column) {
      ++uses[pair.a];
      ++uses[pair.b];
      strongest.push_back(pair);
    }
  }
  return strongest;
}

}  // namespace bulkhead::agent::analyst
