#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/analysis_parts.h"

namespace bulkhead::agent::analyst {

namespace {

std::string PeriodExpression(const Column& time, Period period) {
  const std::string name = QuoteName(time.name);
  if (time.IsInteger()) {
    return absl::StrCat("CAST(", name, " AS TEXT)");
  }
  // Dates are ISO 8601: their beginnings are the year, the month, the day, the hour.
  const int length = period == Period::kYear ? 4 : period == Period::kMonth ? 7 : period == Period::kDay ? 10 : 13;
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
  return text.size() >= at + length && absl::SimpleAtoi(text.substr(at, length), &value) ? value : otherwise;
}

Moment ParseMoment(std::string_view iso) {
  return {IntegerAt(iso, 0, 4, 0), IntegerAt(iso, 5, 2, 1), IntegerAt(iso, 8, 2, 1), IntegerAt(iso, 11, 2, 0),
          IntegerAt(iso, 14, 2, 0)};
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

}  // namespace

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
  return period == Period::kYear || time.type == "datetime" || (time.type == "date" && period != Period::kHour);
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

std::string TrendQuery(const Table& table, size_t time, Period period, const std::vector<size_t>& outcomes) {
  std::string means;
  for (const size_t outcome : outcomes) {
    absl::StrAppend(&means, ", avg(", NameAt(table, outcome), ") AS ",
                    QuoteName(absl::StrCat("mean of ", table.columns[outcome].name)));
  }
  return absl::StrCat("SELECT ", PeriodExpression(table.columns[time], period), " AS period, count(*) AS n", means,
                      " FROM ", SourceOf(table), Where({NameAt(table, time)}),
                      " GROUP BY 1 ORDER BY 1 LIMIT ", kMaxPeriods);
}

Trend ParseTrend(const Table& table, size_t time, Period period, std::vector<size_t> outcomes, const Rows& answer,
                 std::string sql) {
  Trend trend{.time = time, .period = period, .outcomes = std::move(outcomes), .sql = std::move(sql)};
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
  const bool one_date_a_period = 2 * column.distinct <= 3 * static_cast<int64_t>(trend.periods.size());
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
      "WITH p AS (SELECT $0 AS period, count(*) AS y0$1 FROM $2$3 GROUP BY 1), i AS (SELECT "
      "row_number() OVER (ORDER BY period) AS x, * "
      "FROM p WHERE period BETWEEN '$4' AND '$5') $6",
      PeriodExpression(table.columns[trend.time], trend.period), means, SourceOf(table),
      Where({NameAt(table, trend.time)}), absl::StrReplaceAll(trend.periods[trend.first], {{"'", "''"}}),
      absl::StrReplaceAll(trend.periods[trend.last], {{"'", "''"}}), absl::StrJoin(fits, " UNION ALL "));
}

Fits ParseFits(const Rows& answer, std::string sql) {
  Fits fits{.sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    if (NumberOf(Cell(row, 2)).has_value()) {
      fits.fits.push_back(
          {static_cast<int>(Count(row, 0)), Count(row, 1), std::clamp(Number(row, 2), -1.0, 1.0), Number(row, 3)});
    }
  }
  return fits;
}

std::string SeasonQuery(const Table& table, size_t time, std::string* first_year, std::string* last_year) {
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
      "AND '$3' GROUP BY 1 ORDER BY 1",
      name, SourceOf(table), *first_year, *last_year);
}

Seasons ParseSeasons(size_t time, std::string first_year, std::string last_year, const Rows& answer, std::string sql) {
  Seasons seasons{
      .time = time, .first_year = std::move(first_year), .last_year = std::move(last_year), .sql = std::move(sql)};
  for (const auto& row : answer.rows) {
    seasons.months.push_back({.value = TextOf(Cell(row, 0), {}), .count = Count(row, 1)});
  }
  return seasons;
}

}  // namespace bulkhead::agent::analyst
