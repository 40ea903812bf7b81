#include "services/agent/agents/report.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace bulkhead::agent::analyst {
namespace {

using nlohmann::json;

constexpr std::string_view kDash = "\xE2\x80\x94";
constexpr std::string_view kEta = "\xCE\xB7\xC2\xB2";
constexpr size_t kMaxFindings = 10;
constexpr size_t kMaxBars = 15;

// Never "1.00" of what is not exact.
std::string R(double value) {
  const bool nearly_exact = std::abs(value) >= 0.995 && std::abs(value) < 1;
  return nearly_exact ? absl::StrFormat("%.3f", value) : absl::StrFormat("%.2f", value);
}

std::string Optional(const std::optional<double>& number) {
  return number.has_value() ? FormatNumber(*number) : std::string(kDash);
}

// A mean of this column; of yes and no it is a share.
std::string Mean(const Column& column, double mean) {
  return column.IsBinary() ? FormatShare(mean) : FormatNumber(mean);
}
std::string Mean(const Column& column, const std::optional<double>& mean) {
  return mean.has_value() ? Mean(column, *mean) : std::string(kDash);
}

// "+91.8%"; "" when there is nothing to compare with.
std::string Change(double from, double to) {
  return from > 0 ? absl::StrFormat("%+.3g%%", (to - from) / from * 100) : "";
}

std::string Times(double ratio) {
  return ratio < 10 ? absl::StrFormat("%.1f times", ratio)
                    : absl::StrFormat("%s times", FormatNumber(ratio));
}

double Share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string_view MonthName(std::string_view month) {
  constexpr std::string_view kNames[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
  const int index = month.size() == 2 ? (month[0] - '0') * 10 + (month[1] - '0') - 1 : -1;
  return index >= 0 && index < 12 ? kNames[index] : month;
}

// The words for how strong a relation is, in the usual steps.
std::string_view StrengthWord(double strength) {
  return strength >= 0.7   ? "strong"
         : strength >= 0.5 ? "clear"
         : strength >= 0.3 ? "moderate"
                           : "weak";
}

class Composer {
 public:
  explicit Composer(const Analysis& analysis) : a_(analysis) {}

  // --- Sentences, for findings and answers ---

  Sentence CorrelationSentence(const Correlation& c) const {
    Sentence s;
    s.Name(Column(c.a).name).Say(" and ").Name(Column(c.b).name);
    const bool hidden = c.inner_r.has_value() && std::abs(*c.inner_r) >= std::abs(c.r) + 0.2;
    if (hidden) {
      s.Say(*c.inner_r > 0 ? " rise together" : " move in opposite directions");
      s.Say(absl::StrCat(
          " once the rows with an outlier in either are left out: r = ", R(*c.inner_r), " over ",
          FormatCount(c.inner_count), " rows. With them it is ", R(c.r), "."));
      return s;
    }
    if (std::abs(c.r) >= 0.98) {
      s.Say(" say nearly the same, so one may be computed from the other: r = ")
          .Say(absl::StrFormat("%.3f", c.r));
    } else if (std::abs(c.r) < 0.1) {
      s.Say(" show next to no linear relation: r = ").Say(R(c.r));
    } else {
      s.Say(c.r > 0 ? " rise together: r = " : " move in opposite directions: r = ").Say(R(c.r));
    }
    s.Say(absl::StrCat(" over ", FormatCount(c.count), " rows"));
    if (c.inner_r.has_value() && std::abs(*c.inner_r - c.r) >= 0.1 && c.inner_count < c.count) {
      s.Say(absl::StrCat(", but ", R(*c.inner_r),
                         " without the rows that have an outlier in either"));
    } else if (!c.inner_r.has_value() && c.inner_count < c.count) {
      s.Say(", all of it from the few rows outside the usual values");
    } else if (std::abs(c.r) >= 0.1 && std::abs(c.r) < 0.98) {
      s.Say("; with each 1 more of ").Name(Column(c.a).name).Say(" goes, on average, ");
      s.Say(absl::StrCat(FormatNumber(std::abs(c.slope)), c.slope >= 0 ? " more" : " less", " of "))
          .Name(Column(c.b).name);
    }
    s.Say(".");
    return s;
  }

  Sentence EffectSentence(const Effect& e) const {
    const analyst::Column& outcome = Column(e.outcome);
    Sentence s;
    if (outcome.IsBinary()) {
      s.Say("The share of ").Name(outcome.name).Say(" differs by ").Name(Column(e.category).name);
    } else {
      s.Name(outcome.name).Say(" differs by ").Name(Column(e.category).name);
    }
    if (e.groups.size() >= 2 && e.groups.size() < kMaxGroups) {
      const Group& high = e.groups.front();
      const Group& low = e.groups.back();
      s.Say(absl::StrCat(": from ", Mean(outcome, low.mean),
                         outcome.IsBinary() ? " for " : " on average for "));
      s.Value(low.value).Say(absl::StrCat(" (n = ", FormatCount(low.count), ") to ",
                                          Mean(outcome, high.mean), " for "));
      s.Value(high.value).Say(absl::StrCat(" (n = ", FormatCount(high.count), ")"));
    }
    s.Say(absl::StrCat("; the groups explain ", FormatShare(e.eta_squared), " of its variance."));
    return s;
  }

  Sentence AssociationSentence(const Association& x) const {
    Sentence s;
    s.Name(Column(x.a).name).Say(" and ").Name(Column(x.b).name);
    if (IsNested(x)) {
      s.Say(
          absl::StrCat(" are two views of one thing: who knows the one nearly knows the other "
                       "(Cram\xC3\xA9r's V = ",
                       R(x.v), ")."));
      return s;
    }
    s.Say(absl::StrCat(" go together (Cram\xC3\xA9r's V = ", R(x.v), ")"));
    for (const Association::Cell& cell : x.cells) {
      if (cell.count >= 10 && static_cast<double>(cell.count) > 1.2 * cell.expected) {
        s.Say(": ").Value(cell.a).Say(" with ").Value(cell.b);
        s.Say(absl::StrCat(" stands in ", FormatCount(cell.count), " rows, ",
                           Times(static_cast<double>(cell.count) / cell.expected),
                           " as many as if they were independent"));
        break;
      }
    }
    s.Say(".");
    return s;
  }

  // `fit` of `trend`, with the values of the first and the last whole period.
  Sentence TrendSentence(const Trend& trend, const Fit& fit) const {
    const std::string period(PeriodName(trend.period));
    const auto value = [&](size_t index) -> std::optional<double> {
      return fit.outcome < 0 ? static_cast<double>(trend.counts[index])
                             : trend.means[index][static_cast<size_t>(fit.outcome)];
    };
    const analyst::Column* outcome =
        fit.outcome < 0 ? nullptr : &Column(trend.outcomes[static_cast<size_t>(fit.outcome)]);
    const auto show = [&](double x) {
      return outcome == nullptr ? FormatNumber(x) : Mean(*outcome, x);
    };
    Sentence s;
    if (outcome == nullptr) {
      s.Say(absl::StrCat("The number of rows a ", period));
    } else {
      s.Say(outcome->IsBinary() ? "The share of " : "The mean of ").Name(outcome->name);
    }
    const std::optional<double> from = value(trend.first);
    const std::optional<double> to = value(trend.last);
    if (std::abs(fit.r) < 0.5) {
      s.Say(absl::StrCat(" shows no steady trend by ", period, " (r = ", R(fit.r), " over ",
                         fit.periods, " periods)."));
      return s;
    }
    s.Say(fit.r > 0 ? " rises" : " falls");
    if (from.has_value() && to.has_value()) {
      s.Say(absl::StrCat(" from ", show(*from), " in ")).Say(trend.periods[trend.first]);
      s.Say(absl::StrCat(" to ", show(*to), " in ")).Say(trend.periods[trend.last]);
      // Over the line, not between two points that chance may have moved.
      if (const std::string change = Change(*from, *to);
          !change.empty() && (*to > *from) == (fit.r > 0)) {
        s.Say(absl::StrCat(" (", change, ")"));
      }
    }
    s.Say(absl::StrCat("; a straight line through the ", fit.periods, " whole periods goes ",
                       outcome != nullptr && outcome->IsBinary()
                           ? absl::StrFormat("%+.3g points", fit.slope * 100)
                           : absl::StrCat(fit.slope > 0 ? "+" : "", FormatNumber(fit.slope)),
                       " a ", period, " (r = ", R(fit.r), ")."));
    return s;
  }

  // Only of what is long enough to say something.
  static bool IsTrend(const Fit& fit) {
    const double unexplained = std::max(1e-9, 1 - fit.r * fit.r);
    return fit.periods >= 5 && std::abs(fit.r) >= 0.5 &&
           std::abs(fit.r) * std::sqrt(static_cast<double>(fit.periods - 2) / unexplained) >= 3;
  }

  // How far the line goes, in units of the outcome's own spread: a steady but tiny slope is no
  // strong trend.
  double TrendStrength(const Trend& trend, const Fit& fit) const {
    double spread = 0;
    if (fit.outcome < 0) {
      for (const int64_t count : trend.counts) {
        spread += static_cast<double>(count) / static_cast<double>(trend.counts.size());
      }
    } else {
      spread = Column(trend.outcomes[static_cast<size_t>(fit.outcome)]).stddev.value_or(0);
    }
    const double way =
        spread > 0 ? std::abs(fit.slope) * static_cast<double>(fit.periods - 1) / spread : 0;
    return std::abs(fit.r) * std::min(1.0, 1.5 * way);
  }

  // --- Findings ---

  std::vector<Finding> Findings() {
    for (const Correlation& c : a_.correlations) {
      // That a column is another one in disguise is worth knowing, not more.
      Add("correlation", CorrelationSentence(c),
          std::abs(c.r) >= 0.98 ? std::min(0.5, StrengthOf(c)) : StrengthOf(c), {c.a, c.b}, 3);
    }
    std::map<size_t, int> effects_of;
    for (const Effect& e : a_.effects) {
      if (!IsShadowed(e.outcome) && ++effects_of[e.outcome] <= 2) {
        Add("effect", EffectSentence(e), std::sqrt(e.eta_squared), {e.category, e.outcome}, 3);
      }
    }
    for (const Association& x : a_.associations) {
      Add(IsNested(x) ? "nesting" : "association", AssociationSentence(x), IsNested(x) ? 0.3 : x.v,
          {x.a, x.b}, 2);
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
          Add("trend", TrendSentence(*a_.trend, fit), TrendStrength(*a_.trend, fit),
              std::move(columns), 3);
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
        s.Name(c.name).Say(absl::StrCat(" has ", FormatCount(c.outliers->count),
                                        c.outliers->count == 1 ? " outlier" : " outliers",
                                        " outside ", FormatNumber(c.outliers->low), " to ",
                                        FormatNumber(c.outliers->high), "; the most extreme, ",
                                        FormatNumber(Extreme(c)), ", lies ", Times(distance),
                                        " the interquartile range beyond the quartiles."));
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
        s.Name(c.name).Say(absl::StrCat(" is missing in ", FormatShare(share), " of the rows (",
                                        FormatCount(c.missing), ")."));
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

  // --- The report ---

  std::string Report(const std::vector<Finding>& findings) {
    Document document;
    document.title.Say("What the data say: ").Say(a_.file);
    Sentence preface;
    preface.Say(absl::StrCat(FormatCount(a_.table.rows), a_.table.rows == 1 ? " row" : " rows",
                             " and ", FormatCount(static_cast<int64_t>(a_.table.columns.size())),
                             a_.table.columns.size() == 1 ? " column" : " columns", " of "));
    preface.Name(a_.file)
        .Say(absl::StrCat(", analysed on ", a_.day, " by ", a_.agent,
                          ". The numbers come from SQL over the table "))
        .Name(a_.table.name);
    preface.Say("; under each table stand the statements that give them.");
    document.preface.push_back(Paragraph{std::move(preface)});

    document.sections.push_back(Answer());
    document.sections.push_back(Headlines(findings));
    document.sections.push_back(Overview());
    document.sections.push_back(Columns());
    if (a_.table.rows > 0) {
      document.sections.push_back(Missing());
      document.sections.push_back(OutliersAndSpread());
      document.sections.push_back(Relations());
      document.sections.push_back(Groups());
      document.sections.push_back(Trends());
    }
    document.sections.push_back(Limits());
    return Render(document);
  }

  std::vector<Sentence> AnswerSentences() const {
    std::vector<Sentence> sentences;
    for (const AnswerResult& answer : a_.answers) {
      if (Sentence s = AnswerSentence(answer); !s.empty()) {
        sentences.push_back(std::move(s));
      }
    }
    return sentences;
  }

 private:
  const analyst::Column& Column(size_t index) const { return a_.table.columns[index]; }

  void Add(std::string kind, Sentence text, double strength, std::vector<size_t> columns,
           int most) {
    const auto same = std::count_if(findings_.begin(), findings_.end(),
                                    [&](const Finding& finding) { return finding.kind == kind; });
    if (same >= most) {
      return;
    }
    Finding finding{.kind = std::move(kind),
                    .text = std::move(text),
                    .strength = std::clamp(strength, 0.0, 1.0)};
    for (const size_t column : columns) {
      finding.columns.push_back(Column(column).name);
    }
    findings_.push_back(std::move(finding));
  }

  // One of two categories determines the other.
  static bool IsNested(const Association& x) { return x.v >= 0.98; }

  // Another measure says nearly the same, and more: "total" beside its largest part.
  bool IsShadowed(size_t measure) const {
    return std::any_of(a_.correlations.begin(), a_.correlations.end(), [&](const Correlation& c) {
      const size_t other = c.a == measure ? c.b : c.a;
      return std::abs(c.r) >= 0.98 && (c.a == measure || c.b == measure) &&
             Column(other).mean.value_or(0) > Column(measure).mean.value_or(0);
    });
  }

  // Few rows, much of a sum: of each category the group that carries most beyond its rows' share.
  void AddShares() {
    std::vector<Finding> found;
    std::set<size_t> categories;
    for (const Effect& e : a_.effects) {
      const analyst::Column& outcome = Column(e.outcome);
      const double sum = outcome.mean.value_or(0) * static_cast<double>(outcome.count);
      if (!AddsUp(outcome) || sum <= 0 || IsShadowed(e.outcome) ||
          categories.contains(e.category)) {
        continue;
      }
      const auto beyond = [&](const Group& group) {
        return group.total / sum - Share(group.count, e.count);
      };
      const auto most =
          std::max_element(e.groups.begin(), e.groups.end(),
                           [&](const Group& x, const Group& y) { return beyond(x) < beyond(y); });
      if (most == e.groups.end() || beyond(*most) < 0.2 ||
          most->total / sum < 2 * Share(most->count, e.count)) {
        continue;
      }
      categories.insert(e.category);
      Sentence s;
      s.Value(most->value)
          .Say(absl::StrCat(" stands in ", FormatShare(Share(most->count, e.count)),
                            " of the rows as "))
          .Name(Column(e.category).name);
      s.Say(absl::StrCat(" and carries ", FormatShare(most->total / sum), " of the sum of "))
          .Name(outcome.name);
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

  // The measure with the largest sum stands for the others.
  void AddConcentrations() {
    const Concentration* most = nullptr;
    for (const Concentration& c : a_.concentrations) {
      if (!IsShadowed(c.measure) && c.largest_total >= 0.2 * c.total &&
          (most == nullptr || c.total > most->total)) {
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
      s.Say(absl::StrCat("Only ", FormatCount(column.outliers->count), " of the ",
                         FormatCount(most->count), " values of "))
          .Name(column.name);
      s.Say(" are not 0, and the largest 1% of all values");
    } else {
      s.Say("The largest 1% of the values of ").Name(column.name);
    }
    s.Say(absl::StrCat(" (", FormatCount(most->largest), ") carry ", FormatShare(share),
                       " of the sum of ", FormatNumber(most->total), "."));
    Add("concentration", std::move(s), 0.85 * share, {most->measure}, 1);
  }

  // The month with most rows, and the one with fewest, when they differ much.
  void AddSeasons() {
    if (!a_.seasons.has_value() || a_.seasons->months.size() < 2) {
      return;
    }
    const auto [low, high] =
        std::minmax_element(a_.seasons->months.begin(), a_.seasons->months.end(),
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
    s.Say(absl::StrCat(MonthName(high->value), " has most rows, ",
                       FormatShare(Share(high->count, all)), " of the years "))
        .Say(a_.seasons->first_year);
    s.Say(" to ")
        .Say(a_.seasons->last_year)
        .Say(absl::StrCat(" by "))
        .Name(Column(a_.seasons->time).name);
    s.Say(absl::StrCat(": ", Times(ratio), " an average month; ", MonthName(low->value),
                       " has fewest, ", FormatShare(Share(low->count, all)), "."));
    Add("season", std::move(s), std::min(0.9, 0.5 * (ratio - 1) + 0.2), {a_.seasons->time}, 1);
  }

  // In interquartile ranges beyond the quartiles; 0 when the quartiles are equal.
  static double Distance(const analyst::Column& c) {
    if (!c.outliers.has_value() || c.outliers->count == 0 || !c.q1.has_value() ||
        !c.q3.has_value() || *c.q3 <= *c.q1) {
      return 0;
    }
    return std::max(c.max.value_or(*c.q3) - *c.q3, *c.q1 - c.min.value_or(*c.q1)) / (*c.q3 - *c.q1);
  }
  static double Extreme(const analyst::Column& c) {
    return *c.max - *c.q3 >= *c.q1 - *c.min ? *c.max : *c.min;
  }

  std::vector<size_t> ByOutlierDistance() const {
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

  void AddCharts(Place place, Section& section) const {
    for (const Chart& chart : a_.charts) {
      if (chart.place == place) {
        section.blocks.push_back(Picture{chart.title, chart.file});
      }
    }
  }

  // --- Tables ---

  Grid EffectGrid(const Effect& e, size_t limit) const {
    const analyst::Column& outcome = Column(e.outcome);
    const bool totals = AddsUp(outcome);
    Grid grid{
        .header = {Column(e.category).name, "rows",
                   absl::StrCat(outcome.IsBinary() ? "share of " : "mean of ", outcome.name)}};
    if (totals) {
      grid.header.push_back(absl::StrCat("sum of ", outcome.name));
      grid.header.push_back("of all");
    }
    const double sum = outcome.mean.value_or(0) * static_cast<double>(outcome.count);
    const auto add = [&](const Group& group) {
      std::vector<std::string> row = {group.value, FormatCount(group.count),
                                      Mean(outcome, group.mean)};
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

  Grid AssociationGrid(const Association& x) const {
    Grid grid{.header = {Column(x.a).name, Column(x.b).name, "rows", "if independent", "ratio"},
              .text_columns = 2};
    for (const Association::Cell& cell : x.cells) {
      grid.rows.push_back({cell.a, cell.b, FormatCount(cell.count), FormatNumber(cell.expected),
                           R(static_cast<double>(cell.count) / cell.expected)});
    }
    return grid;
  }

  Grid BreakdownGrid(const Breakdown& b) const {
    Grid grid{.header = {Column(b.category).name, "rows", "of all"}};
    for (const size_t outcome : b.outcomes) {
      grid.header.push_back(absl::StrCat(Column(outcome).IsBinary() ? "share of " : "mean of ",
                                         Column(outcome).name));
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

  Grid TrendGrid(const Trend& trend) const {
    Grid grid{.header = {std::string(PeriodName(trend.period)), "rows"}};
    for (const size_t outcome : trend.outcomes) {
      grid.header.push_back(absl::StrCat(Column(outcome).IsBinary() ? "share of " : "mean of ",
                                         Column(outcome).name));
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

  Grid FitGrid(const Trend& trend, const Fits& fits) const {
    Grid grid{.header = {absl::StrCat("line through the whole ", PeriodName(trend.period), "s"),
                         "periods", absl::StrCat("change a ", PeriodName(trend.period)), "r"}};
    for (const Fit& fit : fits.fits) {
      std::string what = "number of rows";
      bool share = false;
      if (fit.outcome >= 0) {
        const analyst::Column& outcome = Column(trend.outcomes[static_cast<size_t>(fit.outcome)]);
        share = outcome.IsBinary();
        what = absl::StrCat(share ? "share of " : "mean of ", outcome.name);
      }
      grid.rows.push_back(
          {std::move(what), FormatCount(fit.periods),
           share ? absl::StrFormat("%+.3g points", fit.slope * 100) : FormatNumber(fit.slope),
           R(fit.r)});
    }
    return grid;
  }

  Grid CorrelationGrid(const std::vector<const Correlation*>& correlations) const {
    Grid grid{.header = {"column", "and column", "rows", "r", "r without outliers", "slope"},
              .text_columns = 2};
    for (const Correlation* c : correlations) {
      grid.rows.push_back(
          {Column(c->a).name, Column(c->b).name, FormatCount(c->count),
           absl::StrFormat("%.3f", c->r),
           c->inner_r.has_value() ? absl::StrFormat("%.3f", *c->inner_r) : std::string(kDash),
           FormatNumber(c->slope)});
    }
    return grid;
  }

  // --- Sections ---

  Sentence AnswerSentence(const AnswerResult& answer) const {
    if (answer.effect.has_value()) {
      return EffectAnswer(*answer.effect);
    }
    if (answer.trend.has_value()) {
      // Of the first thing that was asked for over time.
      const int wanted = answer.trend->outcomes.empty() ? -1 : 0;
      for (const Fit& fit : answer.fits.fits) {
        if (fit.outcome == wanted) {
          return TrendSentence(*answer.trend, fit);
        }
      }
      return "There are too few periods to speak of a trend.";
    }
    if (answer.correlation.has_value()) {
      return CorrelationSentence(*answer.correlation);
    }
    if (answer.association.has_value()) {
      return AssociationSentence(*answer.association);
    }
    if (answer.breakdown.has_value() && !answer.breakdown->groups.empty()) {
      const Group& first = answer.breakdown->groups.front();
      Sentence s;
      s.Say("The most frequent ").Name(Column(answer.part.a).name).Say(" is ").Value(first.value);
      s.Say(absl::StrCat(" with ", FormatCount(first.count), " rows, ",
                         FormatShare(Share(first.count, a_.table.rows)), " of all."));
      return s;
    }
    if (answer.part.kind == AnswerPart::Kind::kDistribution) {
      const analyst::Column& c = Column(answer.part.a);
      Sentence s;
      s.Name(c.name).Say(absl::StrCat(" is ", Optional(c.mean), " on average, with a median of ",
                                      Optional(c.median), "; half of the values lie between ",
                                      Optional(c.q1), " and ", Optional(c.q3), ", all between ",
                                      Optional(c.min), " and ", Optional(c.max), "."));
      return s;
    }
    return {};
  }

  // Highest, or lowest, mean; and, where sums make sense, who has most of it.
  Sentence EffectAnswer(const Effect& e) const {
    const analyst::Column& outcome = Column(e.outcome);
    const analyst::Column& category = Column(e.category);
    if (e.groups.empty()) {
      return {};
    }
    const bool lowest =
        a_.question.has_value() && a_.question->lowest && e.groups.size() < kMaxGroups;
    const Group& first = lowest ? e.groups.back() : e.groups.front();
    const Group& other = lowest ? e.groups.front() : e.groups.back();
    Sentence s;
    s.Say(outcome.IsBinary() ? "The share of " : "The mean of ")
        .Name(outcome.name)
        .Say(lowest ? " is lowest" : " is highest")
        .Say(" where ")
        .Name(category.name);
    s.Say(" is ")
        .Value(first.value)
        .Say(
            absl::StrCat(": ", Mean(outcome, first.mean), " (n = ", FormatCount(first.count), ")"));
    if (e.groups.size() > 1 && e.groups.size() < kMaxGroups) {
      s.Say(absl::StrCat("; it is ", lowest ? "highest" : "lowest", " for ")).Value(other.value);
      s.Say(absl::StrCat(": ", Mean(outcome, other.mean), " (n = ", FormatCount(other.count), ")"));
    }
    s.Say(". ");
    if (a_.question.has_value()) {
      for (const Question::ValueMention& mention : a_.question->values) {
        for (size_t i = 0; i < e.groups.size(); ++i) {
          if (mention.column == e.category && e.groups[i].value == mention.value) {
            s.Value(mention.value)
                .Say(absl::StrCat(" has ", Mean(outcome, e.groups[i].mean), ", rank ", i + 1,
                                  " of ", e.groups.size(), ". "));
          }
        }
      }
    }
    const double sum = outcome.mean.value_or(0) * static_cast<double>(outcome.count);
    if (AddsUp(outcome) && sum > 0 && !lowest) {
      const auto most =
          std::max_element(e.groups.begin(), e.groups.end(),
                           [](const Group& x, const Group& y) { return x.total < y.total; });
      s.Say("Most of its sum belongs to ").Value(most->value);
      s.Say(absl::StrCat(": ", FormatNumber(most->total), ", ", FormatShare(most->total / sum),
                         " of all. "));
    }
    s.Say(absl::StrCat("The groups explain ", FormatShare(e.eta_squared), " of the variance."));
    return s;
  }

  Section Answer() const {
    Section section;
    if (!a_.question.has_value()) {
      return section;
    }
    const Question& question = *a_.question;
    section.title.Say("Your question");
    section.blocks.push_back(Paragraph{Sentence().Value(question.text.substr(0, 500))});
    if (a_.answers.empty()) {
      Sentence s;
      if (question.columns.empty()) {
        s.Say(question.over_time ? "It asks about time, but the table has no column of dates. "
                                 : "I found none of the table's columns in it, so what follows is "
                                   "the general report. ");
        s.Say(
            "I compare words and do not understand sentences: a question that names columns gets "
            "an answer of its own. The columns are ");
        for (size_t i = 0; i < std::min<size_t>(a_.table.columns.size(), 30); ++i) {
          s.Say(i == 0 ? "" : ", ").Name(Column(i).name);
        }
        s.Say(a_.table.columns.size() > 30 ? " and others." : ".");
      } else {
        s.Say("It names ")
            .Append(Names(question.columns))
            .Say(", but there is nothing to calculate with ");
        s.Say(question.columns.size() == 1 ? "it" : "them")
            .Say(": see their lines in the table of columns.");
      }
      section.blocks.push_back(Paragraph{std::move(s)});
      return section;
    }
    for (Sentence& sentence : AnswerSentences()) {
      section.blocks.push_back(Paragraph{std::move(sentence)});
    }
    Sentence read;
    if (question.columns.empty()) {
      read.Say("It names no column, but asks for a development in time, so I took ")
          .Name(Column(a_.answers[0].part.a).name)
          .Say(".");
    } else {
      read.Say("I read it as a question about ")
          .Append(Names(question.columns))
          .Say(question.over_time ? ", over time." : ".");
    }
    for (const Question::Ambiguity& ambiguity : question.ambiguities) {
      read.Say(" ")
          .Value(ambiguity.words)
          .Say(" could also mean ")
          .Append(Names(ambiguity.others))
          .Say("; I took ")
          .Name(Column(ambiguity.taken).name)
          .Say(".");
    }
    section.blocks.push_back(Paragraph{std::move(read)});
    AddCharts(Place::kAnswer, section);
    for (const AnswerResult& answer : a_.answers) {
      AddAnswerDetails(answer, section);
    }
    return section;
  }

  void AddAnswerDetails(const AnswerResult& answer, Section& section) const {
    auto& blocks = section.blocks;
    if (answer.effect.has_value()) {
      blocks.push_back(Subheading{Sentence()
                                      .Name(Column(answer.part.b).name)
                                      .Say(" by ")
                                      .Name(Column(answer.part.a).name)});
      blocks.push_back(EffectGrid(*answer.effect, 30));
      AddGroupNote(*answer.effect, section);
      blocks.push_back(Evidence{{{EffectLabel(*answer.effect), answer.effect->sql}}});
    } else if (answer.trend.has_value()) {
      blocks.push_back(Subheading{Sentence("Over ").Name(Column(answer.part.a).name)});
      AddTrend(*answer.trend, answer.fits, section);
    } else if (answer.correlation.has_value()) {
      blocks.push_back(Subheading{Sentence()
                                      .Name(Column(answer.part.a).name)
                                      .Say(" and ")
                                      .Name(Column(answer.part.b).name)});
      blocks.push_back(CorrelationGrid({&*answer.correlation}));
      blocks.push_back(Evidence{{{"correlation", answer.correlation->sql}}});
    } else if (answer.association.has_value()) {
      blocks.push_back(Subheading{Sentence()
                                      .Name(Column(answer.part.a).name)
                                      .Say(" and ")
                                      .Name(Column(answer.part.b).name)});
      blocks.push_back(AssociationGrid(*answer.association));
      blocks.push_back(Evidence{{{"association", answer.association->sql}}});
    } else if (answer.breakdown.has_value()) {
      blocks.push_back(Subheading{Sentence("Rows by ").Name(Column(answer.part.a).name)});
      blocks.push_back(BreakdownGrid(*answer.breakdown));
      blocks.push_back(Evidence{{{"groups", answer.breakdown->sql}}});
    }
  }

  Sentence Names(const std::vector<size_t>& columns) const {
    Sentence s;
    for (size_t i = 0; i < columns.size(); ++i) {
      s.Say(i == 0 ? "" : i + 1 == columns.size() ? " and " : ", ").Name(Column(columns[i]).name);
    }
    return s;
  }

  std::string EffectLabel(const Effect& e) const {
    return absl::StrCat(Column(e.outcome).name, " by ", Column(e.category).name);
  }

  void AddGroupNote(const Effect& e, Section& section) const {
    const auto shown = static_cast<int64_t>(e.groups.size());
    if (e.group_count > shown && shown < kMaxGroups) {
      section.blocks.push_back(Paragraph{
          absl::StrCat(FormatCount(e.group_count - shown),
                       e.group_count - shown == 1 ? " group" : " groups", " of fewer than ",
                       e.least_count, " rows are left out here: their means would be chance.")});
    }
  }

  Section Headlines(const std::vector<Finding>& findings) const {
    Section section{.title = "Findings"};
    if (a_.table.rows == 0) {
      section.blocks.push_back(
          Paragraph{"The file has a header and no rows: there is nothing to find."});
      return section;
    }
    if (findings.empty()) {
      section.blocks.push_back(
          Paragraph{"Nothing stands out: no strong relation, no trend, no outliers, hardly a "
                    "missing value."});
      return section;
    }
    Bullets bullets{.numbered = true};
    for (const Finding& finding : findings) {
      bullets.items.push_back(finding.text);
    }
    section.blocks.push_back(std::move(bullets));
    section.blocks.push_back(
        Paragraph{"The strongest come first. What goes together need not cause one another."});
    return section;
  }

  Section Overview() const {
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
      grid.rows.push_back({"missing cells", absl::StrCat(FormatCount(missing), " (",
                                                         FormatShare(Share(missing, cells)), ")")});
    }
    if (a_.complete_rows.has_value()) {
      grid.rows.push_back(
          {"rows without a missing value",
           absl::StrCat(FormatCount(a_.complete_rows->count), " (",
                        FormatShare(Share(a_.complete_rows->count, table.rows)), ")")});
    }
    if (a_.repeated_rows.has_value()) {
      grid.rows.push_back({"rows that repeat another", FormatCount(a_.repeated_rows->count)});
    }
    for (const analyst::Column& column : table.columns) {
      if (column.role == Role::kTime) {
        grid.rows.push_back({absl::StrCat("span of ", column.name),
                             absl::StrCat(column.min_text, " to ", column.max_text)});
      }
    }
    section.blocks.push_back(std::move(grid));
    Evidence evidence;
    if (table.rows > 0) {
      evidence.statements.push_back(
          {"rows", absl::StrCat("SELECT count(*) AS n FROM ", QuoteName(table.name))});
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

  Section Missing() const {
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
      grid.rows.push_back({Column(i).name, FormatCount(Column(i).missing),
                           FormatShare(Share(Column(i).missing, a_.table.rows))});
      evidence.statements.push_back(
          {Column(i).name, absl::StrCat("SELECT count(*) - count(", QuoteName(Column(i).name),
                                        ") AS missing FROM ", QuoteName(a_.table.name))});
    }
    section.blocks.push_back(std::move(grid));
    if (columns.size() > kShown) {
      section.blocks.push_back(
          Paragraph{absl::StrCat(columns.size() - kShown, " more columns miss fewer.")});
    }
    section.blocks.push_back(std::move(evidence));
    return section;
  }

  Section OutliersAndSpread() const {
    Section section{.title = "Outliers and spread"};
    Grid grid{.header = {"column", "outliers", "of all values", "expected from", "to", "minimum",
                         "maximum", "distance"}};
    std::vector<size_t> columns = ByOutlierDistance();
    std::vector<size_t> mostly_one;
    for (size_t i = 0; i < a_.table.columns.size(); ++i) {
      const analyst::Column& c = Column(i);
      if (c.role == Role::kMeasure && c.outliers.has_value() && c.outliers->count > 0 &&
          Distance(c) == 0) {
        mostly_one.push_back(i);
      }
    }
    constexpr size_t kShown = 20;
    Evidence evidence;
    for (const size_t i : columns) {
      const analyst::Column& c = Column(i);
      if (grid.rows.size() < kShown) {
        grid.rows.push_back({c.name, FormatCount(c.outliers->count),
                             FormatShare(Share(c.outliers->count, c.count)),
                             FormatNumber(c.outliers->low), FormatNumber(c.outliers->high),
                             Optional(c.min), Optional(c.max), FormatNumber(Distance(c))});
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
                            FormatShare(Share(c.outliers->count, c.count)),
                            ") are something else, up to ", Optional(c.max),
                            ". The rule of the quartiles tells nothing of such a column."));
      section.blocks.push_back(Paragraph{std::move(s)});
    }
    Evidence spread;
    for (const size_t i : mostly_one) {
      AddStatements(Column(i), {"quartiles", "outliers"}, spread);
    }
    section.blocks.push_back(std::move(spread));
    if (!a_.concentrations.empty()) {
      section.blocks.push_back(Subheading{"How much the largest values carry"});
      Grid shares{
          .header = {"column", "values", "sum", "largest 1%", "their sum", "of the whole sum"}};
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

  static void AddStatements(const analyst::Column& column,
                            std::initializer_list<std::string_view> keys, Evidence& evidence) {
    for (const std::string_view key : keys) {
      for (const Statement& statement : column.statements) {
        if (statement.label == absl::StrCat(column.name, ": ", key)) {
          evidence.statements.push_back(statement);
        }
      }
    }
  }

  Section Relations() const {
    Section section{.title = "Relations"};
    if (!a_.correlations.empty()) {
      section.blocks.push_back(Subheading{"Between numbers"});
      section.blocks.push_back(
          Paragraph{"Pearson's r: 1 when both rise together on a straight line, -1 when one falls "
                    "as the other rises, 0 without a linear relation. Where r without the "
                    "rows that have an outlier in either column is far from r, a few rows make the "
                    "relation. A dash means that those rows do not vary."});
      std::vector<const Correlation*> correlations;
      Evidence evidence;
      for (const Correlation& c : a_.correlations) {
        correlations.push_back(&c);
        evidence.statements.push_back(
            {absl::StrCat(Column(c.a).name, " and ", Column(c.b).name), c.sql});
      }
      section.blocks.push_back(CorrelationGrid(correlations));
      section.blocks.push_back(std::move(evidence));
      AddCharts(Place::kCorrelations, section);
    }
    if (!a_.effects.empty()) {
      section.blocks.push_back(Subheading{"Of groups with numbers"});
      section.blocks.push_back(Paragraph{
          absl::StrCat(kEta,
                       " (eta squared) is the part of a number's variance that the groups explain: "
                       "1% is little, 6% moderate, 14% much. The lowest and highest means "
                       "are of groups with enough rows.")});
      Grid grid{.header = {"number", "by", "rows", "groups", std::string(kEta), "lowest mean",
                           "highest mean"},
                .text_columns = 2};
      Evidence evidence;
      for (const Effect& e : a_.effects) {
        const analyst::Column& outcome = Column(e.outcome);
        grid.rows.push_back(
            {outcome.name, Column(e.category).name, FormatCount(e.count),
             FormatCount(e.group_count), FormatShare(e.eta_squared),
             absl::StrCat(Mean(outcome, e.groups.back().mean), " (", e.groups.back().value, ")"),
             absl::StrCat(Mean(outcome, e.groups.front().mean), " (", e.groups.front().value,
                          ")")});
        evidence.statements.push_back({EffectLabel(e), e.sql});
      }
      section.blocks.push_back(std::move(grid));
      section.blocks.push_back(std::move(evidence));
      AddCharts(Place::kEffects, section);
    }
    if (!a_.associations.empty()) {
      section.blocks.push_back(Subheading{"Between categories"});
      section.blocks.push_back(Paragraph{StrengthNote()});
      Grid grid{.header = {"column", "and column", "rows", "Cram\xC3\xA9r's V", "strength"},
                .text_columns = 2};
      for (const Association& x : a_.associations) {
        grid.rows.push_back({Column(x.a).name, Column(x.b).name, FormatCount(x.count),
                             absl::StrFormat("%.3f", x.v), std::string(StrengthWord(x.v))});
      }
      section.blocks.push_back(std::move(grid));
      Evidence evidence;
      for (const Association& x : a_.associations) {
        evidence.statements.push_back(
            {absl::StrCat(Column(x.a).name, " and ", Column(x.b).name), x.sql});
      }
      section.blocks.push_back(std::move(evidence));
      const auto telling = std::find_if(a_.associations.begin(), a_.associations.end(),
                                        [](const Association& x) { return !IsNested(x); });
      const Association& first =
          telling != a_.associations.end() ? *telling : a_.associations.front();
      section.blocks.push_back(Paragraph{Sentence("Where ")
                                             .Name(Column(first.a).name)
                                             .Say(" and ")
                                             .Name(Column(first.b).name)
                                             .Say(" meet more, or less, often than by chance:")});
      section.blocks.push_back(AssociationGrid(first));
      section.blocks.push_back(Evidence{
          {{absl::StrCat(Column(first.a).name, " and ", Column(first.b).name), first.sql}}});
    }
    if (section.blocks.empty() && a_.pairs_compared > 0) {
      section.blocks.push_back(Paragraph{absl::StrCat(
          "None that is worth a line, of ", a_.pairs_compared, " pairs of columns compared.")});
    }
    return section;
  }

  static std::string StrengthNote() {
    return "Cram\xC3\xA9r's V (bias-corrected): 0 when two categories have nothing to do with each "
           "other, 1 when one determines the other.";
  }

  Section Groups() const {
    Section section{.title = "Top groups"};
    for (const Breakdown& b : a_.breakdowns) {
      const analyst::Column& column = Column(b.category);
      Sentence s;
      s.Name(column.name);
      const auto shown = static_cast<int64_t>(b.groups.size());
      if (column.distinct > shown) {
        s.Say(absl::StrCat(": the ", shown, " most frequent of ", FormatCount(column.distinct),
                           " values"));
      }
      section.blocks.push_back(Subheading{std::move(s)});
      section.blocks.push_back(BreakdownGrid(b));
      section.blocks.push_back(Evidence{{{column.name, b.sql}}});
    }
    return section;
  }

  void AddTrend(const Trend& trend, const Fits& fits, Section& section) const {
    section.blocks.push_back(TrendGrid(trend));
    section.blocks.push_back(
        Evidence{{{absl::StrCat("by ", PeriodName(trend.period)), trend.sql}}});
    if (!fits.fits.empty()) {
      section.blocks.push_back(FitGrid(trend, fits));
      section.blocks.push_back(Evidence{{{"straight lines", fits.sql}}});
    }
  }

  Section Trends() const {
    Section section;
    if (!a_.trend.has_value() || a_.trend->periods.size() < 2) {
      return section;
    }
    section.title.Say("Trends over ").Name(Column(a_.trend->time).name);
    AddCharts(Place::kTrends, section);
    AddTrend(*a_.trend, a_.fits, section);
    if (a_.seasons.has_value() && !a_.seasons->months.empty()) {
      section.blocks.push_back(Subheading{Sentence("By month of the year, ")
                                              .Say(a_.seasons->first_year)
                                              .Say(" to ")
                                              .Say(a_.seasons->last_year)});
      AddCharts(Place::kSeasons, section);
      Grid grid{.header = {"month", "rows", "of these years"}};
      int64_t all = 0;
      for (const Group& month : a_.seasons->months) {
        all += month.count;
      }
      for (const Group& month : a_.seasons->months) {
        grid.rows.push_back({std::string(MonthName(month.value)), FormatCount(month.count),
                             FormatShare(Share(month.count, all))});
      }
      section.blocks.push_back(std::move(grid));
      section.blocks.push_back(Evidence{{{"by month of the year", a_.seasons->sql}}});
    }
    return section;
  }

  Section Columns() const {
    Section section{.title = "Columns"};
    if (a_.table.rows == 0) {
      Grid grid{.header = {"column"}};
      for (const analyst::Column& column : a_.table.columns) {
        grid.rows.push_back({column.name});
      }
      section.blocks.push_back(std::move(grid));
      return section;
    }
    Grid grid{.header = {"column", "type", "used as", "missing", "different", "minimum", "maximum",
                         "mean", "std. dev.", "median", "most frequent"},
              .text_columns = 3};
    Evidence evidence;
    size_t left_out = 0;
    for (const analyst::Column& column : a_.table.columns) {
      if (!column.profiled) {
        ++left_out;
        continue;
      }
      const bool numbers =
          column.IsNumber() && column.role != Role::kIdentifier && column.role != Role::kTime;
      const bool share = column.type == "boolean";
      grid.rows.push_back(
          {column.name, column.type, std::string(RoleName(column.role)),
           column.missing == 0 ? "0" : FormatShare(Share(column.missing, a_.table.rows)),
           FormatCount(column.distinct), numbers ? Optional(column.min) : Short(column.min_text),
           numbers ? Optional(column.max) : Short(column.max_text),
           share     ? (column.mean.has_value() ? FormatShare(*column.mean) : "")
           : numbers ? Optional(column.mean)
                     : "",
           numbers ? Optional(column.stddev) : "", numbers ? Optional(column.median) : "",
           MostFrequent(column)});
      evidence.statements.insert(evidence.statements.end(), column.statements.begin(),
                                 column.statements.end());
    }
    section.blocks.push_back(std::move(grid));
    if (left_out > 0) {
      section.blocks.push_back(
          Paragraph{absl::StrCat(left_out, left_out == 1 ? " column is" : " columns are",
                                 " not profiled: see the limits below.")});
    }
    section.blocks.push_back(std::move(evidence));
    return section;
  }

  static std::string Short(std::string_view text) {
    return text.size() <= 30 ? std::string(text)
                             : absl::StrCat(text.substr(0, Boundary(text, 28)), "...");
  }
  // Not inside of a UTF-8 character.
  static size_t Boundary(std::string_view text, size_t at) {
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) {
      --at;
    }
    return at;
  }

  std::string MostFrequent(const analyst::Column& column) const {
    if (column.top.empty() || column.top[0].count < 2 || column.role == Role::kConstant) {
      return "";
    }
    return absl::StrCat(Short(column.top[0].text), " (",
                        FormatShare(Share(column.top[0].count, column.count)), ")");
  }

  Section Limits() const {
    Section section{.title = "How far this goes"};
    Bullets bullets;
    if (a_.table.rows > 0) {
      bullets.items.push_back(
          "Nobody designed an experiment here: a relation may come from a third thing that moves "
          "both, and from how the rows were collected.");
      if (a_.pairs_compared > 0) {
        bullets.items.push_back(absl::StrCat(
            FormatCount(static_cast<int64_t>(a_.pairs_compared)),
            " pairs of columns were compared. The more one compares, the more looks related by "
            "chance: of 100 unrelated pairs some five seem so at the usual level "
            "of 5%. What matters should be tested on other data."));
      }
      bullets.items.push_back(
          "Means of small groups vary widely; the number of rows stands beside each. Missing "
          "values are left out of each calculation, which is harmless only where it is chance that "
          "they are missing.");
    }
    size_t not_profiled = 0;
    for (const analyst::Column& column : a_.table.columns) {
      not_profiled += column.profiled ? 0 : 1;
    }
    if (not_profiled > 0 && a_.table.rows > 0) {
      Sentence s(absl::StrCat("Left out: ", not_profiled, " of the ", a_.table.columns.size(),
                              " columns are not profiled, to keep the work bounded; a question "
                              "that names them has them in. The first ones: "));
      int named = 0;
      for (const analyst::Column& column : a_.table.columns) {
        if (!column.profiled && named < 10) {
          s.Say(named++ == 0 ? "" : ", ").Name(column.name);
        }
      }
      bullets.items.push_back(s.Say("."));
    }
    if (a_.measures_left_out > 0 || a_.categories_left_out > 0) {
      bullets.items.push_back(absl::StrCat(
          "Left out: relations were looked for between ", a_.measures_compared,
          " numeric columns and ", a_.categories_compared, " categories; ", a_.measures_left_out,
          " and ", a_.categories_left_out, " more were not compared."));
    }
    if (a_.sample_step > 1) {
      bullets.items.push_back(absl::StrCat(
          "Which pairs are worth a line was found out on a sample, up to one row in ",
          a_.sample_step,
          ", so a weak relation may have been missed. Each number in this report is of all rows."));
    }
    if (a_.table.rows > 0) {
      bullets.items.push_back(Sentence("To check a number, run the statement under it: with the "
                                       "tool table.query, or in sqlite3 on a table ")
                                  .Name(a_.table.name)
                                  .Say(" that has the values as they were loaded (missing ones as "
                                       "NULL, dates as 2021-03-04, numbers as numbers)."));
    }
    if (!bullets.items.empty()) {
      section.blocks.push_back(std::move(bullets));
    }
    return section;
  }

  const Analysis& a_;
  std::vector<Finding> findings_;
};

// --- Charts ---

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
  const std::string title = absl::StrCat(outcome.IsBinary() ? "Share of " : "Mean of ",
                                         outcome.name, " by ", category.name);
  json input = {{"kind", "bar"},
                {"title", title},
                {"x_label", category.name},
                {"y_label", outcome.name},
                {"series", Bars(Ends(effect.groups), /*counts=*/false)}};
  if (effect.groups.size() > kMaxBars) {
    input["subtitle"] = absl::StrCat("The ", kMaxBars - 5, " highest and the 5 lowest");
  }
  return {place, title, std::move(file), std::move(input)};
}

// Of an outcome, or of the count of rows when it is -1. Whole periods only: the others would look
// like a fall.
Chart TrendChart(const Table& table, const Trend& trend, int outcome, Place place,
                 std::string file) {
  json points = json::array();
  for (size_t i = trend.first; i <= trend.last && i < trend.periods.size(); ++i) {
    const std::optional<double> value = outcome < 0 ? static_cast<double>(trend.counts[i])
                                                    : trend.means[i][static_cast<size_t>(outcome)];
    points.push_back({DateOf(trend.periods[i]), value.has_value() ? json(*value) : json()});
  }
  std::string what = "Rows";
  if (outcome >= 0) {
    const Column& column = table.columns[trend.outcomes[static_cast<size_t>(outcome)]];
    what = absl::StrCat(column.IsBinary() ? "Share of " : "Mean of ", column.name);
  }
  const std::string title = absl::StrCat(what, " by ", PeriodName(trend.period));
  return {place,
          title,
          std::move(file),
          {{"kind", "line"},
           {"title", title},
           {"x_label", table.columns[trend.time].name},
           {"y_label", what},
           {"series", json::array({{{"name", what}, {"points", std::move(points)}}})}}};
}

Chart ScatterChart(const Table& table, const Correlation& c, Place place, std::string file) {
  constexpr int64_t kPoints = 1500;
  const std::string title =
      absl::StrCat(table.columns[c.b].name, " over ", table.columns[c.a].name);
  json input = {{"kind", "scatter"},
                {"title", title},
                {"x_label", table.columns[c.a].name},
                {"y_label", table.columns[c.b].name},
                {"sql", ScatterQuery(table, c.a, c.b, kPoints)}};
  if (table.rows > kPoints) {
    input["subtitle"] = "A sample of the rows";
  }
  return {place, title, std::move(file), std::move(input)};
}

Chart HistogramChart(const Column& column, Place place, std::string file) {
  const std::string title = absl::StrCat("How ", column.name, " is spread");
  return {place,
          title,
          std::move(file),
          {{"kind", "histogram"},
           {"title", title},
           {"x_label", column.name},
           {"y_label", "rows"},
           {"bins", column.histogram}}};
}

Chart BreakdownChart(const Table& table, const Breakdown& b, Place place, std::string file) {
  const std::string title = absl::StrCat("Rows by ", table.columns[b.category].name);
  return {place,
          title,
          std::move(file),
          {{"kind", "bar"},
           {"title", title},
           {"x_label", table.columns[b.category].name},
           {"y_label", "rows"},
           {"series", Bars(Ends(b.groups), /*counts=*/true)}}};
}

}  // namespace

std::vector<Finding> FindFindings(const Analysis& analysis) {
  return Composer(analysis).Findings();
}

std::vector<Chart> PlanCharts(const Analysis& analysis) {
  const Table& table = analysis.table;
  std::vector<Chart> charts;
  int answers = 0;
  for (const AnswerResult& answer : analysis.answers) {
    std::string file = absl::StrCat("answer-", ++answers, ".svg");
    if (answer.effect.has_value() && answer.effect->groups.size() >= 2) {
      charts.push_back(EffectChart(table, *answer.effect, Place::kAnswer, std::move(file)));
    } else if (answer.trend.has_value() && answer.trend->last > answer.trend->first) {
      charts.push_back(TrendChart(table, *answer.trend, answer.trend->outcomes.empty() ? -1 : 0,
                                  Place::kAnswer, std::move(file)));
    } else if (answer.correlation.has_value()) {
      charts.push_back(ScatterChart(table, *answer.correlation, Place::kAnswer, std::move(file)));
    } else if (answer.breakdown.has_value() && !answer.breakdown->groups.empty()) {
      charts.push_back(BreakdownChart(table, *answer.breakdown, Place::kAnswer, std::move(file)));
    } else if (answer.part.kind == AnswerPart::Kind::kDistribution &&
               !table.columns[answer.part.a].histogram.empty()) {
      charts.push_back(
          HistogramChart(table.columns[answer.part.a], Place::kAnswer, std::move(file)));
    }
  }
  // Not twice what the answer shows.
  const auto add = [&](Chart chart) {
    const bool known = std::any_of(charts.begin(), charts.end(),
                                   [&](const Chart& other) { return other.title == chart.title; });
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
          (strongest == nullptr || composer.TrendStrength(*analysis.trend, fit) >
                                       composer.TrendStrength(*analysis.trend, *strongest))) {
        strongest = &fit;
      }
    }
    if (strongest != nullptr) {
      add(TrendChart(table, *analysis.trend, strongest->outcome, Place::kTrends,
                     "mean-over-time.svg"));
    }
  }
  if (analysis.seasons.has_value() && analysis.seasons->months.size() >= 2) {
    std::vector<Group> months = analysis.seasons->months;
    for (Group& month : months) {
      month.value = std::string(MonthName(month.value).substr(0, 3));
    }
    const std::string title =
        absl::StrCat("Rows by month of the year, ", analysis.seasons->first_year, " to ",
                     analysis.seasons->last_year);
    add({Place::kSeasons,
         title,
         "seasons.svg",
         {{"kind", "bar"},
          {"title", title},
          {"y_label", "rows"},
          {"series", Bars(months, /*counts=*/true)}}});
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

std::string ComposeSummary(const Analysis& analysis, const std::vector<Finding>& findings) {
  if (analysis.table.rows == 0) {
    return absl::StrCat("The file has ", analysis.table.columns.size(), " columns and no rows.");
  }
  const std::vector<Sentence> answers = Composer(analysis).AnswerSentences();
  if (!answers.empty()) {
    return answers.front().Plain();
  }
  std::string summary = absl::StrCat(FormatCount(analysis.table.rows), " rows, ",
                                     analysis.table.columns.size(), " columns.");
  if (analysis.question.has_value() && analysis.question->columns.empty()) {
    absl::StrAppend(&summary, " The question names none of the columns.");
  }
  for (size_t i = 0; i < std::min<size_t>(findings.size(), 2); ++i) {
    absl::StrAppend(&summary, " ", findings[i].text.Plain());
  }
  return findings.empty() ? absl::StrCat(summary, " Nothing stands out.") : summary;
}

std::string ComposeReport(const Analysis& analysis, const std::vector<Finding>& findings) {
  return Composer(analysis).Report(findings);
}

}  // namespace bulkhead::agent::analyst
