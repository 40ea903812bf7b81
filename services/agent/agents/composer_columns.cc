#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

Section Composer::Overview() const {
  Section section{.title = "Overview"};
  const Table& table = a_.table;
  Grid grid{.header = {"of the table", ""}};
  grid.rows.push_back({"rows", FormatCount(table.rows)});
  grid.rows.push_back({"columns", FormatCount(static_cast<int64_t>(table.columns.size()))});
  std::map<Role, int64_t> roles;
  int64_t missing = 0;
  for (const analyst::Column& column : table.columns) {
    ++roles[column.role];
    missing += column.missing;
  }
  if (table.rows > 0) {
    for (const auto& [role, count] : roles) {
      grid.rows.push_back({absl::StrCat("columns: ", RoleName(role)), FormatCount(count)});
    }
    const int64_t cells = table.rows * static_cast<int64_t>(table.columns.size());
    grid.rows.push_back(
        {"missing cells", absl::StrCat(FormatCount(missing), " (", FormatShare(Share(missing, cells)), ")")});
  }
  if (a_.complete_rows.has_value()) {
    grid.rows.push_back(
        {"rows without a missing value", absl::StrCat(FormatCount(a_.complete_rows->count), " (",
                                                      FormatShare(Share(a_.complete_rows->count, table.rows)), ")")});
  }
  if (a_.repeated_rows.has_value()) {
    grid.rows.push_back({"rows that repeat another", FormatCount(a_.repeated_rows->count)});
  }
  for (const analyst::Column& column : table.columns) {
    if (column.role == Role::kTime) {
      grid.rows.push_back(
          {absl::StrCat("span of ", column.name), absl::StrCat(column.min_text, " to ", column.max_text)});
    }
  }
  section.blocks.push_back(std::move(grid));
  Evidence evidence;
  if (table.rows > 0) {
    evidence.statements.push_back({"rows", absl::StrCat("SELECT count(*) AS n FROM ", SourceOf(table))});
  }
  if (a_.complete_rows.has_value()) {
    evidence.statements.push_back({"rows without a missing value", a_.complete_rows->sql});
  }
  if (a_.repeated_rows.has_value()) {
    evidence.statements.push_back({"rows that repeat another", a_.repeated_rows->sql});
  }
  section.blocks.push_back(std::move(evidence));
  if (!a_.warnings.empty()) {
    section.blocks.push_back(Paragraph{"When it was loaded:"});
    section.blocks.push_back(Bullets{.items = a_.warnings});
  }
  return section;
}

Section Composer::Missing() const {
  Section section{.title = "Missing values"};
  Grid grid{.header = {"column", "missing", "of all rows"}};
  std::vector<size_t> columns;
  for (size_t i = 0; i < a_.table.columns.size(); ++i) {
    if (Column(i).missing > 0) {
      columns.push_back(i);
    }
  }
  if (columns.empty()) {
    section.blocks.push_back(Paragraph{"None: every row has a value in each column."});
    return section;
  }
  std::stable_sort(columns.begin(), columns.end(),
                   [&](size_t x, size_t y) { return Column(x).missing > Column(y).missing; });
  constexpr size_t kShown = 30;
  Evidence evidence;
  for (const size_t i : columns) {
    if (grid.rows.size() == kShown) {
      break;
    }
    grid.rows.push_back(
        {Column(i).name, FormatCount(Column(i).missing), FormatShare(Share(Column(i).missing, a_.table.rows))});
    evidence.statements.push_back({Column(i).name, absl::StrCat("SELECT count(*) - count(", QuoteName(Column(i).name),
                                                                ") AS missing FROM ", SourceOf(a_.table))});
  }
  section.blocks.push_back(std::move(grid));
  if (columns.size() > kShown) {
    section.blocks.push_back(Paragraph{absl::StrCat(columns.size() - kShown, " more columns miss fewer.")});
  }
  section.blocks.push_back(std::move(evidence));
  return section;
}

Section Composer::OutliersAndSpread() const {
  Section section{.title = "Outliers and spread"};
  Grid grid{.header = {"column", "outliers", "of all values", "expected from", "to", "minimum", "maximum", "distance"}};
  std::vector<size_t> columns = ByOutlierDistance();
  std::vector<size_t> mostly_one;
  for (size_t i = 0; i < a_.table.columns.size(); ++i) {
    const analyst::Column& c = Column(i);
    if (c.role == Role::kMeasure && c.outliers.has_value() && c.outliers->count > 0 && Distance(c) == 0) {
      mostly_one.push_back(i);
    }
  }
  constexpr size_t kShown = 20;
  Evidence evidence;
  for (const size_t i : columns) {
    const analyst::Column& c = Column(i);
    if (grid.rows.size() < kShown) {
      grid.rows.push_back({c.name, FormatCount(c.outliers->count), FormatShare(Share(c.outliers->count, c.count)),
                           FormatNumber(c.outliers->low), FormatNumber(c.outliers->high), Optional(c.min),
                           Optional(c.max), FormatNumber(Distance(c))});
      AddStatements(c, {"counts", "quartiles", "outliers"}, evidence);
    }
  }
  if (columns.empty() && mostly_one.empty() && a_.concentrations.empty()) {
    return section;
  }
  if (!columns.empty()) {
    section.blocks.push_back(
        Paragraph{"Values further than 1.5 interquartile ranges beyond the quartiles (Tukey's "
                  "rule). The distance tells how many interquartile ranges the "
                  "most extreme one lies beyond them. An outlier may be a mistake, or the most "
                  "interesting row: look at it before it is removed. Where "
                  "many values are outliers, the column has a long tail rather than mistakes."});
    section.blocks.push_back(std::move(grid));
    section.blocks.push_back(std::move(evidence));
  }
  for (const size_t i : mostly_one) {
    const analyst::Column& c = Column(i);
    Sentence s;
    s.Say("At least half of the values of ")
        .Name(c.name)
        .Say(absl::StrCat(" are ", Optional(c.median), "; ", FormatCount(c.outliers->count), " (",
                          FormatShare(Share(c.outliers->count, c.count)), ") are something else, up to ",
                          Optional(c.max), ". The rule of the quartiles tells nothing of such a column."));
    section.blocks.push_back(Paragraph{std::move(s)});
  }
  Evidence spread;
  for (const size_t i : mostly_one) {
    AddStatements(Column(i), {"quartiles", "outliers"}, spread);
  }
  section.blocks.push_back(std::move(spread));
  if (!a_.concentrations.empty()) {
    section.blocks.push_back(Subheading{"How much the largest values carry"});
    Grid shares{.header = {"column", "values", "sum", "largest 1%", "their sum", "of the whole sum"}};
    Evidence statements;
    for (const Concentration& c : a_.concentrations) {
      shares.rows.push_back({Column(c.measure).name, FormatCount(c.count), FormatNumber(c.total),
                             FormatCount(c.largest), FormatNumber(c.largest_total),
                             FormatShare(c.largest_total / c.total)});
      statements.statements.push_back({Column(c.measure).name, c.sql});
    }
    section.blocks.push_back(std::move(shares));
    section.blocks.push_back(std::move(statements));
  }
  AddCharts(Place::kOutliers, section);
  return section;
}

Section Composer::Columns() const {
  Section section{.title = "Columns"};
  if (a_.table.rows == 0) {
    Grid grid{.header = {"column"}};
    for (const analyst::Column& column : a_.table.columns) {
      grid.rows.push_back({column.name});
    }
    section.blocks.push_back(std::move(grid));
    return section;
  }
  Grid grid{.header = {"column", "type", "used as", "missing", "different", "minimum", "maximum", "mean", "std. dev.",
                       "median", "most frequent"},
            .text_columns = 3};
  Evidence evidence;
  size_t left_out = 0;
  for (const analyst::Column& column : a_.table.columns) {
    if (!column.profiled) {
      ++left_out;
      continue;
    }
    const bool numbers = column.IsNumber() && column.role != Role::kIdentifier && column.role != Role::kTime;
    const bool share = column.type == "boolean";
    grid.rows.push_back({column.name, column.type, std::string(RoleName(column.role)),
                         column.missing == 0 ? "0" : FormatShare(Share(column.missing, a_.table.rows)),
                         FormatCount(column.distinct), numbers ? Optional(column.min) : Short(column.min_text),
                         numbers ? Optional(column.max) : Short(column.max_text),
                         share     ? (column.mean.has_value() ? FormatShare(*column.mean) : "")
                         : numbers ? Optional(column.mean)
                                   : "",
                         numbers ? Optional(column.stddev) : "", numbers ? Optional(column.median) : "",
                         MostFrequent(column)});
    evidence.statements.insert(evidence.statements.end(), column.statements.begin(), column.statements.end());
  }
  section.blocks.push_back(std::move(grid));
  if (left_out > 0) {
    section.blocks.push_back(Paragraph{
        absl::StrCat(left_out, left_out == 1 ? " column is" : " columns are", " not profiled: see the limits below.")});
  }
  section.blocks.push_back(std::move(evidence));
  return section;
}

std::string Composer::Short(std::string_view text) {
  return text.size() <= 30 ? std::string(text) : absl::StrCat(text.substr(0, Boundary(text, 28)), "...");
}

size_t Composer::Boundary(std::string_view text, size_t at) {
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) {
    --at;
  }
  return at;
}

std::string Composer::MostFrequent(const analyst::Column& column) const {
  if (column.top.empty() || column.top[0].count < 2 || column.role == Role::kConstant) {
    return "";
  }
  return absl::StrCat(Short(column.top[0].text), " (", FormatShare(Share(column.top[0].count, column.count)), ")");
}

}  // namespace bulkhead::agent::analyst
