#include "services/tool/tables/table_profile.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/substitute.h"
#include "nlohmann/json.hpp"
#include "services/common/status/macros.h"
#include "services/tool/tables/value_json.h"

namespace bulkhead::tool {
namespace {

using storage::Value;

// Characters that are told of a text: the longest ones would be more than an answer holds.
constexpr int kMaxText = 500;

bool IsNumeric(ColumnType type) { return type == ColumnType::kInteger || type == ColumnType::kReal; }
bool IsTime(ColumnType type) { return type == ColumnType::kDate || type == ColumnType::kDatetime; }

// As few digits as tell it from its neighbours: what is printed is what was computed with.
std::string Number(double value) {
  std::string text = absl::StrFormat("%.15g", value);
  double read_back = 0;
  if (std::sscanf(text.c_str(), "%lf", &read_back) != 1 || read_back != value) {
    text = absl::StrFormat("%.17g", value);
  }
  // A literal with a point, so that SQLite divides as reals do.
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

double AsReal(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return static_cast<double>(*integer);
  }
  const auto* real = std::get_if<double>(&value);
  return real != nullptr ? *real : 0;
}

// Computes the profile of one column. Each step runs one statement and keeps its text. Statements
// group by a result's place: by name SQLite would rather take a column of the file.
class Profile {
 public:
  Profile(storage::UserReader& database, std::string_view table, const CatalogColumn& column,
          const ProfileOptions& options)
      : database_(database),
        column_(column),
        options_(options),
        // With its schema: a name without one may be that of a statement's own WITH.
        table_(absl::StrCat("main.", storage::QuoteIdentifier(table))),
        name_(storage::QuoteIdentifier(column.name)) {}

  absl::StatusOr<nlohmann::json> Compute() {
    result_ = {{"name", column_.name}, {"type", ColumnTypeName(column_.type)}, {"sql", nlohmann::json::object()}};
    RETURN_IF_ERROR(Counts());
    if (options_.top > 0) {
      RETURN_IF_ERROR(Top());
    } else {
      result_["top"] = nlohmann::json::array();
    }
    if (IsNumeric(column_.type) || column_.type == ColumnType::kBoolean) {
      RETURN_IF_ERROR(Moments());
      RETURN_IF_ERROR(Quartiles());
    }
    if (IsNumeric(column_.type) && count_ > 0) {
      RETURN_IF_ERROR(Outliers());
      RETURN_IF_ERROR(NumberHistogram());
    }
    if (IsTime(column_.type) && count_ > 0) {
      RETURN_IF_ERROR(TimeHistogram());
    }
    return std::move(result_);
  }

 private:
  // Runs the statement that `pattern` makes ($0: the table, $1: the column) and keeps it as
  // sql.`key`.
  absl::StatusOr<std::vector<std::vector<Value>>> Run(std::string_view key, std::string_view pattern) {
    std::string sql = absl::Substitute(pattern, table_, name_);
    std::vector<std::vector<Value>> rows;
    RETURN_IF_ERROR(database_.Query(
        sql, {}, [](std::vector<std::string>) {},
        [&rows](std::vector<Value> row) {
          rows.push_back(std::move(row));
          return true;
        }));
    result_["sql"][std::string(key)] = std::move(sql);
    return rows;
  }

  // The value of `expression`, of a text its beginning.
  std::string Told(std::string_view expression) const {
    return column_.type == ColumnType::kText ? absl::StrCat("substr(", expression, ", 1, ", kMaxText, ")")
                                             : std::string(expression);
  }

  absl::Status Counts() {
    ASSIGN_OR_RETURN(
        auto rows,
        Run("counts", absl::StrCat("SELECT count(*) AS row_count, count($1) AS count, count(*) - count($1) AS missing, "
                                   "count(DISTINCT $1) AS distinct_count, ",
                                   Told("min($1)"), " AS min, ", Told("max($1)"), " AS max FROM $0")));
    const std::vector<Value>& row = rows.at(0);
    count_ = std::get<int64_t>(row[1]);
    min_ = row[4];
    max_ = row[5];
    result_["count"] = ToJson(row[1]);
    result_["missing"] = ToJson(row[2]);
    result_["distinct"] = ToJson(row[3]);
    result_["min"] = ToJson(row[4]);
    result_["max"] = ToJson(row[5]);
    return absl::OkStatus();
  }

  absl::Status Top() {
    ASSIGN_OR_RETURN(auto rows, Run("top", absl::StrCat("SELECT ", Told("$1"),
                                                        " AS value, count(*) AS count FROM $0 WHERE $1 IS NOT NULL "
                                                        "GROUP BY $1 ORDER BY count DESC, value LIMIT ",
                                                        options_.top)));
    nlohmann::json top = nlohmann::json::array();
    for (const std::vector<Value>& row : rows) {
      top.push_back({{"value", ToJson(row[0])}, {"count", ToJson(row[1])}});
    }
    result_["top"] = std::move(top);
    return absl::OkStatus();
  }

  // The deviations are summed around the mean: the sum of squares minus the square of the sum would
  // cancel out.
  absl::Status Moments() {
    ASSIGN_OR_RETURN(auto rows, Run("moments",
                                    "SELECT m.mean AS mean, sqrt(sum((t.$1 - m.mean) * (t.$1 - "
                                    "m.mean)) / (count(t.$1) - 1)) AS stddev "
                                    "FROM $0 AS t, (SELECT avg($1) AS mean FROM $0) AS m"));
    result_["mean"] = count_ > 0 ? ToJson(rows.at(0)[0]) : nullptr;
    result_["stddev"] = count_ > 1 ? ToJson(rows.at(0)[1]) : nullptr;
    return absl::OkStatus();
  }

  // At a fraction f of n ordered values lies the position 1 + f * (n - 1); between two values,
  // linearly. The positions are known, so that one sort and a look at six rows are enough.
  absl::Status Quartiles() {
    std::string positions;
    std::string wanted;
    for (const double f : {0.25, 0.5, 0.75}) {
      const double position = 1 + f * static_cast<double>(count_ - 1);
      const auto low = static_cast<int64_t>(position);
      absl::StrAppend(&positions, positions.empty() ? "" : ", ", low, ", ", low + 1);
      absl::StrAppend(&wanted, wanted.empty() ? "(" : ", (", f, ", ", low, ", ", position - static_cast<double>(low),
                      ")");
    }
    ASSIGN_OR_RETURN(auto rows,
                     Run("quartiles", absl::StrCat("WITH ends AS MATERIALIZED (SELECT i, v FROM (SELECT $1 AS v, "
                                                   "row_number() OVER (ORDER BY $1) AS i FROM $0 "
                                                   "WHERE $1 IS NOT NULL) WHERE i IN (",
                                                   positions, ")), wanted(f, low, share) AS (VALUES ", wanted,
                                                   ") SELECT f, min(v) + (max(v) - min(v)) * share AS value FROM "
                                                   "wanted JOIN ends ON i = low OR (share > 0 AND i = low + 1) "
                                                   "GROUP BY f ORDER BY f")));
    const char* keys[] = {"q1", "median", "q3"};
    for (size_t i = 0; i < 3; ++i) {
      result_[keys[i]] = i < rows.size() ? ToJson(rows[i][1]) : nullptr;
    }
    if (rows.size() == 3) {
      q1_ = AsReal(rows[0][1]);
      q3_ = AsReal(rows[2][1]);
    }
    return absl::OkStatus();
  }

  // Tukey's fences.
  absl::Status Outliers() {
    const double low = q1_ - 1.5 * (q3_ - q1_);
    const double high = q3_ + 1.5 * (q3_ - q1_);
    if (!std::isfinite(low) || !std::isfinite(high)) {
      return absl::OkStatus();  // So far apart that no number is beyond.
    }
    ASSIGN_OR_RETURN(auto rows, Run("outliers", absl::StrCat("SELECT count(*) AS count FROM $0 WHERE $1 < ",
                                                             Number(low), " OR $1 > ", Number(high))));
    result_["outliers"] = {{"low", low}, {"high", high}, {"count", ToJson(rows.at(0)[0])}};
    return absl::OkStatus();
  }

  absl::Status NumberHistogram() {
    const double low = AsReal(min_);
    const double high = AsReal(max_);
    int bins = options_.bins;
    if (low == high) {
      bins = 1;
    } else if (column_.type == ColumnType::kInteger) {
      // Bins of whole numbers, none of which is empty by its width alone.
      bins = static_cast<int>(std::min<double>(bins, high - low + 1));
    }
    double width = low == high ? 1 : (high - low) / bins;
    if (column_.type == ColumnType::kInteger && low != high) {
      width = std::ceil((high - low + 1) / bins);
      bins = static_cast<int>(std::ceil((high - low + 1) / width));
    }
    if (!std::isnormal(width)) {
      return absl::OkStatus();  // Too wide, or too narrow, to calculate with.
    }
    ASSIGN_OR_RETURN(auto counts, HistogramCounts("$1", low, width, bins));
    nlohmann::json histogram = nlohmann::json::array();
    for (int i = 0; i < bins; ++i) {
      const double from = low + width * i;
      const bool last = i == bins - 1;
      const bool whole = column_.type == ColumnType::kInteger;
      histogram.push_back({{"from", ToJson(from)},
                           {"to", ToJson(last && !whole && low != high ? high : from + width)},
                           {"count", counts[i]}});
    }
    result_["histogram"] = std::move(histogram);
    return absl::OkStatus();
  }

  // Over days since the Julian epoch; the ends of the bins are given as dates.
  absl::Status TimeHistogram() {
    ASSIGN_OR_RETURN(auto ends, Run("range", "SELECT min(julianday($1)) AS first, max(julianday($1)) AS last FROM $0"));
    const double low = AsReal(ends.at(0)[0]);
    const double high = AsReal(ends.at(0)[1]);
    const bool days = column_.type == ColumnType::kDate;
    int bins = options_.bins;
    double width = 1;
    if (days) {
      width = std::ceil((high - low + 1) / bins);
      bins = static_cast<int>(std::ceil((high - low + 1) / width));
    } else if (low == high) {
      bins = 1;
    } else {
      width = (high - low) / bins;
    }
    ASSIGN_OR_RETURN(auto counts, HistogramCounts("julianday($1)", low, width, bins));
    // SQLite writes the dates, as it read them.
    std::string edges = "SELECT";
    for (int i = 0; i <= bins; ++i) {
      absl::StrAppend(&edges, i == 0 ? " " : ", ", days ? "date(" : "strftime('%Y-%m-%dT%H:%M:%S', ",
                      Number(i == bins && !days && low != high ? high : low + width * i), ")");
    }
    std::vector<Value> texts;
    RETURN_IF_ERROR(database_.Query(
        edges, {}, [](std::vector<std::string>) {},
        [&texts](std::vector<Value> row) {
          texts = std::move(row);
          return true;
        }));
    nlohmann::json histogram = nlohmann::json::array();
    for (int i = 0; i < bins; ++i) {
      histogram.push_back({{"from", ToJson(texts.at(i))}, {"to", ToJson(texts.at(i + 1))}, {"count", counts[i]}});
    }
    result_["histogram"] = std::move(histogram);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<int64_t>> HistogramCounts(std::string_view value, double low, double width, int bins) {
    ASSIGN_OR_RETURN(
        auto rows, Run("histogram", absl::StrCat("SELECT min(cast(floor((", value, " - ", Number(low), ") / ",
                                                 Number(width), ") AS INTEGER), ", bins - 1,
                                                 ") AS bin, count(*) AS count FROM $0 WHERE $1 IS NOT NULL GROUP BY 1 "
                                                 "ORDER BY 1")));
    std::vector<int64_t> counts(static_cast<size_t>(bins), 0);
    for (const std::vector<Value>& row : rows) {
      const auto* bin = std::get_if<int64_t>(&row[0]);
      if (bin != nullptr && *bin >= 0 && *bin < bins) {
        counts[static_cast<size_t>(*bin)] = std::get<int64_t>(row[1]);
      }
    }
    return counts;
  }

  storage::UserReader& database_;
  const CatalogColumn& column_;
  const ProfileOptions& options_;
  const std::string table_;
  const std::string name_;
  nlohmann::json result_;
  int64_t count_ = 0;
  Value min_;
  Value max_;
  double q1_ = 0;
  double q3_ = 0;
};

}  // namespace

absl::StatusOr<nlohmann::json> ProfileColumn(storage::UserReader& database, std::string_view table,
                                             const CatalogColumn& column, const ProfileOptions& options) {
  return Profile(database, table, column, options).Compute();
}

}  // namespace bulkhead::tool
