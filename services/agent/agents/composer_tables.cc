#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

Grid Composer::EffectGrid(const Effect& e, size_t limit) const {
  const analyst::Column& outcome = Column(e.outcome);
  const bool totals = AddsUp(outcome);
  Grid grid{.header = {Column(e.category).name, "rows",
                       absl::StrCat(outcome.IsBinary() ? "share of " : "mean of ", outcome.name)}};
  if (totals) {
    grid.header.push_back(absl::StrCat("sum of ", outcome.name));
    grid.header.push_back("of all");
  }
  const double sum = outcome.mean.value_or(0) * static_cast<double>(outcome.count);
  const auto add = [&](const Group& group) {
    std::vector<std::string> row = {group.value, FormatCount(group.count), Mean(outcome, group.mean)};
    if (totals) {
      row.push_back(FormatNumber(group.total));
      row.push_back(FormatShare(sum > 0 ? group.total / sum : 0));
    }
    grid.rows.push_back(std::move(row));
  };
  // The highest and the lowest: what lies between is in the statement's answer.
  const size_t count = e.groups.size();
  for (size_t i = 0; i < count; ++i) {
    if (count <= limit || i < limit - limit / 3 || i >= count - limit / 3) {
      add(e.groups[i]);
    } else if (i == limit - limit / 3) {
      grid.rows.push_back({absl::StrCat("... ", count - limit, " more ..."), "", ""});
      grid.rows.back().resize(grid.header.size());
    }
  }
  return grid;
}

Grid Composer::AssociationGrid(const Association& x) const {
  Grid grid{.header = {Column(x.a).name, Column(x.b).name, "rows", "if independent", "ratio"}, .text_columns = 2};
  for (const Association::Cell& cell : x.cells) {
    grid.rows.push_back({cell.a, cell.b, FormatCount(cell.count), FormatNumber(cell.expected),
                         R(static_cast<double>(cell.count) / cell.expected)});
  }
  return grid;
}

Grid Composer::BreakdownGrid(const Breakdown& b) const {
  Grid grid{.header = {Column(b.category).name, "rows", "of all"}};
  for (const size_t outcome : b.outcomes) {
    grid.header.push_back(absl::StrCat(Column(outcome).IsBinary() ? "share of " : "mean of ", Column(outcome).name));
  }
  for (size_t i = 0; i < b.groups.size(); ++i) {
    std::vector<std::string> row = {b.groups[i].value, FormatCount(b.groups[i].count),
                                    FormatShare(Share(b.groups[i].count, a_.table.rows))};
    for (size_t j = 0; j < b.outcomes.size(); ++j) {
      row.push_back(Mean(Column(b.outcomes[j]), b.means[i][j]));
    }
    grid.rows.push_back(std::move(row));
  }
  return grid;
}

Grid Composer::TrendGrid(const Trend& trend) const {
  Grid grid{.header = {std::string(PeriodName(trend.period)), "rows"}};
  for (const size_t outcome : trend.outcomes) {
    grid.header.push_back(absl::StrCat(Column(outcome).IsBinary() ? "share of " : "mean of ", Column(outcome).name));
  }
  constexpr size_t kShown = 40;
  const size_t count = trend.periods.size();
  for (size_t i = 0; i < count; ++i) {
    if (count > kShown && i == kShown / 2) {
      grid.rows.push_back({absl::StrCat("... ", count - kShown, " more ..."), ""});
      grid.rows.back().resize(grid.header.size());
      i = count - kShown / 2;
    }
    const bool whole = i >= trend.first && i <= trend.last;
    std::vector<std::string> row = {absl::StrCat(trend.periods[i], whole ? "" : " (in part)"),
                                    FormatCount(trend.counts[i])};
    for (size_t j = 0; j < trend.outcomes.size(); ++j) {
      row.push_back(Mean(Column(trend.outcomes[j]), trend.means[i][j]));
    }
    grid.rows.push_back(std::move(row));
  }
  return grid;
}

Grid Composer::FitGrid(const Trend& trend, const Fits& fits) const {
  Grid grid{.header = {absl::StrCat("line through the whole ", PeriodName(trend.period), "s"), "periods",
                       absl::StrCat("change a ", PeriodName(trend.period)), "r"}};
  for (const Fit& fit : fits.fits) {
    std::string what = "number of rows";
    bool share = false;
    if (fit.outcome >= 0) {
      const analyst::Column& outcome = Column(trend.outcomes[static_cast<size_t>(fit.outcome)]);
      share = outcome.IsBinary();
      what = absl::StrCat(share ? "share of " : "mean of ", outcome.name);
    }
    grid.rows.push_back({std::move(what), FormatCount(fit.periods),
                         share ? absl::StrFormat("%+.3g points", fit.slope * 100) : FormatNumber(fit.slope), R(fit.r)});
  }
  return grid;
}

Grid Composer::CorrelationGrid(const std::vector<const Correlation*>& correlations) const {
  Grid grid{.header = {"column", "and column", "rows", "r", "r without outliers", "slope"}, .text_columns = 2};
  for (const Correlation* c : correlations) {
    grid.rows.push_back({Column(c->a).name, Column(c->b).name, FormatCount(c->count), absl::StrFormat("%.3f", c->r),
                         c->inner_r.has_value() ? absl::StrFormat("%.3f", *c->inner_r) : std::string(kDash),
                         FormatNumber(c->slope)});
  }
  return grid;
}

}  // namespace bulkhead::agent::analyst
