// What the analyst asks of a table, as SQL, and what it makes of the answers. Pure: no clock, no
// chance, no I/O.
//
// Each statement runs as it is in SQLite 3.35 or later with mathematical functions, and gives the
// numbers in the form in which the report shows them, so that a reader can check each.
#ifndef SERVICES_AGENT_AGENTS_ANALYSIS_H_
#define SERVICES_AGENT_AGENTS_ANALYSIS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "services/agent/agents/markdown.h"

namespace bulkhead::agent::analyst {

// What a column is good for.
enum class Role {
  kUnknown,     // Not profiled.
  kEmpty,       // No value at all.
  kConstant,    // One value in every row.
  kIdentifier,  // Numbers or codes that name things: no arithmetic.
  kText,        // Hardly a value twice.
  kCategory,    // Values that many rows share.
  kMeasure,     // Numbers to calculate with.
  kTime,        // Dates, times, years.
};
std::string_view RoleName(Role role);

struct TopValue {
  std::string text;
  int64_t count = 0;
};

struct Outliers {
  double low = 0;  // Tukey's fences.
  double high = 0;
  int64_t count = 0;
};

struct Column {
  std::string name;
  std::string type;  // As table.load tells: integer, real, date, datetime, boolean, text.
  int64_t missing = 0;
  // From here on as table.profile tells, when `profiled`.
  bool profiled = false;
  int64_t count = 0;
  int64_t distinct = 0;
  std::string min_text;  // "" when there is no value.
  std::string max_text;
  std::optional<double> min, max, mean, stddev, q1, median, q3;
  std::optional<Outliers> outliers;
  std::vector<TopValue> top;
  nlohmann::json histogram;  // For chart.render.
  std::vector<Statement> statements;
  Role role = Role::kUnknown;

  bool IsNumber() const { return type == "integer" || type == "real"; }
  bool IsInteger() const { return type == "integer"; }
  // 0 or 1, so that its mean is a share.
  bool IsBinary() const {
    return type == "boolean" || (type == "integer" && distinct == 2 && min == 0.0 && max == 1.0);
  }
  // Worth averaging: by group, by time.
  bool IsOutcome() const { return role == Role::kMeasure || (IsBinary() && role == Role::kCategory && distinct == 2); }
  // Its groups are few enough, and large enough, to be compared.
  bool IsGrouping() const {
    return role == Role::kCategory && distinct >= 2 && distinct <= 50 && count >= 5 * distinct;
  }
};

struct Table {
  std::string name;
  int64_t rows = 0;
  std::vector<Column> columns;
};

// "flightDate", "Flight Date", "FLIGHT_DATE" -> {"flight", "date"}.
std::vector<std::string> WordsOf(std::string_view text);

// The answer of table.load.
Table ParseTable(const nlohmann::json& loaded);
// Takes what table.profile tells of one column, and finds its role.
void TakeProfile(const nlohmann::json& profile, int64_t rows, Column& column);

// The answer of table.query.
struct Rows {
  std::vector<std::string> columns;
  std::vector<std::vector<nlohmann::json>> rows;
};
Rows ParseRows(const nlohmann::json& answer);
std::optional<double> NumberOf(const nlohmann::json& value);
// A value of a column as a reader would write it: no quotes, no thousands separators, "(none)" for
// NULL.
std::string TextOf(const nlohmann::json& value, const Column& column);

// "name", with quotes doubled. A literal that SQLite reads as exactly this real number.
std::string QuoteName(std::string_view name);
std::string Literal(double number);
// main."name": what follows FROM. A name without its schema may be that of a statement's own WITH.
std::string SourceOf(const Table& table);

// How long a statement may be: what table.query takes.
inline constexpr size_t kMaxStatement = 100'000;
// Whether a column's name is too long for statements that name many.
bool IsTooLong(const Column& column);

// --- Surveys: rough numbers, of all pairs at once, from a sample of the rows, which choose what is
// then computed exactly. A name stands once or twice in each, however many pairs there are ---

// A condition that keeps about one row in `step` ("rowid % 5 = 0"); "" when it keeps all, or when
// columns hide the row's number.
std::string SampleCondition(const Table& table, int64_t step);
// The step that keeps the sample's rows times `work` under `budget`.
int64_t SampleStep(int64_t rows, int64_t work, int64_t budget);

// For each column: how many different values the sample has, of how many, and how long the longest
// is.
std::string SketchQuery(const Table& table, const std::vector<size_t>& columns, int64_t step);
// Whether listing the most frequent values of a column is worth its cost, from three numbers of the
// sketch.
bool WantsTopValues(const Column& column, double distinct, double count, double longest);

struct Pair {
  size_t a = 0;
  size_t b = 0;
  double strength = 0;  // |r|, eta, or V.
};

// Pearson's r of all pairs of `measures`, in one pass: of the values, and of the values with
// outliers moved to the fences. The larger is the strength.
std::string CorrelationSurvey(const Table& table, const std::vector<size_t>& measures, int64_t step);
std::vector<Pair> ParseCorrelationSurvey(const Table& table, const std::vector<size_t>& measures, const Rows& answer);

// How far the groups of `category` (Pair::a) tell apart each of `outcomes` (Pair::b); the strength
// is the square root of epsilon squared, which doesn't grow with the number of groups alone.
std::string EffectSurvey(const Table& table, size_t category, const std::vector<size_t>& outcomes, int64_t step);
std::vector<Pair> ParseEffectSurvey(size_t category, const std::vector<size_t>& outcomes, const Rows& answer);

// Cramer's V of each pair, bias-corrected; in as few statements as take them all. Each answer adds
// its pairs' strengths.
std::vector<std::string> AssociationSurvey(const Table& table, const std::vector<Pair>& pairs, int64_t step);
std::vector<Pair> ParseAssociationSurvey(std::vector<Pair> pairs, const Rows& answer);

// The strongest first, at most `limit`, none under `least`, and no column in more than `per_column`
// of them.
std::vector<Pair> Strongest(std::vector<Pair> pairs, size_t limit, double least, int per_column);

// --- Exact numbers ---

struct Correlation {
  size_t a = 0;
  size_t b = 0;
  int64_t count = 0;
  double r = 0;
  double slope = 0;  // Of b over a.
  // Of the rows in which neither value is an outlier.
  int64_t inner_count = 0;
  std::optional<double> inner_r;
  std::string sql;
};
std::string CorrelationQuery(const Table& table, size_t a, size_t b);
// Nullopt when it is not defined: too few rows, or no variation.
std::optional<Correlation> ParseCorrelation(size_t a, size_t b, const Rows& answer, std::string sql);

// Comparable with that of other findings: |r|, less when a few rows make it, and of the other rows
// when a few rows hide it.
double StrengthOf(const Correlation& correlation);

// Whether the sum of a column means something: costs do, speeds don't. By its name, or its long
// tail.
bool AddsUp(const Column& column);

struct Group {
  std::string value;
  int64_t count = 0;
  double mean = 0;
  double total = 0;
};

// How an outcome differs between groups.
struct Effect {
  size_t category = 0;
  size_t outcome = 0;
  int64_t count = 0;
  int64_t group_count = 0;
  double eta_squared = 0;
  std::vector<Group> groups;  // Those shown, by mean from the highest.
  int64_t least_count = 0;    // Smaller groups are not shown.
  std::string sql;
};
inline constexpr int64_t kMaxGroups = 500;
// Under how many rows a group of this column says too little to be shown beside others.
int64_t LeastGroupSize(const Column& category);
std::string EffectQuery(const Table& table, size_t category, size_t outcome, int64_t least_count);
std::optional<Effect> ParseEffect(const Table& table, size_t category, size_t outcome, int64_t least_count,
                                  const Rows& answer, std::string sql);

// How two categories go together.
struct Association {
  struct Cell {
    std::string a;
    std::string b;
    int64_t count = 0;
    double expected = 0;  // If they had nothing to do with each other.
  };
  size_t a = 0;
  size_t b = 0;
  int64_t count = 0;
  double v = 0;
  std::vector<Cell> cells;  // The ten that differ most.
  std::string sql;
};
std::string AssociationQuery(const Table& table, size_t a, size_t b);
std::optional<Association> ParseAssociation(const Table& table, size_t a, size_t b, const Rows& answer,
                                            std::string sql);

// The most frequent values, with the means of some outcomes.
struct Breakdown {
  size_t category = 0;
  std::vector<size_t> outcomes;
  std::vector<Group> groups;                              // count only
  std::vector<std::vector<std::optional<double>>> means;  // [group][outcome]
  std::string sql;
};
std::string BreakdownQuery(const Table& table, size_t category, const std::vector<size_t>& outcomes, int limit);
Breakdown ParseBreakdown(const Table& table, size_t category, std::vector<size_t> outcomes, const Rows& answer,
                         std::string sql);

enum class Period { kHour, kDay, kMonth, kYear };
std::string_view PeriodName(Period period);  // "hour"

// By what a time column is best cut, by its span.
Period ChoosePeriod(const Column& time);
bool CanCut(const Column& time, Period period);

struct Trend {
  size_t time = 0;
  Period period = Period::kYear;
  std::vector<size_t> outcomes;
  std::vector<std::string> periods;
  std::vector<int64_t> counts;
  std::vector<std::vector<std::optional<double>>> means;  // [period][outcome]
  // The first and the last period that the data cover whole: indices. The line is fitted to these
  // and those between.
  size_t first = 0;
  size_t last = 0;
  std::string sql;
};
// At most kMaxPeriods.
inline constexpr int64_t kMaxPeriods = 1000;
std::string TrendQuery(const Table& table, size_t time, Period period, const std::vector<size_t>& outcomes);
Trend ParseTrend(const Table& table, size_t time, Period period, std::vector<size_t> outcomes, const Rows& answer,
                 std::string sql);

// A straight line through the whole periods, for the count of rows and for each mean.
struct Fit {
  int outcome = -1;  // Index in Trend::outcomes, or -1: the count of rows.
  int64_t periods = 0;
  double r = 0;
  double slope = 0;  // A period.
};
struct Fits {
  std::vector<Fit> fits;
  std::string sql;
};
std::string FitQuery(const Table& table, const Trend& trend);
Fits ParseFits(const Rows& answer, std::string sql);

// Rows by month of the year, over whole years only.
struct Seasons {
  size_t time = 0;
  std::string first_year;
  std::string last_year;
  std::vector<Group> months;  // value: "01".."12".
  std::string sql;
};
// "" when the column does not cover two whole years.
std::string SeasonQuery(const Table& table, size_t time, std::string* first_year, std::string* last_year);
Seasons ParseSeasons(size_t time, std::string first_year, std::string last_year, const Rows& answer, std::string sql);

// How much of a measure's sum its largest hundredth of the rows carries.
struct Concentration {
  size_t measure = 0;
  int64_t count = 0;
  int64_t largest = 0;
  double total = 0;
  double largest_total = 0;
  std::string sql;
};
// True for what has no negative values, and a mean far over its median.
bool IsConcentrated(const Column& column);
std::string ConcentrationQuery(const Table& table, size_t measure);
std::optional<Concentration> ParseConcentration(size_t measure, const Rows& answer, std::string sql);

// Rows that have a value in each of `columns`; rows that repeat another one.
std::string CompleteRowsQuery(const Table& table, const std::vector<size_t>& columns);
std::string DuplicateRowsQuery(const Table& table);

// Points for a scatter chart, about `limit`.
std::string ScatterQuery(const Table& table, size_t x, size_t y, int64_t limit);

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_ANALYSIS_H_
