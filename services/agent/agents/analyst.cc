#include "services/agent/agents/analyst.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/markdown.h"
#include "services/agent/agents/question.h"
#include "services/agent/agents/report.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using namespace analyst;  // NOLINT: the parts of this very agent.
using nlohmann::json;

constexpr std::string_view kName = "analyst";
constexpr std::string_view kVersion = "1.1.0";
constexpr std::string_view kInputSchema = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "file": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "A CSV or JSON Lines file of the workspace, as \"data/sales.csv\"."},
    "question": {"type": "string", "maxLength": 2000, "description": "What to look at first; names columns, as in \"average price by region\"."}
  },
  "required": ["file"],
  "additionalProperties": false
})";

// What bounds the work. A profile sorts its column, so the cells that are profiled are limited; the
// surveys look at a sample.
constexpr int64_t kMostProfiled = 60;
constexpr int64_t kLeastProfiled = 12;
constexpr int64_t kProfiledCells = 200'000'000;
constexpr size_t kMostMeasures = 30;
constexpr size_t kMostCategories = 10;
constexpr int64_t kSurveyWork = 1'500'000;  // Products summed.
constexpr int64_t kMostCellsToCompareRows = 1'500'000;
constexpr size_t kMostRelations = 8;
constexpr size_t kMostBreakdowns = 6;
constexpr size_t kMostTrends = 4;
constexpr ParallelOptions kParallel = {.max_parallel = 4};

// "data/Sales 2021.csv" -> "data_sales_2021": files of the same name in two folders do not meet in
// one table.
std::string TableName(std::string_view file) {
  const size_t dot = file.rfind('.');
  const size_t slash = file.rfind('/');
  if (dot != std::string_view::npos && dot > 0 && (slash == std::string_view::npos || dot > slash + 1)) {
    file = file.substr(0, dot);
  }
  std::string name;
  for (const char c : file) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      name += absl::ascii_tolower(static_cast<unsigned char>(c));
    } else if (!name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  while (!name.empty() && name.back() == '_') {
    name.pop_back();
  }
  if (name.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(name[0]))) {
    name.insert(0, "t_");
  }
  return name.substr(0, 63);
}

// One run.
class Analyst final : public Agent {
 public:
  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const json& input) override {
    analysis_.file = input.at("file").get<std::string>();
    analysis_.agent = absl::StrCat(kName, " ", kVersion);
    analysis_.day = absl::FormatTime("%Y-%m-%d", co_await run.Now(), absl::UTCTimeZone());

    CO_RETURN_IF_ERROR(co_await Load(run, input));
    if (analysis_.table.rows > 0) {
      CO_RETURN_IF_ERROR(co_await Profile(run));
      CO_RETURN_IF_ERROR(co_await AnswerQuestion(run));
      CO_RETURN_IF_ERROR(co_await Survey(run));
      CO_RETURN_IF_ERROR(co_await Compute(run));
      CO_RETURN_IF_ERROR(co_await FollowTime(run));
    }
    co_return co_await Write(run);
  }

 private:
  Table& table() { return analysis_.table; }

  Awaitable<absl::Status> Load(RunContext& run, const json& input) {
    co_await run.Think(absl::StrCat("Loading ", analysis_.file));
    json call = {{"file", analysis_.file}, {"table", TableName(analysis_.file)}};
    CO_ASSIGN_OR_RETURN(const json loaded, co_await run.CallTool("table.load", std::move(call)));
    analysis_.table = ParseTable(loaded);
    if (loaded.contains("warnings")) {
      for (const json& warning : loaded["warnings"]) {
        analysis_.warnings.push_back(Sentence().Value(warning.value("message", warning.value("code", ""))));
      }
    }
    if (const std::string question = input.value("question", ""); !absl::StripAsciiWhitespace(question).empty()) {
      analysis_.question = MatchQuestion(question, table().columns);
    }
    co_return absl::OkStatus();
  }

  // The columns of the question, then those that have values, in the file's order.
  std::vector<size_t> ChooseProfiled() const {
    const auto most =
        static_cast<size_t>(std::clamp(kProfiledCells / analysis_.table.rows, kLeastProfiled, kMostProfiled));
    std::vector<size_t> chosen;
    const auto add = [&](size_t column) {
      if (chosen.size() < most && !IsTooLong(analysis_.table.columns[column]) &&
          std::find(chosen.begin(), chosen.end(), column) == chosen.end()) {
        chosen.push_back(column);
      }
    };
    if (analysis_.question.has_value()) {
      std::for_each(analysis_.question->columns.begin(), analysis_.question->columns.end(), add);
    }
    for (size_t i = 0; i < analysis_.table.columns.size(); ++i) {
      add(i);
    }
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  }

  Awaitable<absl::Status> Profile(RunContext& run) {
    const std::vector<size_t> chosen = ChooseProfiled();
    if (chosen.empty()) {
      co_return absl::OkStatus();
    }
    co_await run.Think(absl::StrFormat("Profiling %d of %d columns over %s rows", chosen.size(), table().columns.size(),
                                       FormatCount(table().rows)));
    // A look at a few thousand rows first: the values of an identifier need not be counted.
    CO_ASSIGN_OR_RETURN(Rows sketch,
                        co_await Ask(run, SketchQuery(table(), chosen, SampleStep(table().rows, 1, 5000))));
    std::vector<json> calls;
    for (size_t i = 0; i < chosen.size(); ++i) {
      const Column& column = table().columns[chosen[i]];
      const auto number = [&](size_t at) {
        return !sketch.rows.empty() && at < sketch.rows[0].size() ? NumberOf(sketch.rows[0][at]).value_or(0) : 0;
      };
      const bool top = WantsTopValues(column, number(3 * i), number(3 * i + 1), number(3 * i + 2));
      calls.push_back({{"table", table().name}, {"column", column.name}, {"top", top ? 12 : 0}, {"bins", 24}});
    }
    CO_ASSIGN_OR_RETURN(
        const std::vector<json> profiles,
        co_await run.All(calls, [&run](const json& call) { return run.CallTool("table.profile", call); }, kParallel));
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (profiles[i].value("rows", int64_t{0}) != table().rows || profiles[i].at("columns").empty()) {
        co_return MakeError(
            absl::StatusCode::kAborted,
            absl::StrCat("the table ", table().name, " was loaded anew during the analysis"),
            {.domain = "bulkhead.agent", .reason = "TABLE_CHANGED", .metadata = {{"table", table().name}}});
      }
      TakeProfile(profiles[i].at("columns").at(0), table().rows, table().columns[chosen[i]]);
    }
    if (analysis_.question.has_value()) {
      MatchValues(table().columns, *analysis_.question);
    }
    co_return absl::OkStatus();
  }

  // The time column that is most complete, dates before years.
  std::optional<size_t> MainTime() const {
    std::optional<size_t> best;
    for (size_t i = 0; i < analysis_.table.columns.size(); ++i) {
      const Column& column = analysis_.table.columns[i];
      if (column.role != Role::kTime) {
        continue;
      }
      if (!best.has_value() || (analysis_.table.columns[*best].IsInteger() && !column.IsInteger()) ||
          (analysis_.table.columns[*best].IsInteger() == column.IsInteger() &&
           column.count > analysis_.table.columns[*best].count)) {
        best = i;
      }
    }
    return best;
  }

  // How small a group the answer shows: all, when it has few.
  int64_t LeastCount(size_t category) const {
    const Column& column = analysis_.table.columns[category];
    return column.distinct <= 12 ? 1 : LeastGroupSize(column);
  }

  Awaitable<absl::Status> AnswerQuestion(RunContext& run) {
    if (!analysis_.question.has_value()) {
      co_return absl::OkStatus();
    }
    const std::vector<AnswerPart> parts = PlanAnswer(*analysis_.question, table(), MainTime());
    if (parts.empty()) {
      co_await run.Think("The question names nothing that I could compute; going on with the general report");
      co_return absl::OkStatus();
    }
    Sentence names;
    for (const size_t column : analysis_.question->columns) {
      names.Say(names.empty() ? "" : ", ").Name(table().columns[column].name);
    }
    co_await run.Think(
        absl::StrCat("Answering the question", names.empty() ? ", over time" : " about ", names.Plain()));
    std::vector<std::string> queries;
    for (const AnswerPart& part : parts) {
      queries.push_back(AnswerQuery(part));
    }
    CO_ASSIGN_OR_RETURN(const std::vector<Rows> answers, co_await AskAll(run, queries));
    for (size_t i = 0; i < parts.size(); ++i) {
      AnswerResult result{.part = parts[i]};
      CO_RETURN_IF_ERROR(co_await TakeAnswer(run, answers[i], queries[i], result));
      analysis_.answers.push_back(std::move(result));
    }
    co_return absl::OkStatus();
  }

  // "" when nothing is asked.
  std::string AnswerQuery(const AnswerPart& part) {
    switch (part.kind) {
      case AnswerPart::Kind::kEffect:
        return EffectQuery(table(), part.a, part.b, LeastCount(part.a));
      case AnswerPart::Kind::kTrend:
        return TrendQuery(table(), part.a, part.period, part.outcomes);
      case AnswerPart::Kind::kCorrelation:
        return CorrelationQuery(table(), part.a, part.b);
      case AnswerPart::Kind::kAssociation:
        return AssociationQuery(table(), part.a, part.b);
      case AnswerPart::Kind::kBreakdown:
        return BreakdownQuery(table(), part.a, {}, 20);
      case AnswerPart::Kind::kDistribution:
        return "";
    }
    return "";
  }

  Awaitable<absl::Status> TakeAnswer(RunContext& run, const Rows& answer, const std::string& sql,
                                     AnswerResult& result) {
    const AnswerPart& part = result.part;
    switch (part.kind) {
      case AnswerPart::Kind::kEffect:
        result.effect = ParseEffect(table(), part.a, part.b, LeastCount(part.a), answer, sql);
        break;
      case AnswerPart::Kind::kTrend:
        result.trend = ParseTrend(table(), part.a, part.period, part.outcomes, answer, sql);
        if (!result.trend->periods.empty()) {
          CO_ASSIGN_OR_RETURN(result.fits, co_await AskFits(run, *result.trend));
        }
        break;
      case AnswerPart::Kind::kCorrelation:
        result.correlation = ParseCorrelation(part.a, part.b, answer, sql);
        break;
      case AnswerPart::Kind::kAssociation:
        result.association = ParseAssociation(table(), part.a, part.b, answer, sql);
        break;
      case AnswerPart::Kind::kBreakdown:
        result.breakdown = ParseBreakdown(table(), part.a, {}, answer, sql);
        break;
      case AnswerPart::Kind::kDistribution:
        break;
    }
    co_return absl::OkStatus();
  }

  // Rough numbers of all pairs: which are worth exact ones.
  Awaitable<absl::Status> Survey(RunContext& run) {
    for (size_t i = 0; i < table().columns.size(); ++i) {
      const Column& column = table().columns[i];
      if (column.role == Role::kMeasure && column.stddev.value_or(0) > 0) {
        (measures_.size() < kMostMeasures ? measures_ : left_out_).push_back(i);
      }
    }
    analysis_.measures_left_out = left_out_.size();
    outcomes_ = measures_;
    for (size_t i = 0; i < table().columns.size(); ++i) {
      const Column& column = table().columns[i];
      if (column.IsGrouping()) {
        if (categories_.size() < kMostCategories) {
          categories_.push_back(i);
        } else {
          ++analysis_.categories_left_out;
        }
      }
      if (column.IsOutcome() && column.role == Role::kCategory && outcomes_.size() < kMostMeasures + 5) {
        outcomes_.push_back(i);
      }
    }
    analysis_.measures_compared = measures_.size();
    analysis_.categories_compared = categories_.size();

    std::vector<std::string> queries;
    const auto pairs_of_measures = static_cast<int64_t>(measures_.size() * (measures_.size() - 1) / 2);
    if (measures_.size() >= 2) {
      queries.push_back(CorrelationSurvey(table(), measures_, Step(2 * pairs_of_measures)));
    }
    const size_t first_effect = queries.size();
    if (!outcomes_.empty()) {
      for (const size_t category : categories_) {
        queries.push_back(EffectSurvey(table(), category, outcomes_,
                                       Step(static_cast<int64_t>(3 * outcomes_.size() * categories_.size()))));
      }
    }
    const size_t first_association = queries.size();
    std::vector<Pair> pairs;
    for (size_t i = 0; i < categories_.size(); ++i) {
      for (size_t j = i + 1; j < categories_.size(); ++j) {
        // Of two yes-or-no columns the effect tells it already.
        if (!table().columns[categories_[i]].IsOutcome() && !table().columns[categories_[j]].IsOutcome()) {
          pairs.push_back({categories_[i], categories_[j]});
        }
      }
    }
    if (!pairs.empty()) {
      for (std::string& sql : AssociationSurvey(table(), pairs, Step(static_cast<int64_t>(10 * pairs.size())))) {
        queries.push_back(std::move(sql));
      }
    }
    analysis_.pairs_compared = (measures_.size() >= 2 ? static_cast<size_t>(pairs_of_measures) : 0) +
                               outcomes_.size() * categories_.size() + pairs.size();
    if (queries.empty()) {
      co_return absl::OkStatus();
    }
    co_await run.Think(absl::StrFormat("Comparing %d pairs of columns: %d numbers, %d categories",
                                       analysis_.pairs_compared, measures_.size(), categories_.size()));
    CO_ASSIGN_OR_RETURN(const std::vector<Rows> answers, co_await AskAll(run, queries));

    // Under these it is chance, or not worth a line.
    constexpr double kLeast = 0.1;
    if (measures_.size() >= 2) {
      correlated_ = Strongest(ParseCorrelationSurvey(table(), measures_, answers[0]), kMostRelations, kLeast, 3);
    }
    std::vector<Pair> effects;
    for (size_t i = first_effect; i < first_association; ++i) {
      const std::vector<Pair> found = ParseEffectSurvey(categories_[i - first_effect], outcomes_, answers[i]);
      effects.insert(effects.end(), found.begin(), found.end());
    }
    differing_ = Strongest(std::move(effects), kMostRelations, kLeast, 4);
    for (size_t i = first_association; i < answers.size(); ++i) {
      pairs = ParseAssociationSurvey(std::move(pairs), answers[i]);
    }
    associated_ = Strongest(std::move(pairs), kMostRelations, kLeast, 3);
    co_return absl::OkStatus();
  }

  int64_t Step(int64_t work) {
    const int64_t step = SampleStep(table().rows, work, kSurveyWork);
    analysis_.sample_step = std::max(analysis_.sample_step, SampleCondition(table(), step).empty() ? 1 : step);
    return step;
  }

  // Exact numbers of what the survey chose, the top groups, and what each row tells.
  Awaitable<absl::Status> Compute(RunContext& run) {
    std::vector<std::string> queries;
    for (const Pair& pair : correlated_) {
      queries.push_back(CorrelationQuery(table(), pair.a, pair.b));
    }
    for (const Pair& pair : differing_) {
      queries.push_back(EffectQuery(table(), pair.a, pair.b, LeastGroupSize(table().columns[pair.a])));
    }
    for (const Pair& pair : associated_) {
      queries.push_back(AssociationQuery(table(), pair.a, pair.b));
    }
    const std::vector<size_t> grouped = ChooseBreakdowns();
    for (const size_t category : grouped) {
      queries.push_back(BreakdownQuery(table(), category, OutcomesBeside(category), 10));
    }
    std::vector<size_t> concentrated;
    for (const size_t measure : measures_) {
      if (IsConcentrated(table().columns[measure]) && concentrated.size() < 4) {
        concentrated.push_back(measure);
        queries.push_back(ConcentrationQuery(table(), measure));
      }
    }
    std::vector<size_t> incomplete;
    for (size_t i = 0; i < table().columns.size(); ++i) {
      if (table().columns[i].missing > 0) {
        incomplete.push_back(i);
      }
    }
    const std::string complete = CompleteRowsQuery(table(), incomplete);
    const bool complete_rows = !incomplete.empty() && incomplete.size() <= 100 && complete.size() <= kMaxStatement;
    if (complete_rows) {
      queries.push_back(complete);
    }
    const bool repeated_rows = table().rows * static_cast<int64_t>(table().columns.size()) <= kMostCellsToCompareRows;
    if (repeated_rows) {
      queries.push_back(DuplicateRowsQuery(table()));
    }
    if (queries.empty()) {
      co_return absl::OkStatus();
    }
    co_await run.Think(absl::StrFormat("Looking closely at %d relations and the top groups of %d columns",
                                       correlated_.size() + differing_.size() + associated_.size(), grouped.size()));
    CO_ASSIGN_OR_RETURN(const std::vector<Rows> answers, co_await AskAll(run, queries));

    size_t at = 0;
    for (const Pair& pair : correlated_) {
      if (auto correlation = ParseCorrelation(pair.a, pair.b, answers[at], queries[at]); correlation.has_value()) {
        analysis_.correlations.push_back(*std::move(correlation));
      }
      ++at;
    }
    for (const Pair& pair : differing_) {
      if (auto effect =
              ParseEffect(table(), pair.a, pair.b, LeastGroupSize(table().columns[pair.a]), answers[at], queries[at]);
          effect.has_value()) {
        analysis_.effects.push_back(*std::move(effect));
      }
      ++at;
    }
    for (const Pair& pair : associated_) {
      if (auto association = ParseAssociation(table(), pair.a, pair.b, answers[at], queries[at]);
          association.has_value()) {
        analysis_.associations.push_back(*std::move(association));
      }
      ++at;
    }
    for (const size_t category : grouped) {
      analysis_.breakdowns.push_back(
          ParseBreakdown(table(), category, OutcomesBeside(category), answers[at], queries[at]));
      ++at;
    }
    for (const size_t measure : concentrated) {
      if (auto concentration = ParseConcentration(measure, answers[at], queries[at]); concentration.has_value()) {
        analysis_.concentrations.push_back(*std::move(concentration));
      }
      ++at;
    }
    if (complete_rows) {
      analysis_.complete_rows = TakeTally(answers[at], queries[at]);
      ++at;
    }
    if (repeated_rows) {
      analysis_.repeated_rows = TakeTally(answers[at], queries[at]);
    }
    std::stable_sort(analysis_.correlations.begin(), analysis_.correlations.end(),
                     [](const auto& x, const auto& y) { return StrengthOf(x) > StrengthOf(y); });
    std::stable_sort(analysis_.effects.begin(), analysis_.effects.end(),
                     [](const auto& x, const auto& y) { return x.eta_squared > y.eta_squared; });
    std::stable_sort(analysis_.associations.begin(), analysis_.associations.end(),
                     [](const auto& x, const auto& y) { return x.v > y.v; });
    co_return absl::OkStatus();
  }

  // Those of the strongest effects, then the others in the file's order.
  std::vector<size_t> ChooseBreakdowns() const {
    std::vector<size_t> chosen;
    const auto add = [&](size_t column) {
      if (chosen.size() < kMostBreakdowns && std::find(chosen.begin(), chosen.end(), column) == chosen.end()) {
        chosen.push_back(column);
      }
    };
    for (const Pair& pair : differing_) {
      add(pair.a);
    }
    for (size_t i = 0; i < analysis_.table.columns.size(); ++i) {
      if (analysis_.table.columns[i].role == Role::kCategory) {
        add(i);
      }
    }
    return chosen;
  }

  // The two outcomes that the category tells apart best; else the first ones.
  std::vector<size_t> OutcomesBeside(size_t category) const {
    std::vector<size_t> outcomes;
    const auto add = [&](size_t column) {
      if (outcomes.size() < 2 && column != category &&
          std::find(outcomes.begin(), outcomes.end(), column) == outcomes.end()) {
        outcomes.push_back(column);
      }
    };
    for (const Pair& pair : differing_) {
      if (pair.a == category) {
        add(pair.b);
      }
    }
    for (const Pair& pair : differing_) {
      add(pair.b);
    }
    for (const size_t outcome : outcomes_) {
      add(outcome);
    }
    return outcomes;
  }

  static Tally TakeTally(const Rows& answer, const std::string& sql) {
    const bool has_value = !answer.rows.empty() && !answer.rows[0].empty();
    return {has_value ? static_cast<int64_t>(NumberOf(answer.rows[0][0]).value_or(0)) : 0, sql};
  }

  Awaitable<absl::Status> FollowTime(RunContext& run) {
    const std::optional<size_t> time = MainTime();
    if (!time.has_value()) {
      co_return absl::OkStatus();
    }
    co_await run.Think(Sentence("Following the development over ").Name(table().columns[*time].name).Plain());
    const Period period = ChoosePeriod(table().columns[*time]);
    std::vector<size_t> followed = outcomes_;
    if (followed.size() > kMostTrends) {
      followed.resize(kMostTrends);
    }
    std::vector<std::string> queries = {TrendQuery(table(), *time, period, followed)};
    std::string first_year;
    std::string last_year;
    std::string seasons = SeasonQuery(table(), *time, &first_year, &last_year);
    if (!seasons.empty()) {
      queries.push_back(seasons);
    }
    CO_ASSIGN_OR_RETURN(const std::vector<Rows> answers, co_await AskAll(run, queries));
    analysis_.trend = ParseTrend(table(), *time, period, std::move(followed), answers[0], queries[0]);
    if (!seasons.empty()) {
      analysis_.seasons =
          ParseSeasons(*time, std::move(first_year), std::move(last_year), answers[1], std::move(seasons));
    }
    if (analysis_.trend->last >= analysis_.trend->first + 2) {
      CO_ASSIGN_OR_RETURN(analysis_.fits, co_await AskFits(run, *analysis_.trend));
    }
    co_return absl::OkStatus();
  }

  Awaitable<absl::StatusOr<Answer>> Write(RunContext& run) {
    const std::string folder = absl::StrCat("reports/", std::string_view(run.name()).substr(run.name().rfind('/') + 1));
    analysis_.charts = PlanCharts(analysis_);
    co_await run.Think(absl::StrFormat("Drawing %d charts and writing the report", analysis_.charts.size()));
    std::vector<json> calls;
    for (const Chart& chart : analysis_.charts) {
      json call = chart.input;
      call["file"] = absl::StrCat(folder, "/", chart.file);
      calls.push_back(std::move(call));
    }
    CO_ASSIGN_OR_RETURN(
        const std::vector<json> drawn,
        co_await run.All(calls, [&run](const json& call) { return run.CallTool("chart.render", call); }, kParallel));

    const std::vector<Finding> findings = FindFindings(analysis_);
    const std::string file = absl::StrCat(folder, "/report.md");
    json call = {{"file", file}, {"text", ComposeReport(analysis_, findings)}};
    CO_ASSIGN_OR_RETURN(const json written, co_await run.CallTool("file.write", std::move(call)));

    Answer answer{.summary = ComposeSummary(analysis_, findings)};
    answer.artifacts.push_back(absl::StrCat("users/", run.user(), "/files/", file));
    for (const Chart& chart : analysis_.charts) {
      answer.artifacts.push_back(absl::StrCat("users/", run.user(), "/files/", folder, "/", chart.file));
    }
    json listed = json::array();
    for (const Finding& finding : findings) {
      listed.push_back({{"kind", finding.kind},
                        {"text", finding.text.Plain()},
                        {"strength", finding.strength},
                        {"columns", finding.columns}});
    }
    answer.data = {{"table", table().name},
                   {"rows", table().rows},
                   {"columns", table().columns.size()},
                   {"report", file},
                   {"findings", std::move(listed)}};
    if (analysis_.question.has_value()) {
      json columns = json::array();
      for (const size_t column : analysis_.question->columns) {
        columns.push_back(table().columns[column].name);
      }
      answer.data["question"] = {{"columns", std::move(columns)}};
    }
    co_return answer;
  }

  // --- The way to the table ---

  static json QueryCall(const std::string& sql) { return {{"sql", sql}, {"max_rows", 1000}}; }

  static Awaitable<absl::StatusOr<Rows>> Ask(RunContext& run, std::string sql) {
    CO_ASSIGN_OR_RETURN(const json answer, co_await run.CallTool("table.query", QueryCall(sql)));
    co_return ParseRows(answer);
  }

  // An empty statement has an empty answer.
  static Awaitable<absl::StatusOr<std::vector<Rows>>> AskAll(RunContext& run, const std::vector<std::string>& queries) {
    std::vector<json> calls;
    for (const std::string& sql : queries) {
      if (!sql.empty()) {
        calls.push_back(QueryCall(sql));
      }
    }
    CO_ASSIGN_OR_RETURN(
        const std::vector<json> answers,
        co_await run.All(calls, [&run](const json& call) { return run.CallTool("table.query", call); }, kParallel));
    std::vector<Rows> rows;
    auto next = answers.begin();
    for (const std::string& sql : queries) {
      rows.push_back(sql.empty() ? Rows{} : ParseRows(*next++));
    }
    co_return rows;
  }

  Awaitable<absl::StatusOr<Fits>> AskFits(RunContext& run, const Trend& trend) {
    std::string sql = FitQuery(table(), trend);
    CO_ASSIGN_OR_RETURN(const Rows answer, co_await Ask(run, sql));
    co_return ParseFits(answer, std::move(sql));
  }

  Analysis analysis_;
  std::vector<size_t> measures_;    // Compared with each other;
  std::vector<size_t> outcomes_;    // these, and yes or no, are compared between
  std::vector<size_t> categories_;  // the groups of these.
  std::vector<size_t> left_out_;
  std::vector<Pair> correlated_;
  std::vector<Pair> differing_;
  std::vector<Pair> associated_;
};

}  // namespace

AgentFactory AnalystFactory() {
  return FactoryOf<Analyst>({.name = std::string(kName),
                             .version = std::string(kVersion),
                             .description = "Reads a CSV or JSON Lines file and writes a report: findings, profile, "
                                            "missing values, outliers, relations, groups, trends and charts, with "
                                            "the SQL behind each number. Needs no model.",
                             .input_schema = std::string(kInputSchema)});
}

}  // namespace bulkhead::agent
