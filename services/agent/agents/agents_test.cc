// The pure parts of the analyst: what it asks, what it understands, what it writes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/markdown.h"
#include "services/agent/agents/question.h"
#include "services/agent/agents/report.h"

namespace bulkhead::agent::analyst {
namespace {

using ::nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// --- Markdown ---

TEST(MarkdownTest, NumbersAreWrittenForReaders) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(-1234567), "-1,234,567");
  EXPECT_EQ(FormatNumber(1234567.8), "1,234,568");
  EXPECT_EQ(FormatNumber(99.96), "100");
  EXPECT_EQ(FormatNumber(12.345), "12.3");
  EXPECT_EQ(FormatNumber(-0.012345), "-0.0123");
  EXPECT_EQ(FormatNumber(0), "0");
  EXPECT_EQ(FormatNumber(1.5e20), "1.5e+20");
  EXPECT_EQ(FormatNumber(1.234e-7), "1.23e-07");
  EXPECT_EQ(FormatShare(0.1234), "12.3%");
  EXPECT_EQ(FormatShare(0.00001), "<0.1%");
  EXPECT_EQ(FormatShare(0.99999), ">99.9%");
  EXPECT_EQ(FormatShare(1), "100.0%");
}

TEST(MarkdownTest, WhateverStandsInTheDataIsShownAsItIs) {
  const std::pair<std::string, std::string> cases[] = {
      {"plain, text-like (1)", "plain, text-like (1)"},
      {"snake_case stays", "snake_case stays"},
      {"_em_ *strong* ~gone~ `code`", "\\_em\\_ \\*strong\\* \\~gone\\~ \\`code\\`"},
      {"a|b", "a\\|b"},
      {"<img src=x onerror=alert(1)>&lt;", "&lt;img src=x onerror=alert(1)&gt;&amp;lt;"},
      {"[link](http://evil.example)", "\\[link\\](http\\://evil.example)"},
      {"www.evil.example", "www\\.evil.example"},
      {"two\r\nlines\ttab", "two  lines tab"},
      {"\x01 bell \x7f", "\xEF\xBF\xBD bell \xEF\xBF\xBD"},
      {"right\xE2\x80\xAEto left", "right\xEF\xBF\xBDto left"},
      {"broken \xC3", "broken \xEF\xBF\xBD"},
      {"$x$ #1 \\", "\\$x\\$ \\#1 \\\\"},
  };
  for (const auto& [text, escaped] : cases) {
    EXPECT_EQ(EscapeMarkdown(text), escaped);
  }
  EXPECT_EQ(EscapeMarkdown("\xC3\xA9t\xC3\xA9s", 3), "\xC3\xA9t\xC3\xA9\xE2\x80\xA6");
}

TEST(MarkdownTest, ADocumentKeepsItsFormWithHostileContent) {
  Document document{.title = "Title"};
  document.sections.push_back({.title = Sentence("Of ").Name("a*\nb"),
                               .blocks = {Grid{.header = {"x|y", "n"}, .rows = {{"1\n2", ""}}}, Picture{"a]b", "c.svg"},
                                          Evidence{{{"label\n; DROP", "SELECT \"```\" FROM \"</details>\""}}}}});
  document.sections.push_back({.title = "Empty"});
  EXPECT_EQ(Render(document),
            "# Title\n"
            "\n## Of **a\\* b**\n"
            "\n| x\\|y | n |\n| --- | ---: |\n| 1 2 |   |\n"
            "\n![a\\]b](c.svg)\n"
            "\n<details><summary>SQL</summary>\n\n````sql\n-- label ; DROP\nSELECT \"```\" FROM "
            "\"</details>\";\n````\n\n</details>\n");
}

// --- Analysis ---

json Profile(std::string_view name, std::string_view type, int64_t count, int64_t distinct, json min, json max) {
  return {{"name", name},
          {"type", type},
          {"count", count},
          {"missing", 100 - count},
          {"distinct", distinct},
          {"min", std::move(min)},
          {"max", std::move(max)},
          {"mean", 10.5},
          {"stddev", 2},
          {"q1", 9},
          {"median", 10},
          {"q3", 12},
          {"top", json::array({{{"value", 1}, {"count", 5}}})},
          {"histogram", json::array()},
          {"outliers", {{"low", 4.5}, {"high", 16.5}, {"count", 3}}},
          {"sql", {{"counts", "SELECT 1"}}}};
}

Column MakeColumn(std::string_view name, std::string_view type, int64_t count, int64_t distinct, json min = 1,
                  json max = 99) {
  Column column{.name = std::string(name), .type = std::string(type)};
  TakeProfile(Profile(name, type, count, distinct, std::move(min), std::move(max)), 100, column);
  return column;
}

TEST(AnalysisTest, AColumnsRoleIsFoundByWhatItHolds) {
  const std::pair<Column, Role> cases[] = {
      {MakeColumn("price", "real", 100, 80), Role::kMeasure},
      {MakeColumn("age", "integer", 100, 40), Role::kMeasure},
      {MakeColumn("row", "integer", 100, 100, 1, 100), Role::kIdentifier},  // Numbers the rows.
      {MakeColumn("customer_id", "integer", 100, 70, 5, 90000), Role::kIdentifier},
      {MakeColumn("zip", "integer", 100, 20, 10000, 99999), Role::kCategory},
      {MakeColumn("orderYear", "integer", 100, 12, 2001, 2012), Role::kTime},
      {MakeColumn("year", "integer", 100, 50, 1, 99), Role::kMeasure},  // No calendar's.
      {MakeColumn("flag", "integer", 100, 2, 0, 1), Role::kCategory},
      {MakeColumn("active", "boolean", 100, 2, 0, 1), Role::kCategory},
      {MakeColumn("day", "date", 100, 90, "2020-01-01", "2020-12-31"), Role::kTime},
      {MakeColumn("region", "text", 100, 5, "a", "z"), Role::kCategory},
      {MakeColumn("comment", "text", 100, 98, "a", "z"), Role::kText},
      {MakeColumn("country", "text", 100, 1, "a", "a"), Role::kConstant},
      {MakeColumn("nothing", "text", 0, 0, nullptr, nullptr), Role::kEmpty},
  };
  for (const auto& [column, role] : cases) {
    EXPECT_EQ(RoleName(column.role), RoleName(role)) << column.name;
  }
}

TEST(AnalysisTest, NamesAndNumbersAreQuotedForSql) {
  EXPECT_EQ(QuoteName("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(Literal(1), "1.0");
  EXPECT_EQ(Literal(-0.1), "(-0.1)");
  EXPECT_EQ(Literal(1e300), "1e+300");
}

Table Orders() {
  Table table{.name = "orders", .rows = 1000};
  table.columns = {MakeColumn("price \"net\"", "real", 100, 80), MakeColumn("weight", "real", 100, 80),
                   MakeColumn("region", "text", 100, 5, "a", "z"), MakeColumn("kind", "text", 100, 3, "a", "z"),
                   MakeColumn("day", "date", 100, 90, "2019-02-20", "2022-12-31")};
  return table;
}

TEST(AnalysisTest, StatementsReadTheRowsTheyNeed) {
  const Table table = Orders();
  // One without outliers, one with.
  Table plain = table;
  plain.columns[3].mean = 10.5;
  plain.columns[3].outliers.reset();
  EXPECT_EQ(SketchQuery(table, {2}, 1),
            "SELECT count(DISTINCT c0), count(c0), max(length(c0)) FROM (SELECT \"region\" AS c0 FROM "
            "main.\"orders\")");
  EXPECT_EQ(CorrelationSurvey(plain, {3, 1}, 7),
            "SELECT avg(c0), avg(c0 * c0), avg(k1), avg(k1 * k1), avg(c0 * c1), avg(c0 * k1) FROM "
            "(SELECT (\"kind\" - 10.5) AS c0, (\"weight\" - 10.5) AS c1, min(max((\"weight\" - 10.5), "
            "(-6.0)), 6.0) AS k1 FROM main.\"orders\" WHERE rowid % 7 = 0)");
  EXPECT_EQ(BreakdownQuery(table, 2, {1}, 10),
            "SELECT \"region\" AS value, count(*) AS n, 1.0 * count(*) / 1000 AS share, "
            "avg(\"weight\") AS \"mean of weight\" FROM main.\"orders\" "
            "WHERE \"region\" IS NOT NULL GROUP BY \"region\" ORDER BY n DESC, value LIMIT 10");
  EXPECT_EQ(TrendQuery(table, 4, Period::kMonth, {}),
            "SELECT substr(\"day\", 1, 7) AS period, count(*) AS n FROM main.\"orders\" WHERE \"day\" "
            "IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT 1000");
  // A column that hides the row's number.
  Table hiding = table;
  hiding.columns.push_back({.name = "ROWID", .type = "text"});
  EXPECT_EQ(SampleCondition(hiding, 3), "_rowid_ % 3 = 0");
  EXPECT_EQ(SampleStep(/*rows=*/100'000, /*work=*/100, /*budget=*/1'000'000), 10);
  EXPECT_EQ(SampleStep(50, 100, 1'000'000), 1);
}

TEST(AnalysisTest, SurveysOfManyLongNamesAreNoLongerThanAQueryMayBe) {
  Table table{.name = "answers", .rows = 1000};
  std::vector<size_t> all;
  std::vector<Pair> pairs;
  for (size_t i = 0; i < 60; ++i) {
    const std::string name = absl::StrCat(std::string(994, 'n'), 100 + i);
    table.columns.push_back(MakeColumn(name, "real", 100, 80));
    EXPECT_FALSE(IsTooLong(table.columns.back()));
    all.push_back(i);
    for (size_t j = 0; i < 10 && j < i; ++j) {
      pairs.push_back({j, i});
    }
  }
  EXPECT_TRUE(IsTooLong({.name = std::string(999, 'n')}));
  EXPECT_LE(SketchQuery(table, all, 7).size(), kMaxStatement);
  EXPECT_LE(CorrelationSurvey(table, {all.begin(), all.begin() + 30}, 7).size(), kMaxStatement);
  EXPECT_LE(EffectSurvey(table, 40, {all.begin(), all.begin() + 35}, 7).size(), kMaxStatement);
  // Each pair stands in one of several statements, under its number.
  const std::vector<std::string> statements = AssociationSurvey(table, pairs, 7);
  EXPECT_GT(statements.size(), 1u);
  const std::string joined = absl::StrJoin(statements, "\n");
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::string begin = absl::StrCat("SELECT ", i, " AS pair, ");
    EXPECT_EQ(joined.find(begin), joined.rfind(begin)) << i;
    EXPECT_THAT(joined, HasSubstr(begin));
  }
  for (const std::string& statement : statements) {
    EXPECT_LE(statement.size(), kMaxStatement);
    EXPECT_THAT(statement, StartsWith("SELECT "));
    // As it answers: a row for each pair.
    Rows answer;
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (absl::StrContains(statement, absl::StrCat("SELECT ", i, " AS pair, "))) {
        answer.rows.push_back({i, 0.5});
      }
    }
    pairs = ParseAssociationSurvey(std::move(pairs), answer);
  }
  EXPECT_TRUE(std::all_of(pairs.begin(), pairs.end(), [](const Pair& pair) { return pair.strength == 0.5; }));
}

TEST(AnalysisTest, TheStrongestPairsAreChosenWithoutOneColumnTakingAll) {
  const std::vector<Pair> chosen =
      Strongest({{0, 1, 0.5}, {0, 2, 0.9}, {0, 3, 0.8}, {1, 2, 0.3}, {4, 5, 0.05}}, /*limit=*/3,
                /*least=*/0.1, /*per_column=*/2);
  ASSERT_EQ(chosen.size(), 3u);
  EXPECT_EQ(chosen[0].b, 2u);
  EXPECT_EQ(chosen[1].b, 3u);
  EXPECT_EQ(chosen[2].a, 1u);  // Not a third one of column 0.
}

TEST(AnalysisTest, PeriodsThatTheDataCoverInPartAreNoPartOfATrend) {
  const Table table = Orders();
  EXPECT_EQ(ChoosePeriod(table.columns[4]), Period::kMonth);
  Rows answer;
  for (const std::string_view year : {"2019", "2020", "2021", "2022"}) {
    answer.rows.push_back({year, 25});
  }
  const Trend trend = ParseTrend(table, 4, Period::kYear, {}, answer, "");
  EXPECT_EQ(trend.periods[trend.first], "2020");
  EXPECT_EQ(trend.periods[trend.last], "2022");
  std::string first_year;
  std::string last_year;
  EXPECT_THAT(SeasonQuery(table, 4, &first_year, &last_year), HasSubstr("BETWEEN '2020' AND '2022'"));
  // One date a year: each stands for its whole year.
  Table yearly = table;
  yearly.columns[4].distinct = 4;
  EXPECT_EQ(ParseTrend(yearly, 4, Period::kYear, {}, answer, "").first, 0u);
}

// --- Questions ---

struct QuestionCase {
  std::string_view question;
  std::vector<std::string_view> columns;
  bool over_time = false;
};

TEST(QuestionTest, ColumnsAreFoundByTheWordsOfTheirNames) {
  std::vector<Column> columns;
  for (const std::string_view name :
       {"Flight Date", "Wildlife Species", "Cost Other", "Cost Repair", "Cost Total $", "Speed IAS in knots",
        "petalLength", "Origin State", "Temperature", "Time of day", "count"}) {
    columns.push_back({.name = std::string(name), .type = "text"});
  }
  const QuestionCase cases[] = {
      {"Which SPECIES is the most expensive?", {"Wildlife Species"}},
      {"total cost by state", {"Cost Total $", "Origin State"}},
      {"repair costs per species over time", {"Cost Repair", "Wildlife Species"}, true},
      {"How does speed depend on the time of day?", {"Speed IAS in knots", "Time of day"}},
      {"petal length against temp", {"petalLength", "Temperature"}},
      {"petallength vs. temperture", {"petalLength", "Temperature"}},
      {"average speed by month", {"Speed IAS in knots"}, true},
      {"the count", {"count"}},
      {"What is the average, the total, the highest?", {}},
      {"Tell me something nice", {}},
      {"", {}},
  };
  for (const QuestionCase& c : cases) {
    const Question question = MatchQuestion(c.question, columns);
    std::vector<std::string_view> found;
    for (const size_t column : question.columns) {
      found.push_back(columns[column].name);
    }
    EXPECT_EQ(found, c.columns) << c.question;
    EXPECT_EQ(question.over_time, c.over_time) << c.question;
  }
  const Question cost = MatchQuestion("cost", columns);
  ASSERT_EQ(cost.ambiguities.size(), 1u);
  EXPECT_EQ(cost.ambiguities[0].others.size(), 2u);
  EXPECT_EQ(MatchQuestion("weekly or monthly", columns).period, Period::kMonth);
}

TEST(QuestionTest, AValueStandsForItsColumn) {
  std::vector<Column> columns = {MakeColumn("state", "text", 100, 5, "a", "z")};
  columns[0].top = {{"New York", 50}, {"None", 10}};
  Question question = MatchQuestion("how many in new york, and none elsewhere?", columns);
  MatchValues(columns, question);
  ASSERT_EQ(question.values.size(), 1u);
  EXPECT_EQ(question.values[0].value, "New York");
  EXPECT_THAT(question.columns, ElementsAre(0u));
}

TEST(QuestionTest, TheAnswerFollowsFromTheColumnsRoles) {
  const Table table = Orders();
  using Kind = AnswerPart::Kind;
  const auto kinds = [&](std::string_view text) {
    std::vector<Kind> found;
    for (const AnswerPart& part : PlanAnswer(MatchQuestion(text, table.columns), table, 4)) {
      found.push_back(part.kind);
    }
    return found;
  };
  EXPECT_THAT(kinds("weight by region"), ElementsAre(Kind::kEffect));
  EXPECT_THAT(kinds("weight over time"), ElementsAre(Kind::kTrend));
  EXPECT_THAT(kinds("price and weight"), ElementsAre(Kind::kCorrelation));
  EXPECT_THAT(kinds("kind and region"), ElementsAre(Kind::kAssociation));
  EXPECT_THAT(kinds("how many per kind"), ElementsAre(Kind::kBreakdown));
  EXPECT_THAT(kinds("weight"), ElementsAre(Kind::kDistribution));
  EXPECT_THAT(kinds("who won"), IsEmpty());
}

// --- The report ---

Analysis Sample() {
  Analysis analysis{.file = "data/orders.csv", .agent = "analyst 1.0.0", .day = "2026-03-01", .table = Orders()};
  analysis.correlations = {{.a = 0,
                            .b = 1,
                            .count = 1000,
                            .r = 0.42,
                            .slope = 2,
                            .inner_count = 1000,
                            .inner_r = 0.42,
                            .sql = "SELECT 'r'"}};
  analysis.effects = {{.category = 2,
                       .outcome = 1,
                       .count = 1000,
                       .group_count = 2,
                       .eta_squared = 0.81,
                       .groups = {{"<b>West</b>", 400, 20, 8000}, {"East", 600, 10, 6000}},
                       .least_count = 10,
                       .sql = "SELECT 'eta'"}};
  analysis.pairs_compared = 5;
  return analysis;
}

TEST(ReportTest, FindingsComeByStrength) {
  Analysis analysis = Sample();
  analysis.table.columns[3].missing = 600;
  const std::vector<Finding> findings = FindFindings(analysis);
  ASSERT_GE(findings.size(), 3u);
  EXPECT_EQ(findings[0].kind, "effect");
  EXPECT_EQ(findings[0].text.Plain(),
            "weight differs by region: from 10 on average for \xE2\x80\x9C"
            "East\xE2\x80\x9D (n = 600) to 20 for \xE2\x80\x9C<b>West</b>\xE2\x80\x9D (n = 400); "
            "the groups explain "
            "81.0% of its variance.");
  for (size_t i = 1; i < findings.size(); ++i) {
    EXPECT_GE(findings[i - 1].strength, findings[i].strength);
  }
}

TEST(ReportTest, AReportHasItsSectionsInOrderWithTheSqlOfEach) {
  const Analysis analysis = Sample();
  const std::string report = ComposeReport(analysis, FindFindings(analysis));
  size_t at = 0;
  for (const std::string_view part :
       {"# What the data say: data/orders.csv", "1,000 rows and 5 columns", "## Findings",
        "1. **weight** differs by **region**", "## Overview", "## Columns", "## Missing values",
        "## Outliers and spread", "## Relations", "| price \"net\" | weight | 1,000 | 0.420 |", "SELECT 'r';",
        "20 (&lt;b&gt;West&lt;/b&gt;)", "SELECT 'eta';", "## How far this goes", "5 pairs of columns"}) {
    const size_t found = report.find(part, at);
    ASSERT_NE(found, std::string::npos) << part << " after " << report.substr(0, at);
    at = found;
  }
  EXPECT_THAT(report, Not(HasSubstr("<b>")));
  EXPECT_EQ(report, ComposeReport(analysis, FindFindings(analysis)));
}

TEST(ReportTest, ARelationThatAFewRowsMakeIsSaidToBeOne) {
  Analysis analysis = Sample();
  analysis.correlations[0].inner_r = 0.01;
  analysis.correlations[0].inner_count = 990;
  const std::vector<Finding> findings = FindFindings(analysis);
  const auto relation = std::find_if(findings.begin(), findings.end(),
                                     [](const Finding& finding) { return finding.kind == "correlation"; });
  ASSERT_NE(relation, findings.end());
  EXPECT_THAT(relation->text.Plain(), HasSubstr("but 0.01 without the rows that have an outlier in either"));
  EXPECT_LT(relation->strength, 0.3);
}

TEST(ReportTest, ARelationThatAFewRowsHideIsFound) {
  Analysis analysis = Sample();
  analysis.correlations[0].r = 0.02;
  analysis.correlations[0].inner_r = 0.9;
  analysis.correlations[0].inner_count = 990;
  const std::vector<Finding> findings = FindFindings(analysis);
  const auto relation = std::find_if(findings.begin(), findings.end(),
                                     [](const Finding& finding) { return finding.kind == "correlation"; });
  ASSERT_NE(relation, findings.end());
  EXPECT_THAT(relation->text.Plain(), HasSubstr("left out: r = 0.90 over 990 rows. With them it is 0.02."));
  EXPECT_GT(relation->strength, 0.7);
}

TEST(ReportTest, AGroupThatCarriesMuchOfASumIsNamed) {
  Analysis analysis = Sample();
  Column& weight = analysis.table.columns[1];
  weight.name = "cost";
  weight.count = 1000;
  weight.mean = 14;
  analysis.effects[0].groups = {{"East", 100, 100, 10000}, {"West", 900, 4.44, 4000}};
  const std::vector<Finding> findings = FindFindings(analysis);
  ASSERT_FALSE(findings.empty());
  EXPECT_THAT(findings, ::testing::Contains(::testing::Field(&Finding::kind, "share")));
  for (const Finding& finding : findings) {
    if (finding.kind == "share") {
      EXPECT_EQ(finding.text.Plain(),
                "\xE2\x80\x9C"
                "East\xE2\x80\x9D stands in 10.0% of the rows as region and carries 71.4% of the "
                "sum of cost: 10,000 of 14,000.");
    }
  }
}

size_t Characters(const json& text) {
  const auto& bytes = text.get_ref<const std::string&>();
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

TEST(ReportTest, NamesOfAnyLengthFitOnCharts) {
  Analysis analysis = Sample();
  // Alike but for their ends, which are cut off.
  for (size_t i = 0; i < analysis.table.columns.size(); ++i) {
    std::string name = "n";
    for (int letter = 0; letter < 148; ++letter) {
      name += "\u00e9";
    }
    analysis.table.columns[i].name = absl::StrCat(name, i);
  }
  const Trend trend = {.time = 4,
                       .period = Period::kYear,
                       .outcomes = {1},
                       .periods = {"2020", "2021", "2022"},
                       .counts = {5, 6, 7},
                       .means = {{1.0}, {2.0}, {3.0}},
                       .last = 2};
  analysis.answers = {{.trend = trend},
                      {.effect = analysis.effects[0]},
                      {.correlation = analysis.correlations[0]},
                      {.breakdown = Breakdown{.category = 2, .groups = {{"West", 400}}}}};
  // Of other columns than the answers', with titles that begin as theirs do.
  analysis.effects[0].category = 3;
  std::swap(analysis.correlations[0].a, analysis.correlations[0].b);
  analysis.trend = trend;
  analysis.table.columns[1].histogram = json::array({1, 2, 3});

  const std::vector<Chart> charts = PlanCharts(analysis);

  std::vector<std::string> files;
  for (const Chart& chart : charts) {
    files.push_back(chart.file);
    EXPECT_LE(Characters(chart.input.at("title")), 200u) << chart.file;
    for (const char* label : {"x_label", "y_label"}) {
      EXPECT_LE(Characters(chart.input.at(label)), 100u) << chart.file;
    }
    EXPECT_THAT(chart.input.at("x_label").get<std::string>(), EndsWith("\u00e9\u2026")) << chart.file;
  }
  EXPECT_THAT(files, ElementsAre("answer-1.svg", "answer-2.svg", "answer-3.svg", "answer-4.svg", "rows-over-time.svg",
                                 "groups.svg", "relation.svg", "spread.svg"));
}

TEST(ReportTest, AnEmptyTableHasAShortReport) {
  Analysis analysis{.file = "x.csv", .table = {.name = "x", .rows = 0, .columns = {{.name = "a"}, {.name = "b"}}}};
  const std::vector<Finding> findings = FindFindings(analysis);
  EXPECT_THAT(findings, IsEmpty());
  EXPECT_EQ(ComposeSummary(analysis, findings), "The file has 2 columns and no rows.");
  EXPECT_THAT(ComposeReport(analysis, findings),
              AllOf(StartsWith("# What the data say: x.csv"), HasSubstr("there is nothing to find"),
                    Not(HasSubstr("## Missing"))));
}

}  // namespace
}  // namespace bulkhead::agent::analyst
