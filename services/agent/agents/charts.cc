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
#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

namespace {

using nlohmann::json;

constexpr size_t kMaxBars = 15;

json Bars(const std::vector<Group>& groups, bool counts) {
  json points = json::array();
  for (const Group& group : groups) {
    points.push_back({group.value, counts ? json(group.count) : json(group.mean)});
  }
  return json::array({{{"name", "values"}, {"points", std::move(points)}}});
}

// The highest and the lowest of many.
std::vector<Group> Ends(const std::vector<Group>& groups) {
  if (groups.size() <= kMaxBars) {
    return groups;
  }
  std::vector<Group> ends(groups.begin(), groups.begin() + kMaxBars - 5);
  ends.insert(ends.end(), groups.end() - 5, groups.end());
  return ends;
}

// The column's name as far as the report shows it: chart.render takes labels of 100 characters, titles of 200.
std::string Label(const Column& column) { return Sentence().Name(column.name).Plain(); }

// Periods as dates, as a chart takes them.
std::string DateOf(std::string_view period) {
  switch (period.size()) {
    case 4:
      return absl::StrCat(period, "-01-01");
    case 7:
      return absl::StrCat(period, "-01");
    case 13:
      return absl::StrCat(period, ":00:00");
    default:
      return std::string(period);
  }
}

Chart EffectChart(const Table& table, const Effect& effect, Place place, std::string file) {
  const Column& outcome = table.columns[effect.outcome];
  const Column& category = table.columns[effect.category];
  const Sentence title =
      Sentence(outcome.IsBinary() ? "Share of " : "Mean of ").Name(outcome.name).Say(" by ").Name(category.name);
  json input = {{"kind", "bar"},
                {"title", title.Plain()},
                {"x_label", Label(category)},
                {"y_label", Label(outcome)},
                {"series", Bars(Ends(effect.groups), /*counts=*/false)}};
  if (effect.groups.size() > kMaxBars) {
    input["subtitle"] = absl::StrCat("The ", kMaxBars - 5, " highest and the 5 lowest");
  }
  return {place, title, std::move(file), std::move(input)};
}

// Of an outcome, or of the count of rows when it is -1. Whole periods only: the others would look
// like a fall.
Chart TrendChart(const Table& table, const Trend& trend, int outcome, Place place, std::string file) {
  json points = json::array();
  for (size_t i = trend.first; i <= trend.last && i < trend.periods.size(); ++i) {
    const std::optional<double> value =
        outcome < 0 ? static_cast<double>(trend.counts[i]) : trend.means[i][static_cast<size_t>(outcome)];
    points.push_back({DateOf(trend.periods[i]), value.has_value() ? json(*value) : json()});
  }
  Sentence what("Rows");
  if (outcome >= 0) {
    const Column& column = table.columns[trend.outcomes[static_cast<size_t>(outcome)]];
    what = Sentence(column.IsBinary() ? "Share of " : "Mean of ").Name(column.name);
  }
  const Sentence title = Sentence(what).Say(" by ").Say(PeriodName(trend.period));
  return {place,
          title,
          std::move(file),
          {{"kind", "line"},
           {"title", title.Plain()},
           {"x_label", Label(table.columns[trend.time])},
           {"y_label", what.Plain()},
           {"series", json::array({{{"name", what.Plain()}, {"points", std::move(points)}}})}}};
}

Chart ScatterChart(const Table& table, const Correlation& c, Place place, std::string file) {
  constexpr int64_t kPoints = 1500;
  const Sentence title = Sentence().Name(table.columns[c.b].name).Say(" over ").Name(table.columns[c.a].name);
  json input = {{"kind", "scatter"},
                {"title", title.Plain()},
                {"x_label", Label(table.columns[c.a])},
                {"y_label", Label(table.columns[c.b])},
                {"sql", ScatterQuery(table, c.a, c.b, kPoints)}};
  if (table.rows > kPoints) {
    input["subtitle"] = "A sample of the rows";
  }
  return {place, title, std::move(file), std::move(input)};
}

Chart HistogramChart(const Column& column, Place place, std::string file) {
  const Sentence title = Sentence("How ").Name(column.name).Say(" is spread");
  return {place,
          title,
          std::move(file),
          {{"kind", "histogram"},
           {"title", title.Plain()},
           {"x_label", Label(column)},
           {"y_label", "rows"},
           {"bins", column.histogram}}};
}

Chart BreakdownChart(const Table& table, const Breakdown& b, Place place, std::string file) {
  const Sentence title = Sentence("Rows by ").Name(table.columns[b.category].name);
  return {place,
          title,
          std::move(file),
          {{"kind", "bar"},
           {"title", title.Plain()},
           {"x_label", Label(table.columns[b.category])},
           {"y_label", "rows"},
           {"series", Bars(Ends(b.groups), /*counts=*/true)}}};
}

}  // namespace

std::vector<Chart> PlanCharts(const Analysis& analysis) {
  const Table& table = analysis.table;
  std::vector<Chart> charts;
  int answers = 0;
  for (const AnswerResult& answer : analysis.answers) {
    std::string file = absl::StrCat("answer-", ++answers, ".svg");
    if (answer.effect.has_value() && answer.effect->groups.size() >= 2) {
      charts.push_back(EffectChart(table, *answer.effect, Place::kAnswer, std::move(file)));
    } else if (answer.trend.has_value() && answer.trend->last > answer.trend->first) {
      charts.push_back(
          TrendChart(table, *answer.trend, answer.trend->outcomes.empty() ? -1 : 0, Place::kAnswer, std::move(file)));
    } else if (answer.correlation.has_value()) {
      charts.push_back(ScatterChart(table, *answer.correlation, Place::kAnswer, std::move(file)));
    } else if (answer.breakdown.has_value() && !answer.breakdown->groups.empty()) {
      charts.push_back(BreakdownChart(table, *answer.breakdown, Place::kAnswer, std::move(file)));
    } else if (answer.part.kind == AnswerPart::Kind::kDistribution && !table.columns[answer.part.a].histogram.empty()) {
      charts.push_back(HistogramChart(table.columns[answer.part.a], Place::kAnswer, std::move(file)));
    }
  }
  // Not twice what the answer shows.
  const auto add = [&](Chart chart) {
    const bool known =
        std::any_of(charts.begin(), charts.end(), [&](const Chart& other) { return other.title == chart.title; });
    if (!known) {
      charts.push_back(std::move(chart));
    }
  };
  if (analysis.trend.has_value() && analysis.trend->last >= analysis.trend->first + 2) {
    add(TrendChart(table, *analysis.trend, -1, Place::kTrends, "rows-over-time.svg"));
    const Fit* strongest = nullptr;
    const Composer composer(analysis);
    for (const Fit& fit : analysis.fits.fits) {
      if (fit.outcome >= 0 && Composer::IsTrend(fit) &&
          (strongest == nullptr ||
           composer.TrendStrength(*analysis.trend, fit) > composer.TrendStrength(*analysis.trend, *strongest))) {
        strongest = &fit;
      }
    }
    if (strongest != nullptr) {
      add(TrendChart(table, *analysis.trend, strongest->outcome, Place::kTrends, "mean-over-time.svg"));
    }
  }
  if (analysis.seasons.has_value() && analysis.seasons->months.size() >= 2) {
    std::vector<Group> months = analysis.seasons->months;
    for (Group& month : months) {
      month.value = std::string(MonthName(month.value).substr(0, 3));
    }
    const std::string title =
        absl::StrCat("Rows by month of the year, ", analysis.seasons->first_year, " to ", analysis.seasons->last_year);
    add({Place::kSeasons,
         title,
         "seasons.svg",
         {{"kind", "bar"}, {"title", title}, {"y_label", "rows"}, {"series", Bars(months, /*counts=*/true)}}});
  }
  if (!analysis.effects.empty() && analysis.effects.front().groups.size() >= 2) {
    add(EffectChart(table, analysis.effects.front(), Place::kEffects, "groups.svg"));
  }
  // Not of two columns that say the same, nor of a heap in one corner.
  for (const Correlation& c : analysis.correlations) {
    if (std::abs(c.r) < 0.98 && c.inner_r.has_value()) {
      add(ScatterChart(table, c, Place::kCorrelations, "relation.svg"));
      break;
    }
  }
  // The spread of a number that has one, and is not a heap in one place.
  const Column* spread = nullptr;
  for (const Column& column : table.columns) {
    if (column.role == Role::kMeasure && column.histogram.size() >= 3 && column.q3 > column.q1 &&
        (spread == nullptr || column.count > spread->count)) {
      spread = &column;
    }
  }
  if (spread != nullptr) {
    add(HistogramChart(*spread, Place::kOutliers, "spread.svg"));
  }
  return charts;
}

}  // namespace bulkhead::agent::analyst
