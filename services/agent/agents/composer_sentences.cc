#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

Sentence Composer::CorrelationSentence(const Correlation& c) const {
  Sentence s;
  s.Name(Column(c.a).name).Say(" and ").Name(Column(c.b).name);
  const bool hidden = c.inner_r.has_value() && std::abs(*c.inner_r) >= std::abs(c.r) + 0.2;
  if (hidden) {
    s.Say(*c.inner_r > 0 ? " rise together" : " move in opposite directions");
    s.Say(absl::StrCat(" once the rows with an outlier in either are left out: r = ", R(*c.inner_r), " over ",
                       FormatCount(c.inner_count), " rows. With them it is ", R(c.r), "."));
    return s;
  }
  if (std::abs(c.r) >= 0.98) {
    s.Say(" say nearly the same, so one may be computed from the other: r = ").Say(absl::StrFormat("%.3f", c.r));
  } else if (std::abs(c.r) < 0.1) {
    s.Say(" show next to no linear relation: r = ").Say(R(c.r));
  } else {
    s.Say(c.r > 0 ? " rise together: r = " : " move in opposite directions: r = ").Say(R(c.r));
  }
  s.Say(absl::StrCat(" over ", FormatCount(c.count), " rows"));
  if (c.inner_r.has_value() && std::abs(*c.inner_r - c.r) >= 0.1 && c.inner_count < c.count) {
    s.Say(absl::StrCat(", but ", R(*c.inner_r), " without the rows that have an outlier in either"));
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

Sentence Composer::EffectSentence(const Effect& e) const {
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
    s.Say(absl::StrCat(": from ", Mean(outcome, low.mean), outcome.IsBinary() ? " for " : " on average for "));
    s.Value(low.value).Say(absl::StrCat(" (n = ", FormatCount(low.count), ") to ", Mean(outcome, high.mean), " for "));
    s.Value(high.value).Say(absl::StrCat(" (n = ", FormatCount(high.count), ")"));
  }
  s.Say(absl::StrCat("; the groups explain ", FormatShare(e.eta_squared), " of its variance."));
  return s;
}

Sentence Composer::AssociationSentence(const Association& x) const {
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

Sentence Composer::TrendSentence(const Trend& trend, const Fit& fit) const {
  const std::string period(PeriodName(trend.period));
  const auto value = [&](size_t index) -> std::optional<double> {
    return fit.outcome < 0 ? static_cast<double>(trend.counts[index])
                           : trend.means[index][static_cast<size_t>(fit.outcome)];
  };
  const analyst::Column* outcome =
      fit.outcome < 0 ? nullptr : &Column(trend.outcomes[static_cast<size_t>(fit.outcome)]);
  const auto show = [&](double x) { return outcome == nullptr ? FormatNumber(x) : Mean(*outcome, x); };
  Sentence s;
  if (outcome == nullptr) {
    s.Say(absl::StrCat("The number of rows a ", period));
  } else {
    s.Say(outcome->IsBinary() ? "The share of " : "The mean of ").Name(outcome->name);
  }
  const std::optional<double> from = value(trend.first);
  const std::optional<double> to = value(trend.last);
  if (std::abs(fit.r) < 0.5) {
    s.Say(absl::StrCat(" shows no steady trend by ", period, " (r = ", R(fit.r), " over ", fit.periods, " periods)."));
    return s;
  }
  s.Say(fit.r > 0 ? " rises" : " falls");
  if (from.has_value() && to.has_value()) {
    s.Say(absl::StrCat(" from ", show(*from), " in ")).Say(trend.periods[trend.first]);
    s.Say(absl::StrCat(" to ", show(*to), " in ")).Say(trend.periods[trend.last]);
    // Over the line, not between two points that chance may have moved.
    if (const std::string change = Change(*from, *to); !change.empty() && (*to > *from) == (fit.r > 0)) {
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

bool Composer::IsTrend(const Fit& fit) {
  const double unexplained = std::max(1e-9, 1 - fit.r * fit.r);
  return fit.periods >= 5 && std::abs(fit.r) >= 0.5 &&
         std::abs(fit.r) * std::sqrt(static_cast<double>(fit.periods - 2) / unexplained) >= 3;
}

double Composer::TrendStrength(const Trend& trend, const Fit& fit) const {
  double spread = 0;
  if (fit.outcome < 0) {
    for (const int64_t count : trend.counts) {
      spread += static_cast<double>(count) / static_cast<double>(trend.counts.size());
    }
  } else {
    spread = Column(trend.outcomes[static_cast<size_t>(fit.outcome)]).stddev.value_or(0);
  }
  const double way = spread > 0 ? std::abs(fit.slope) * static_cast<double>(fit.periods - 1) / spread : 0;
  return std::abs(fit.r) * std::min(1.0, 1.5 * way);
}

}  // namespace bulkhead::agent::analyst
