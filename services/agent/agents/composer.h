// Makes the parts of the report out of an analysis. Internal to the report; composer_*.cc have the
// sections.
#ifndef SERVICES_AGENT_AGENTS_COMPOSER_H_
#define SERVICES_AGENT_AGENTS_COMPOSER_H_

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/agent/agents/analysis.h"
#include "services/agent/agents/markdown.h"
#include "services/agent/agents/report.h"

namespace bulkhead::agent::analyst {

// Borrows the analysis. Not thread-safe.
class Composer {
 public:
  explicit Composer(const Analysis& analysis) : a_(analysis) {}

  // --- Sentences, for findings and answers ---
  Sentence CorrelationSentence(const Correlation& c) const;
  Sentence EffectSentence(const Effect& e) const;
  Sentence AssociationSentence(const Association& x) const;
  // `fit` of `trend`, with the values of the first and the last whole period.
  Sentence TrendSentence(const Trend& trend, const Fit& fit) const;
  // Only of what is long enough to say something.
  static bool IsTrend(const Fit& fit);
  // How far the line goes, in units of the outcome's own spread: a steady but tiny slope is no
  // strong trend.
  double TrendStrength(const Trend& trend, const Fit& fit) const;

  // --- Findings ---
  std::vector<Finding> Findings();

  // --- The report ---
  std::string Report(const std::vector<Finding>& findings);
  std::vector<Sentence> AnswerSentences() const;

 private:
  const analyst::Column& Column(size_t index) const { return a_.table.columns[index]; }
  void Add(std::string kind, Sentence text, double strength, std::vector<size_t> columns, int most);
  // One of two categories determines the other.
  static bool IsNested(const Association& x) { return x.v >= 0.98; }
  // Another measure says nearly the same, and more: "total" beside its largest part.
  bool IsShadowed(size_t measure) const;
  // Few rows, much of a sum: of each category the group that carries most beyond its rows' share.
  void AddShares();
  // The measure with the largest sum stands for the others.
  void AddConcentrations();
  // The month with most rows, and the one with fewest, when they differ much.
  void AddSeasons();
  // In interquartile ranges beyond the quartiles; 0 when the quartiles are equal.
  static double Distance(const analyst::Column& c);
  static double Extreme(const analyst::Column& c);
  std::vector<size_t> ByOutlierDistance() const;
  void AddCharts(Place place, Section& section) const;

  // --- Tables ---
  Grid EffectGrid(const Effect& e, size_t limit) const;
  Grid AssociationGrid(const Association& x) const;
  Grid BreakdownGrid(const Breakdown& b) const;
  Grid TrendGrid(const Trend& trend) const;
  Grid FitGrid(const Trend& trend, const Fits& fits) const;
  Grid CorrelationGrid(const std::vector<const Correlation*>& correlations) const;

  // --- Sections ---
  Sentence AnswerSentence(const AnswerResult& answer) const;
  // Highest, or lowest, mean; and, where sums make sense, who has most of it.
  Sentence EffectAnswer(const Effect& e) const;
  Section Answer() const;
  void AddAnswerDetails(const AnswerResult& answer, Section& section) const;
  Sentence Names(const std::vector<size_t>& columns) const;
  std::string EffectLabel(const Effect& e) const;
  void AddGroupNote(const Effect& e, Section& section) const;
  Section Headlines(const std::vector<Finding>& findings) const;
  Section Overview() const;
  Section Missing() const;
  Section OutliersAndSpread() const;
  static void AddStatements(const analyst::Column& column, std::initializer_list<std::string_view> keys,
                            Evidence& evidence);
  Section Relations() const;
  static std::string StrengthNote();
  Section Groups() const;
  void AddTrend(const Trend& trend, const Fits& fits, Section& section) const;
  Section Trends() const;
  Section Columns() const;
  static std::string Short(std::string_view text);
  // Not inside of a UTF-8 character.
  static size_t Boundary(std::string_view text, size_t at);
  std::string MostFrequent(const analyst::Column& column) const;
  Section Limits() const;

  const Analysis& a_;
  std::vector<Finding> findings_;
};

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_COMPOSER_H_
