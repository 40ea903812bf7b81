// From what the analyst has computed to what a reader gets: the findings in order of strength, the
// charts, the report. Pure: the same analysis gives the same bytes.
#ifndef SERVICES_AGENT_AGENTS_REPORT_H_
#define SERVICES_AGENT_AGENTS_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/markdown.h"
#include "services/agent/agents/question.h"

namespace bulkhead::agent::analyst {

// A number that one statement gives.
struct Tally {
  int64_t count = 0;
  std::string sql;
};

// Where in the report a chart stands.
enum class Place { kAnswer, kOutliers, kCorrelations, kEffects, kTrends, kSeasons };

struct Chart {
  Place place = Place::kTrends;
  Sentence title;
  std::string file;      // Beside the report.
  nlohmann::json input;  // Of chart.render, without the file.
};

// What answers the question; of each AnswerPart one.
struct AnswerResult {
  AnswerPart part;
  std::optional<Effect> effect;
  std::optional<Trend> trend;
  Fits fits;
  std::optional<Correlation> correlation;
  std::optional<Association> association;
  std::optional<Breakdown> breakdown;
};

struct Analysis {
  std::string file;
  std::string agent;  // "analyst 1.0.0"
  std::string day;    // "2026-03-01"
  Table table;
  std::vector<Sentence> warnings;  // Of table.load.

  std::optional<Question> question;
  std::vector<AnswerResult> answers;

  std::optional<Tally> complete_rows;
  std::optional<Tally> repeated_rows;
  std::vector<Concentration> concentrations;
  std::vector<Correlation> correlations;  // Each kind by strength, the strongest first.
  std::vector<Effect> effects;
  std::vector<Association> associations;
  std::vector<Breakdown> breakdowns;
  std::optional<Trend> trend;
  Fits fits;
  std::optional<Seasons> seasons;
  std::vector<Chart> charts;

  // What was compared, and what was not.
  size_t measures_compared = 0;
  size_t measures_left_out = 0;
  size_t categories_compared = 0;
  size_t categories_left_out = 0;
  size_t pairs_compared = 0;
  int64_t sample_step = 1;  // The surveys looked at one row in so many.
};

struct Finding {
  std::string kind;  // "answer", "correlation", "effect", "association", "trend", "season",
                     // "share", "concentration", "outliers", "missing", "repeated_rows"
  Sentence text;
  double strength = 0;  // 0 to 1, comparable between kinds.
  std::vector<std::string> columns;
};

// The strongest first, at most ten and few of each kind.
std::vector<Finding> FindFindings(const Analysis& analysis);

// The few charts that tell most.
std::vector<Chart> PlanCharts(const Analysis& analysis);

// One or two sentences: the answer, or the strongest findings.
std::string ComposeSummary(const Analysis& analysis, const std::vector<Finding>& findings);

// The report, in Markdown.
std::string ComposeReport(const Analysis& analysis, const std::vector<Finding>& findings);

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_REPORT_H_
