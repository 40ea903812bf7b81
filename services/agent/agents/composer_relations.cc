#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

Sentence Composer::Names(const std::vector<size_t>& columns) const {
  Sentence s;
  for (size_t i = 0; i < columns.size(); ++i) {
    s.Say(i == 0 ? "" : i + 1 == columns.size() ? " and " : ", ").Name(Column(columns[i]).name);
  }
  return s;
}

std::string Composer::EffectLabel(const Effect& e) const {
  return absl::StrCat(Column(e.outcome).name, " by ", Column(e.category).name);
}

void Composer::AddGroupNote(const Effect& e, Section& section) const {
  const auto shown = static_cast<int64_t>(e.groups.size());
  if (e.group_count > shown && shown < kMaxGroups) {
    section.blocks.push_back(Paragraph{
        absl::StrCat(FormatCount(e.group_count - shown), e.group_count - shown == 1 ? " group" : " groups",
                     " of fewer than ", e.least_count, " rows are left out here: their means would be chance.")});
  }
}

Section Composer::Relations() const {
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
      evidence.statements.push_back({absl::StrCat(Column(c.a).name, " and ", Column(c.b).name), c.sql});
    }
    section.blocks.push_back(CorrelationGrid(correlations));
    section.blocks.push_back(std::move(evidence));
    AddCharts(Place::kCorrelations, section);
  }
  if (!a_.effects.empty()) {
    section.blocks.push_back(Subheading{"Of groups with numbers"});
    section.blocks.push_back(
        Paragraph{absl::StrCat(kEta,
                               " (eta squared) is the part of a number's variance that the groups explain: "
                               "1% is little, 6% moderate, 14% much. The lowest and highest means "
                               "are of groups with enough rows.")});
    Grid grid{.header = {"number", "by", "rows", "groups", std::string(kEta), "lowest mean", "highest mean"},
              .text_columns = 2};
    Evidence evidence;
    for (const Effect& e : a_.effects) {
      const analyst::Column& outcome = Column(e.outcome);
      grid.rows.push_back({outcome.name, Column(e.category).name, FormatCount(e.count), FormatCount(e.group_count),
                           FormatShare(e.eta_squared),
                           absl::StrCat(Mean(outcome, e.groups.back().mean), " (", e.groups.back().value, ")"),
                           absl::StrCat(Mean(outcome, e.groups.front().mean), " (", e.groups.front().value, ")")});
      evidence.statements.push_back({EffectLabel(e), e.sql});
    }
    section.blocks.push_back(std::move(grid));
    section.blocks.push_back(std::move(evidence));
    AddCharts(Place::kEffects, section);
  }
  if (!a_.associations.empty()) {
    section.blocks.push_back(Subheading{"Between categories"});
    section.blocks.push_back(Paragraph{StrengthNote()});
    Grid grid{.header = {"column", "and column", "rows", "Cram\xC3\xA9r's V", "strength"}, .text_columns = 2};
    for (const Association& x : a_.associations) {
      grid.rows.push_back({Column(x.a).name, Column(x.b).name, FormatCount(x.count), absl::StrFormat("%.3f", x.v),
                           std::string(StrengthWord(x.v))});
    }
    section.blocks.push_back(std::move(grid));
    Evidence evidence;
    for (const Association& x : a_.associations) {
      evidence.statements.push_back({absl::StrCat(Column(x.a).name, " and ", Column(x.b).name), x.sql});
    }
    section.blocks.push_back(std::move(evidence));
    const auto telling =
        std::find_if(a_.associations.begin(), a_.associations.end(), [](const Association& x) { return !IsNested(x); });
    const Association& first = telling != a_.associations.end() ? *telling : a_.associations.front();
    section.blocks.push_back(Paragraph{Sentence("Where ")
                                           .Name(Column(first.a).name)
                                           .Say(" and ")
                                           .Name(Column(first.b).name)
                                           .Say(" meet more, or less, often than by chance:")});
    section.blocks.push_back(AssociationGrid(first));
    section.blocks.push_back(
        Evidence{{{absl::StrCat(Column(first.a).name, " and ", Column(first.b).name), first.sql}}});
  }
  if (section.blocks.empty() && a_.pairs_compared > 0) {
    section.blocks.push_back(
        Paragraph{absl::StrCat("None that is worth a line, of ", a_.pairs_compared, " pairs of columns compared.")});
  }
  return section;
}

std::string Composer::StrengthNote() {
  return "Cram\xC3\xA9r's V (bias-corrected): 0 when two categories have nothing to do with each "
         "other, 1 when one determines the other.";
}

Section Composer::Groups() const {
  Section section{.title = "Top groups"};
  for (const Breakdown& b : a_.breakdowns) {
    const analyst::Column& column = Column(b.category);
    Sentence s;
    s.Name(column.name);
    const auto shown = static_cast<int64_t>(b.groups.size());
    if (column.distinct > shown) {
      s.Say(absl::StrCat(": the ", shown, " most frequent of ", FormatCount(column.distinct), " values"));
    }
    section.blocks.push_back(Subheading{std::move(s)});
    section.blocks.push_back(BreakdownGrid(b));
    section.blocks.push_back(Evidence{{{column.name, b.sql}}});
  }
  return section;
}

void Composer::AddTrend(const Trend& trend, const Fits& fits, Section& section) const {
  section.blocks.push_back(TrendGrid(trend));
  section.blocks.push_back(Evidence{{{absl::StrCat("by ", PeriodName(trend.period)), trend.sql}}});
  if (!fits.fits.empty()) {
    section.blocks.push_back(FitGrid(trend, fits));
    section.blocks.push_back(Evidence{{{"straight lines", fits.sql}}});
  }
}

Section Composer::Trends() const {
  Section section;
  if (!a_.trend.has_value() || a_.trend->periods.size() < 2) {
    return section;
  }
  section.title.Say("Trends over ").Name(Column(a_.trend->time).name);
  AddCharts(Place::kTrends, section);
  AddTrend(*a_.trend, a_.fits, section);
  if (a_.seasons.has_value() && !a_.seasons->months.empty()) {
    section.blocks.push_back(Subheading{
        Sentence("By month of the year, ").Say(a_.seasons->first_year).Say(" to ").Say(a_.seasons->last_year)});
    AddCharts(Place::kSeasons, section);
    Grid grid{.header = {"month", "rows", "of these years"}};
    int64_t all = 0;
    for (const Group& month : a_.seasons->months) {
      all += month.count;
    }
    for (const Group& month : a_.seasons->months) {
      grid.rows.push_back(
          {std::string(MonthName(month.value)), FormatCount(month.count), FormatShare(Share(month.count, all))});
    }
    section.blocks.push_back(std::move(grid));
    section.blocks.push_back(Evidence{{{"by month of the year", a_.seasons->sql}}});
  }
  return section;
}

}  // namespace bulkhead::agent::analyst
