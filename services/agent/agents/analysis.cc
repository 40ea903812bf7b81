#include "services/agent/agents/analysis.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "nlohmann/json.hpp"

namespace bulkhead::agent::analyst {
namespace {

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

double Number(const std::vector<json>& row, size_t column) {
  return NumberOf(Cell(row, column)).value_or(0);
}
int64_t Count(const std::vector<json>& row, size_t column) {
  return static_cast<int64_t>(Number(row, column));
}

bool HasWord(const std::vector<std::string>& words,
             std::initializer_list<std::string_view> wanted) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::find(wanted.begin(), wanted.end(), word) != wanted.end();
  });
}

Role FindRole(const Column& column, int64_t rows) {
  if (column.count == 0) {
    return Role::kEmpty;
  }
  if (column.distinct == 1) {
    return column.missing == 0 || rows < 2 ? Role::kConstant : Role::kCategory;
  }
  if (column.type == "date" || column.type == "datetime") {
    return Role::kTime;
  }
  if (column.type == "boolean") {
    return Role::kCategory;
  }
  const std::vector<std::string> words = WordsOf(column.name);
  if (column.IsNumber()) {
    if (column.IsInteger() && HasWord(words, {"year", "yr"}) && column.min >= 1500.0 &&
        column.max <= 2200.0) {
      return Role::kTime;
    }
    const bool names_things = HasWord(words, {"id", "ids", "uuid", "key", "zip", "zipcode",
                                              "postcode", "code", "phone", "index", "no", "nr"});
    const bool all_different = column.distinct == column.count;
    // 1, 2, 3... without gaps is a numbering, whatever its name.
    const bool numbering = column.IsInteger() && all_different && column.count >= 20 &&
                           *column.max - *column.min + 1 <= 1.1 * static_cast<double>(column.count);
    if (numbering || (column.IsInteger() && names_things && 2 * column.distinct > column.count)) {
      return Role::kIdentifier;
    }
    if (column.IsInteger() && (column.distinct == 2 || (names_things && column.distinct <= 1000))) {
      return Role::kCategory;
    }
    return Role::kMeasure;
  }
  if (column.distinct == column.count && HasWord(words, {"id", "ids", "uuid", "key", "code"})) {
    return Role::kIdentifier;
  }
  return column.count >= 2 * column.distinct ? Role::kCategory : Role::kText;
}

// "a" IS NOT NULL AND ...; `extra` may be "".
std::string Where(const std::vector<std::string>& present, std::string_view extra = "") {
  std::vector<std::string> conditions;
  for (const std::string& name : present) {
    conditions.push_back(absl::StrCat(name, " IS NOT NULL"));
  }
  if (!extra.empty()) {
    conditions.emplace_back(extra);
  }
  return conditions.empty() ? "" : absl::StrCat(" WHERE ", absl::StrJoin(conditions, " AND "));
}

std::string NameAt(const Table& table, size_t column) {
  return QuoteName(table.columns[column].name);
}

// The column minus its mean, so that sums of squares do not cancel out.
std::string Centred(const Column& column) {
  return absl::StrCat("(", QuoteName(column.name), " - ", Literal(column.mean.value_or(0)), ")");
}

// Whether a few far values may hide what the others have in common.
bool IsClipped(const Column& column) {
  return column.outliers.has_value() && column.outliers->count > 0 &&
         column.outliers->low < column.outliers->high;
}

// The same, with outliers moved to the fences.
std::string Clipped(const Column& column) {
  if (!IsClipped(column)) {
    return Centred(column);
  }
  const double mean = column.mean.value_or(0);
  return absl::StrCat("min(max(", Centred(column), ", ", Literal(column.outliers->low - mean),
                      "), ", Literal(column.outliers->high - mean), ")");
}

std::string PeriodExpression(const Column& time, Period period) {
  const std::string name = QuoteName(time.name);
  if (time.IsInteger()) {
    return absl::StrCat("CAST(", name, " AS TEXT)");
  }
  // Dates are ISO 8601: their beginnings are the year, the month, the day, the hour.
  const int length = period == Period::kYear    ? 4
                     : period == Period::kMonth ? 7
                     : period == Period::kDay   ? 10
                                                : 13;
  return absl::StrFormat("substr(%s, 1, %d)", name, length);
}

// How much of the period that `time` lies in had passed.
struct Moment {
  int year = 0;
  int month = 1;
  int day = 1;
  int hour = 0;
  int minute = 0;
};

int IntegerAt(std::string_view text, size_t at, size_t length, int otherwise) {
  int value = 0;
  return text.size() >= at + length && absl::SimpleAtoi(text.substr(at, length), &value)
             ? value
             : otherwise;
}

Moment ParseMoment(std::string_view iso) {
  return {IntegerAt(iso, 0, 4, 0), IntegerAt(iso, 5, 2, 1), IntegerAt(iso, 8, 2, 1),
          IntegerAt(iso, 11, 2, 0), IntegerAt(iso, 14, 2, 0)};
}

double Passed(const Moment& moment, Period period) {
  switch (period) {
    case Period::kHour:
      return moment.minute / 60.0;
    case Period::kDay:
      return moment.hour / 24.0;
    case Period::kMonth:
      return (moment.day - 1) / 30.4;
    case Period::kYear:
      return (moment.month - 1) / 12.0 + (moment.day - 1) / 365.0;
  }
  return 0;
}

// Days since some day, by the calendar of 30.44 days a month: for spans.
double RoughDays(const Moment& moment) {
  return moment.year * 365.25 + (moment.month - 1) * 30.44 + moment.day + moment.hour / 24.0;
}

constexpr double kFirstTenth = 0.1;
constexpr double kLastPart = 0.85;

std::string PearsonOf(std::string_view n) {
  return absl::Substitute("(xy - x * y / $0) / sqrt((xx - x * x / $0) * (yy - y * y / $0))", n);
}

// Cramer's V with Bergsma's correction, as a query without ";".
std::string AssociationCte(const Table& table, size_t a, size_t b, std::string_view sample) {
  return absl::Substitute(
      "WITH c AS (SELECT $0 AS a, $1 AS b, count(*) AS n FROM $2$3 GROUP BY $0, $1), "
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
      NameAt(table, a), NameAt(table, b), QuoteName(table.name),
      Where({NameAt(table, a), NameAt(table, b)}, sample));
}

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kUnknown:
      return "not profiled";
    case Role::kEmpty:
      return "empty";
    case Role::kConstant:
      return "constant";
    case Role::kIdentifier:
      return "identifier";
    case Role::kText:
      return "free text";
    case Role::kCategory:
      return "category";
    case Role::kMeasure:
      return "measure";
    case Role::kTime:
      return "time";
  }
  return "";
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) {
      words.push_back(absl::AsciiStrToLower(word));
      word.clear();
    }
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!absl::ascii_isalnum(c) && c < 0x80) {
      if (c != '\'') {  // "bird's" is one word.
        end_word();
      }
      continue;
    }
    if (absl::ascii_isupper(c) && !word.empty() &&
        absl::ascii_islower(static_cast<unsigned char>(word.back()))) {
      end_word();
    }
    word += static_cast<char>(c);
  }
  end_word();
  return words;
}

std::optional<double> NumberOf(const json& value) {
  if (value.is_number()) {
    return value.get<double>();
  }
  if (value.is_boolean()) {
    return value.get<bool>() ? 1 : 0;
  }
  // Integers that a double cannot hold travel as text.
  double number = 0;
  if (value.is_string() && absl::SimpleAtod(value.get_ref<const std::string&>(), &number) &&
      std::isfinite(number)) {
    return number;
  }
  return std::nullopt;
}

std::string TextOf(const json& value, const Column& column) {
  if (value.is_null()) {
    return "(none)";
  }
  if (column.type == "boolean") {
    return NumberOf(value).value_or(0) != 0 ? "true" : "false";
  }
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()) &&
      std::abs(value.get<double>()) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(value.get<double>()));
  }
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Table ParseTable(const json& loaded) {
  Table table{.name = StringAt(loaded, "table"), .rows = CountAt(loaded, "rows")};
  for (const json& column : ArrayAt(loaded, "columns")) {
    table.columns.push_back({.name = StringAt(column, "name"),
                             .type = StringAt(column, "type"),
                             .missing = CountAt(column, "missing")});
  }
  return table;
}

void TakeProfile(const json& profile, int64_t rows, Column& column) {
  column.profiled = true;
  column.count = CountAt(profile, "count");
  column.missing = CountAt(profile, "missing");
  column.distinct = CountAt(profile, "distinct");
  const bool has_values = column.count > 0;
  const json& min = has_values && profile.contains("min") ? profile["min"] : json();
  const json& max = has_values && profile.contains("max") ? profile["max"] : json();
  column.min_text = has_values ? TextOf(min, column) : "";
  column.max_text = has_values ? TextOf(max, column) : "";
  if (column.IsNumber() || column.type == "boolean") {
    column.min = NumberOf(min);
    column.max = NumberOf(max);
    column.mean = NumberAt(profile, "mean");
    column.stddev = NumberAt(profile, "stddev");
    column.q1 = NumberAt(profile, "q1");
    column.median = NumberAt(profile, "median");
    column.q3 = NumberAt(profile, "q3");
  }
  if (profile.contains("outliers") && profile["outliers"].is_object()) {
    const json& outliers = profile["outliers"];
    column.outliers = Outliers{NumberAt(outliers, "low").value_or(0),
                               NumberAt(outliers, "high").value_or(0), CountAt(outliers, "count")};
  }
  for (const json& top : ArrayAt(profile, "top")) {
    column.top.push_back(
        {top.contains("value") ? TextOf(top["value"], column) : "", CountAt(top, "count")});
  }
  column.histogram = ArrayAt(profile, "histogram");
  if (profile.contains("sql") && profile["sql"].is_object()) {
    for (const auto& [what, sql] : profile["sql"].items()) {
      if (sql.is_string()) {
        column.statements.push_back(
            {absl::StrCat(column.name, ": ", what), sql.get<std::string>()});
      }
    }
  }
  column.role = FindRole(column, rows);
}

Rows ParseRows(const json& answer) {
  Rows rows;
  for (const json& column : ArrayAt(answer, "columns")) {
    rows.columns.push_back(StringAt(column, "name"));
  }
  for (const json& row : ArrayAt(answer, "rows")) {
    rows.rows.emplace_back(row.begin(), row.end());
  }
  return rows;
}

std::string QuoteName(std::string_view name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

std::string Literal(double number) {
  if (!std::isfinite(number)) {
    return "NULL";
  }
  char buffer[64];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), number);
  std::string text(buffer, end.ptr);
  if (text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return number < 0 ? absl::StrCat("(", text, ")") : text;
}

std::string SampleCondition(const Table& table, int64_t step) {
  if (step <= 1) {
    return "";
  }
  for (const std::string_view name : {"rowid", "_rowid_", "oid"}) {
    const bool hidden = std::any_of(
        table.columns.begin(), table.columns.end(),
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
  for (const size_t column : columns) {
    parts.push_back(
        absl::Substitute("count(DISTINCT $0), count($0), max(length($0))", NameAt(table, column)));
  }
  return absl::StrCat("SELECT ", absl::StrJoin(parts, ", "), " FROM ", QuoteName(table.name),
                      Where({}, SampleCondition(table, step)));
}

bool WantsTopValues(const Column& column, double distinct, double count, double longest) {
  if (longest > 500) {
    return false;
  }
  return distinct <= 100 || (column.type == "text" && distinct < 0.9 * count);
}

std::string CorrelationSurvey(const Table& table, const std::vector<size_t>& measures,
                              int64_t step) {
  std::vector<std::string> parts;
  for (const size_t measure : measures) {
    const std::string value = Clipped(table.columns[measure]);
    parts.push_back(absl::Substitute("avg($0), avg($0 * $0)", value));
  }
  for (size_t i = 0; i < measures.size(); ++i) {
    for (size_t j = i + 1; j < measures.size(); ++j) {
      const Column& a = table.columns[measures[i]];
      const Column& b = table.columns[measures[j]];
      parts.push_back(absl::StrCat("avg(", Centred(a), " * ", Centred(b), ")"));
      parts.push_back(IsClipped(a) || IsClipped(b)
                          ? absl::StrCat("avg(", Clipped(a), " * ", Clipped(b), ")")
                          : "NULL");
    }
  }
  return absl::StrCat("SELECT ", absl::StrJoin(parts, ", "), " FROM ", QuoteName(table.name),
                      Where({}, SampleCondition(table, step)));
}

std::vector<Pair> ParseCorrelationSurvey(const Table& table, const std::vector<size_t>& measures,
                                         const Rows& answer) {
  std::vector<Pair> pairs;
  if (answer.rows.empty()) {
    return pairs;
  }
  const std::vector<json>& row = answer.rows[0];
  const auto variance = [&](size_t i) {
    return Number(row, 2 * i + 1) - Number(row, 2 * i) * Number(row, 2 * i);
  };
  size_t at = 2 * measures.size();
  for (size_t i = 0; i < measures.size(); ++i) {
    for (size_t j = i + 1; j < measures.size(); ++j, at += 2) {
      const double spread = table.columns[measures[i]].stddev.value_or(0) *
                            table.columns[measures[j]].stddev.value_or(0);
      double strength = spread > 0 ? std::abs(Number(row, at)) / spread : 0;
      const std::optional<double> clipped = NumberOf(Cell(row, at + 1));
      if (const double both = variance(i) * variance(j);
          clipped.has_value() && variance(i) > 0 && variance(j) > 0) {
        strength = std::max(strength, std::abs(*clipped - Number(row, 2 * i) * Number(row, 2 * j)) /
                                          std::sqrt(both));
      }
      pairs.push_back({measures[i], measures[j], std::min(1.0, strength)});
    }
  }
  return pairs;
}

std::string EffectSurvey(const Table& table, size_t category, const std::vector<size_t>& outcomes,
                         int64_t step) {
  const std::string name = NameAt(table, category);
  std::string inner;
  std::vector<std::string> outer;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const std::string value = Centred(table.columns[outcomes[i]]);
    absl::StrAppend(
        &inner,
        absl::Substitute(", count($0) AS n$1, total($0) AS s$1, total($0 * $0) AS q$1", value, i));
    outer.push_back(absl::Substitute(
        "total(n$0), count(nullif(n$0, 0)), total(s$0 * s$0 / n$0), total(s$0), total(q$0)", i));
  }
  return absl::StrCat("WITH g AS (SELECT ", name, inner, " FROM ", QuoteName(table.name),
                      Where({name}, SampleCondition(table, step)), " GROUP BY ", name, ") SELECT ",
                      absl::StrJoin(outer, ", "), " FROM g");
}

std::vector<Pair> ParseEffectSurvey(size_t category, const std::vector<size_t>& outcomes,
                                    const Rows& answer) {
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

std::string AssociationSurvey(const Table& table, const std::vector<Pair>& pairs, int64_t step) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < pairs.size(); ++i) {
    parts.push_back(
        absl::StrCat("SELECT ", i, " AS pair, (",
                     AssociationCte(table, pairs[i].a, pairs[i].b, SampleCondition(table, step)),
                     " SELECT sqrt(phi2 / most) FROM p) AS v"));
  }
  return absl::StrJoin(parts, " UNION ALL ");
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
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& x, const Pair& y) { return x.strength > y.strength; });
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

std::string CorrelationQuery(const Table& table, size_t a, size_t b) {
  const Column& x = table.columns[a];
  const Column& y = table.columns[b];
  // The fences, moved as the values are.
  const auto inside = [](std::string_view name, const Column& column) {
    const double mean = column.mean.value_or(0);
    return column.outliers.has_value()
               ? absl::StrCat(name, " BETWEEN ", Literal(column.outliers->low - mean), " AND ",
                              Literal(column.outliers->high - mean))
               : absl::StrCat(name, " IS NOT NULL");
  };
  constexpr std::string_view kSums =
      "count(*) AS n, total(x) AS x, total(y) AS y, total(x * x) AS xx, total(y * y) AS yy, "
      "total(x * y) AS xy FROM d";
  return absl::StrCat("WITH d AS (SELECT ", Centred(x), " AS x, ", Centred(y), " AS y FROM ",
                      QuoteName(table.name), Where({QuoteName(x.name), QuoteName(y.name)}),
                      "), s AS (SELECT 'all rows' AS which, ", kSums,
                      " UNION ALL SELECT 'without outliers', ", kSums, " WHERE ", inside("x", x),
                      " AND ", inside("y", y), ") SELECT which, n, ", PearsonOf("n"),
                      " AS r, (xy - x * y / n) / (xx - x * x / n) AS slope FROM s");
}

std::optional<Correlation> ParseCorrelation(size_t a, size_t b, const Rows& answer,
                                            std::string sql) {
  if (answer.rows.size() != 2 || Count(answer.rows[0], 1) < 3 ||
      !NumberOf(Cell(answer.rows[0], 2)).has_value()) {
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

int64_t LeastGroupSize(const Column& category) {
  return category.count >= 3000 ? 30 : category.count >= 300 ? 10 : category.count >= 50 ? 5 : 1;
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
      group, value, centred, QuoteName(table.name), Where({group, value}), least_count, kMaxGroups);
}

std::optional<Effect> ParseEffect(const Table& table, size_t category, size_t outcome,
                                  int64_t least_count, const Rows& answer, std::string sql) {
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
    effect.groups.push_back({TextOf(Cell(row, 0), table.columns[category]), Count(row, 1),
                             Number(row, 2), Number(row, 3)});
  }
  return effect;
}

std::string AssociationQuery(const Table& table, size_t a, size_t b) {
  return absl::StrCat(
      AssociationCte(table, a, b, ""),
      " SELECT a, b, e.n, expected, sqrt(phi2 / most) AS v, k.n AS all_n FROM e, p, k "
      "ORDER BY (e.n - expected) * (e.n - expected) / expected DESC, a, b LIMIT 10");
}

std::optional<Association> ParseAssociation(const Table& table, size_t a, size_t b,
                                            const Rows& answer, std::string sql) {
  if (answer.rows.empty() || !NumberOf(Cell(answer.rows[0], 4)).has_value()) {
    return std::nullopt;
  }
  Association association{.a = a,
                          .b = b,
                          .count = Count(answer.rows[0], 5),
                          .v = std::min(1.0, Number(answer.rows[0], 4)),
                          .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    association.cells.push_back({TextOf(Cell(row, 0), table.columns[a]),
                                 TextOf(Cell(row, 1), table.columns[b]), Count(row, 2),
                                 Number(row, 3)});
  }
  return association;
}

std::string BreakdownQuery(const Table& table, size_t category, const std::vector<size_t>& outcomes,
                           int limit) {
  const std::string name = NameAt(table, category);
  std::string means;
  for (const size_t outcome : outcomes) {
    absl::StrAppend(&means, ", avg(", NameAt(table, outcome), ") AS ",
                    QuoteName(absl::StrCat("mean of ", table.columns[outcome].name)));
  }
  return absl::StrCat("SELECT ", name, " AS value, count(*) AS n, 1.0 * count(*) / ",
                      std::max<int64_t>(table.rows, 1), " AS share", means, " FROM ",
                      QuoteName(table.name), Where({name}), " GROUP BY ", name,
                      " ORDER BY n DESC, value LIMIT ", limit);
}

Breakdown ParseBreakdown(const Table& table, size_t category, std::vector<size_t> outcomes,
                         const Rows& answer, std::string sql) {
  Breakdown breakdown{.category = category, .outcomes = std::move(outcomes), .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    breakdown.groups.push_back(
        {.value = TextOf(Cell(row, 0), table.columns[category]), .count = Count(row, 1)});
    auto& means = breakdown.means.emplace_back();
    for (size_t i = 0; i < breakdown.outcomes.size(); ++i) {
      means.push_back(NumberOf(Cell(row, 3 + i)));
    }
  }
  return breakdown;
}

bool AddsUp(const Column& column) {
  if (!column.IsNumber() || column.IsBinary() || column.min.value_or(-1) < 0 ||
      column.mean.value_or(0) <= 0) {
    return false;
  }
  return *column.mean > 1.25 * column.median.value_or(*column.mean) ||
         HasWord(WordsOf(column.name),
                 {"amount", "amounts", "cost", "costs", "count", "counts", "items", "number",
                  "orders", "profit", "quantity", "qty", "revenue", "sales", "spend", "sum",
                  "total", "units", "volume"});
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

std::string_view PeriodName(Period period) {
  switch (period) {
    case Period::kHour:
      return "hour";
    case Period::kDay:
      return "day";
    case Period::kMonth:
      return "month";
    case Period::kYear:
      return "year";
  }
  return "";
}

bool CanCut(const Column& time, Period period) {
  return period == Period::kYear || time.type == "datetime" ||
         (time.type == "date" && period != Period::kHour);
}

Period ChoosePeriod(const Column& time) {
  if (time.IsInteger()) {
    return Period::kYear;
  }
  const double days = RoughDays(ParseMoment(time.max_text)) - RoughDays(ParseMoment(time.min_text));
  if (days <= 3 && time.type == "datetime") {
    return Period::kHour;
  }
  return days <= 92 ? Period::kDay : days <= 4 * 366 ? Period::kMonth : Period::kYear;
}

std::string TrendQuery(const Table& table, size_t time, Period period,
                       const std::vector<size_t>& outcomes) {
  std::string means;
  for (const size_t outcome : outcomes) {
    absl::StrAppend(&means, ", avg(", NameAt(table, outcome), ") AS ",
                    QuoteName(absl::StrCat("mean of ", table.columns[outcome].name)));
  }
  return absl::StrCat("SELECT ", PeriodExpression(table.columns[time], period),
                      " AS period, count(*) AS n", means, " FROM ", QuoteName(table.name),
                      Where({NameAt(table, time)}), " GROUP BY period ORDER BY period LIMIT ",
                      kMaxPeriods);
}

Trend ParseTrend(const Table& table, size_t time, Period period, std::vector<size_t> outcomes,
                 const Rows& answer, std::string sql) {
  Trend trend{
      .time = time, .period = period, .outcomes = std::move(outcomes), .sql = std::move(sql)};
  const Column& column = table.columns[time];
  for (const auto& row : answer.rows) {
    trend.periods.push_back(TextOf(Cell(row, 0), {}));
    trend.counts.push_back(Count(row, 1));
    auto& means = trend.means.emplace_back();
    for (size_t i = 0; i < trend.outcomes.size(); ++i) {
      means.push_back(NumberOf(Cell(row, 2 + i)));
    }
  }
  trend.last = trend.periods.empty() ? 0 : trend.periods.size() - 1;
  // A column with one date a period (each first of the month, say) has no half-covered ones. So has
  // one of whole days when it is cut by day.
  const bool one_date_a_period =
      2 * column.distinct <= 3 * static_cast<int64_t>(trend.periods.size());
  if (one_date_a_period || trend.periods.size() < 3 || !CanCut(column, Period::kDay) ||
      (period == Period::kDay && column.type == "date")) {
    return trend;
  }
  if (Passed(ParseMoment(column.min_text), period) > kFirstTenth) {
    ++trend.first;
  }
  if (Passed(ParseMoment(column.max_text), period) < kLastPart) {
    --trend.last;
  }
  return trend;
}

std::string FitQuery(const Table& table, const Trend& trend) {
  std::string means;
  for (size_t i = 0; i < trend.outcomes.size(); ++i) {
    absl::StrAppend(&means, ", avg(", NameAt(table, trend.outcomes[i]), ") AS y", i + 1);
  }
  std::vector<std::string> fits;
  for (size_t i = 0; i <= trend.outcomes.size(); ++i) {
    fits.push_back(
        absl::Substitute("SELECT $0 AS outcome, count(*) AS periods, sum(x * y) / sqrt(sum(x * x) "
                         "* sum(y * y)) AS r, sum(x * y) / sum(x * x) AS slope FROM "
                         "(SELECT x - avg(x) OVER () AS x, y$1 - avg(y$1) OVER () AS y FROM i "
                         "WHERE y$1 IS NOT NULL)",
                         static_cast<int>(i) - 1, i));
  }
  return absl::Substitute(
      "WITH p AS (SELECT $0 AS period, count(*) AS y0$1 FROM $2$3 GROUP BY period), i AS (SELECT "
      "row_number() OVER (ORDER BY period) AS x, * "
      "FROM p WHERE period BETWEEN '$4' AND '$5') $6",
      PeriodExpression(table.columns[trend.time], trend.period), means, QuoteName(table.name),
      Where({NameAt(table, trend.time)}),
      absl::StrReplaceAll(trend.periods[trend.first], {{"'", "''"}}),
      absl::StrReplaceAll(trend.periods[trend.last], {{"'", "''"}}),
      absl::StrJoin(fits, " UNION ALL "));
}

Fits ParseFits(const Rows& answer, std::string sql) {
  Fits fits{.sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    if (NumberOf(Cell(row, 2)).has_value()) {
      fits.fits.push_back({static_cast<int>(Count(row, 0)), Count(row, 1),
                           std::clamp(Number(row, 2), -1.0, 1.0), Number(row, 3)});
    }
  }
  return fits;
}

std::string SeasonQuery(const Table& table, size_t time, std::string* first_year,
                        std::string* last_year) {
  const Column& column = table.columns[time];
  if (!CanCut(column, Period::kMonth)) {
    return "";
  }
  const Moment min = ParseMoment(column.min_text);
  const Moment max = ParseMoment(column.max_text);
  const int first = min.year + (Passed(min, Period::kYear) > kFirstTenth ? 1 : 0);
  const int last = max.year - (Passed(max, Period::kYear) < 0.9 ? 1 : 0);
  if (last - first + 1 < 2) {
    return "";
  }
  *first_year = absl::StrFormat("%04d", first);
  *last_year = absl::StrFormat("%04d", last);
  const std::string name = QuoteName(column.name);
  return absl::Substitute(
      "SELECT substr($0, 6, 2) AS month, count(*) AS n FROM $1 WHERE substr($0, 1, 4) BETWEEN '$2' "
      "AND '$3' GROUP BY month ORDER BY month",
      name, QuoteName(table.name), *first_year, *last_year);
}

Seasons ParseSeasons(size_t time, std::string first_year, std::string last_year, const Rows& answer,
                     std::string sql) {
  Seasons seasons{.time = time,
                  .first_year = std::move(first_year),
                  .last_year = std::move(last_year),
                  .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    seasons.months.push_back({.value = TextOf(Cell(row, 0), {}), .count = Count(row, 1)});
  }
  return seasons;
}

bool IsConcentrated(const Column& column) {
  return column.role == Role::kMeasure && column.count >= 200 && column.min.value_or(-1) >= 0 &&
         column.mean.value_or(0) > 0 && *column.mean > 2 * column.median.value_or(0) &&
         !column.IsBinary();
}

std::string ConcentrationQuery(const Table& table, size_t measure) {
  const Column& column = table.columns[measure];
  return absl::Substitute(
      "SELECT (SELECT count($0) FROM $1) AS n, (SELECT total($0) FROM $1) AS total, count(*) AS "
      "largest, total($0) AS largest_total FROM "
      "(SELECT $0 FROM $1 WHERE $0 IS NOT NULL ORDER BY $0 DESC LIMIT $2)",
      QuoteName(column.name), QuoteName(table.name), (column.count + 99) / 100);
}

std::optional<Concentration> ParseConcentration(size_t measure, const Rows& answer,
                                                std::string sql) {
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
  return absl::StrCat("SELECT count(*) AS complete_rows FROM ", QuoteName(table.name),
                      Where(names));
}

std::string DuplicateRowsQuery(const Table& table) {
  return absl::Substitute(
      "SELECT (SELECT count(*) FROM $0) - count(*) AS repeated_rows FROM (SELECT DISTINCT * FROM "
      "$0)",
      QuoteName(table.name));
}

std::string ScatterQuery(const Table& table, size_t x, size_t y, int64_t limit) {
  const int64_t step = std::max<int64_t>((table.rows + limit - 1) / limit, 1);
  return absl::StrCat("SELECT ", NameAt(table, x), ", ", NameAt(table, y), " FROM ",
                      QuoteName(table.name),
                      Where({NameAt(table, x), NameAt(table, y)}, SampleCondition(table, step)),
                      " LIMIT ", 2 * limit);
}

}  // namespace bulkhead::agent::analyst
