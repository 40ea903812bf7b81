#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

namespace {

constexpr size_t kMaxFindings = 10;

}  // namespace

std::vector<Finding> Composer::Findings() {
  for (const Correlation& c : a_.correlations) {
    // That a column is another one in disguise is worth knowing, not more.
    Add("correlation", CorrelationSentence(c), std::abs(c.r) >= 0.98 ? std::min(0.5, StrengthOf(c)) : StrengthOf(c),
        {c.a, c.b}, 3);
  }
  std::map<size_t, int> effects_of;
  for (const Effect& e : a_.effects) {
    if (!IsShadowed(e.outcome) && ++effects_of[e.outcome] <= 2) {
      Add("effect", EffectSentence(e), std::sqrt(e.eta_squared), {e.category, e.outcome}, 3);
    }
  }
  for (const Association& x : a_.associations) {
    Add(IsNested(x) ? "nesting" : "association", AssociationSentence(x), IsNested(x) ? 0.3 : x.v, {x.a, x.b}, 2);
  }
  if (a_.trend.has_value()) {
    std::vector<Fit> fits = a_.fits.fits;
    std::stable_sort(fits.begin(), fits.end(), [&](const Fit& x, const Fit& y) {
      return TrendStrength(*a_.trend, x) > TrendStrength(*a_.trend, y);
    });
    for (const Fit& fit : fits) {
      if (IsTrend(fit)) {
        std::vector<size_t> columns = {a_.trend->time};
        if (fit.outcome >= 0) {
          columns.push_back(a_.trend->outcomes[static_cast<size_t>(fit.outcome)]);
        }
        Add("trend", TrendSentence(*a_.trend, fit), TrendStrength(*a_.trend, fit), std::move(columns), 3);
      }
    }
  }
  AddSeasons();
  AddShares();
  AddConcentrations();
  for (const size_t i : ByOutlierDistance()) {
    const analyst::Column& c = Column(i);
    const double distance = Distance(c);
    const double share = Share(c.outliers->count, c.count);
    // Of many well-behaved values the last ones lie three or four ranges out.
    if (share <= 0.02 && distance >= 5) {
      Sentence s;
      s.Name(c.name).Say(absl::StrCat(
          " has ", FormatCount(c.outliers->count), c.outliers->count == 1 ? " outlier" : " outliers", " outside ",
          FormatNumber(c.outliers->low), " to ", FormatNumber(c.outliers->high), "; the most extreme, ",
          FormatNumber(Extreme(c)), ", lies ", Times(distance), " the interquartile range beyond the quartiles."));
      Add("outliers", std::move(s), 0.85 * (1 - 2.5 / distance), {i}, 2);
    }
  }
  for (size_t i = 0; i < a_.table.columns.size(); ++i) {
    const analyst::Column& c = Column(i);
    const double share = Share(c.missing, a_.table.rows);
    if (share >= 1) {
      Add("missing", Sentence().Name(c.name).Say(" has no value in any row."), 0.5, {i}, 3);
    } else if (share >= 0.05) {
      Sentence s;
      s.Name(c.name).Say(
          absl::StrCat(" is missing in ", FormatShare(share), " of the rows (", FormatCount(c.missing), ")."));
      Add("missing", std::move(s), 0.25 + 0.5 * share, {i}, 3);
    }
  }
  if (a_.repeated_rows.has_value() && a_.repeated_rows->count > 0) {
    const double share = Share(a_.repeated_rows->count, a_.table.rows);
    Sentence s(absl::StrCat(FormatCount(a_.repeated_rows->count),
                            a_.repeated_rows->count == 1 ? " row repeats" : " rows repeat",
                            " another one in every column (", FormatShare(share), " of all)."));
    Add("repeated_rows", std::move(s), 0.2 + 0.6 * share, {}, 1);
  }
  std::stable_sort(findings_.begin(), findings_.end(),
                   [](const Finding& x, const Finding& y) { return x.strength > y.strength; });
  if (findings_.size() > kMaxFindings) {
    findings_.resize(kMaxFindings);
  }
  return std::move(findings_);
}

void Composer::Add(std::string kind, Sentence text, double strength, std::vector<size_t> columns, int most) {
  const auto same =
      std::count_if(findings_.begin(), findings_.end(), [&](const Finding& finding) { return finding.kind == kind; });
  if (same >= most) {
    return;
  }
  Finding finding{.kind = std::move(kind), .text = std::move(text), .strength = std::clamp(strength, 0.0, 1.0)};
  for (const size_t column : columns) {
    finding.columns.push_back(Column(column).name);
  }
  findings_.push_back(std::move(finding));
}

bool Composer::IsShadowed(size_t measure) const {
  return std::any_of(a_.correlations.begin(), a_.correlations.end(), [&](const Correlation& c) {
    const size_t other = c.a == measure ? c.b : c.a;
    return std::abs(c.r) >= 0.98 && (c.a == measure || c.b == measure) &&
           Column(other).mean.value_or(0) > Column(measure).mean.value_or(0);
  });
}

void Composer::AddShares() {
  std::vector<Finding> found;
  std::set<size_t> categories;
  for (const Effect& e : a_.effects) {
    const analyst::Column& outcome = Column(e.outcome);
    const double sum = outcome.mean.value_or(0) * static_cast<double>(outcome.count);
    if (!AddsUp(outcome) || sum <= 0 || IsShadowed(e.outcome) || categories.contains(e.category)) {
      continue;
    }
    const auto beyond = [&](const Group& group) { return group.total / sum - Share(group.count, e.count); };
    const auto most = std::max_element(e.groups.begin(), e.groups.end(),
                                       [&](const Group& x, const Group& y) { return beyond(x) < beyond(y); });
    if (most == e.groups.end() || beyond(*most) < 0.2 || most->total / sum < 2 * Share(most->count, e.count)) {
      continue;
    }
    categories.insert(e.category);
    Sentence s;
    s.Value(most->value)
        .Say(absl::StrCat(" stands in ", FormatShare(Share(most->count, e.count)), " of the rows as "))
        .Name(Column(e.category).name);
    s.Say(absl::StrCat(" and carries ", FormatShare(most->total / sum), " of the sum of ")).Name(outcome.name);
    s.Say(absl::StrCat(": ", FormatNumber(most->total), " of ", FormatNumber(sum), "."));
    found.push_back({.kind = "share",
                     .text = std::move(s),
                     .strength = 0.95 * beyond(*most),
                     .columns = {Column(e.category).name, outcome.name}});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Finding& x, const Finding& y) { return x.strength > y.strength; });
  found.resize(std::min<size_t>(found.size(), 2));
  findings_.insert(findings_.end(), found.begin(), found.end());
}

void Composer::AddConcentrations() {
  const Concentration* most = nullptr;
  for (const Concentration& c : a_.concentrations) {
    if (!IsShadowed(c.measure) && c.largest_total >= 0.2 * c.total && (most == nullptr || c.total > most->total)) {
      most = &c;
    }
  }
  if (most == nullptr) {
    return;
  }
  const analyst::Column& column = Column(most->measure);
  const double share = most->largest_total / most->total;
  Sentence s;
  if (column.outliers.has_value() && column.q3 == 0.0) {
    s.Say(absl::StrCat("Only ", FormatCount(column.outliers->count), " of the ", FormatCount(most->count),
                       " values of "))
        .Name(column.name);
    s.Say(" are not 0, and the largest 1% of all values");
  } else {
    s.Say("The largest 1% of the values of ").Name(column.name);
  }
  s.Say(absl::StrCat(" (", FormatCount(most->largest), ") carry ", FormatShare(share), " of the sum of ",
                     FormatNumber(most->total), "."));
  Add("concentration", std::move(s), 0.85 * share, {most->measure}, 1);
}

void Composer::AddSeasons() {
  if (!a_.seasons.has_value() || a_.seasons->months.size() < 2) {
    return;
  }
  const auto [low, high] = std::minmax_element(a_.seasons->months.begin(), a_.seasons->months.end(),
                                               [](const Group& x, const Group& y) { return x.count < y.count; });
  int64_t all = 0;
  for (const Group& month : a_.seasons->months) {
    all += month.count;
  }
  const double ratio = 12 * Share(high->count, all);
  if (all < 120 || ratio < 1.3) {
    return;
  }
  Sentence s;
  s.Say(
       absl::StrCat(MonthName(high->value), " has most rows, ", FormatShare(Share(high->count, all)), " of the years "))
      .Say(a_.seasons->first_year);
  s.Say(" to ").Say(a_.seasons->last_year).Say(absl::StrCat(" by ")).Name(Column(a_.seasons->time).name);
  s.Say(absl::StrCat(": ", Times(ratio), " an average month; ", MonthName(low->value), " has fewest, ",
                     FormatShare(Share(low->count, all)), "."));
  Add("season", std::move(s), std::min(0.9, 0.5 * (ratio - 1) + 0.2), {a_.seasons->time}, 1);
}

double Composer::Distance(const analyst::Column& c) {
  if (!c.outliers.has_value() || c.outliers->count == 0 || !c.q1.has_value() || !c.q3.has_value() || *c.q3 <= *c.q1) {
    return 0;
  }
  return std::max(c.max.value_or(*c.q3) - *c.q3, *c.q1 - c.min.value_or(*c.q1)) / (*c.q3 - *c.q1);
}

double Composer::Extreme(const analyst::Column& c) { return *c.max - *c.q3 >= *c.q1 - *c.min ? *c.max : *c.min; }

std::vector<size_t> Composer::ByOutlierDistance() const {
  std::vector<size_t> columns;
  for (size_t i = 0; i < a_.table.columns.size(); ++i) {
    if (Column(i).role == Role::kMeasure && Distance(Column(i)) > 0) {
      columns.push_back(i);
    }
  }
  std::stable_sort(columns.begin(), columns.end(),
                   [&](size_t x, size_t y) { return Distance(Column(x)) > Distance(Column(y)); });
  return columns;
}

}  // namespace bulkhead::agent::analyst
