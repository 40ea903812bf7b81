// The built-in analyst on the whole platform: it finds what is there, says no more than its SQL
// gives, and stays within its bounds.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/civil_time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agents/markdown.h"
#include "services/bulkhead/demo/data_set.h"
#include "services/common/json/struct_json.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/resource_name.h"
#include "testing/harness/harness.h"

namespace bulkhead::testing {
namespace {

using ::nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// The same numbers in each run.
class Noise {
 public:
  // About normal, mean 0, deviation 1.
  double Next() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      sum += static_cast<double>(state_ >> 33) / static_cast<double>(uint64_t{1} << 31);
    }
    return sum;
  }

 private:
  uint64_t state_ = 42;
};

struct Analysed {
  agent::v1::Run run;
  std::string report;
  json data;
};

class AnalystTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK_AND_ASSIGN(platform_, Harness::Builder().WithUsers({"ada"}).Build()); }

  User& ada() { return platform_->As("ada"); }

  absl::StatusOr<Analysed> Analyse(std::string_view file, std::string_view content, std::string_view question = "") {
    RETURN_IF_ERROR(ada().UploadFile(file, content).status());
    json input = {{"file", file}};
    if (!question.empty()) {
      input["question"] = question;
    }
    ASSIGN_OR_RETURN(const std::string run, ada().StartRun("analyst", input));
    Analysed analysed;
    ASSIGN_OR_RETURN(analysed.run, ada().WaitForRun(run));
    if (analysed.run.state() != agent::v1::RUN_STATE_SUCCEEDED) {
      return absl::InternalError(analysed.run.error().message());
    }
    analysed.data = ToJson(analysed.run.answer().data());
    ASSIGN_OR_RETURN(analysed.report, ada().ReadFile(analysed.data.at("report").get<std::string>()));
    return analysed;
  }

  std::unique_ptr<Harness> platform_;
};

// The texts of the findings of a kind, joined.
std::string FindingsOf(const Analysed& analysed, std::string_view kind) {
  std::vector<std::string> texts;
  for (const json& finding : analysed.data.at("findings")) {
    if (finding.at("kind") == kind) {
      texts.push_back(finding.at("text").get<std::string>());
    }
  }
  return absl::StrJoin(texts, "\n");
}

std::string Section(const std::string& report, std::string_view title) {
  const size_t begin = report.find(absl::StrCat("\n## ", title));
  if (begin == std::string::npos) {
    return "";
  }
  return report.substr(begin, report.find("\n## ", begin + 1) - begin);
}

TEST_F(AnalystTest, WhatIsPlantedIsFound) {
  Covers({"AE-2", "AE-3"});
  Noise noise;
  std::string csv = "order,day,region,weight,price,discount,note\n";
  const std::vector<std::string> regions = {"North", "South", "East"};
  const absl::CivilDay first(2021, 1, 1);
  for (int i = 0; i < 1000; ++i) {
    const double weight = 10 + noise.Next();
    // Dearer with the weight, dearer in the East.
    double price = 20 + 5 * weight + 2 * noise.Next() + (i % 3 == 2 ? 12 : 0);
    if (i == 500) {
      price = 9000;
    }
    // Grows by one a year.
    const double discount = 2 + i / 365.0 + 0.2 * noise.Next();
    absl::StrAppend(&csv, 1000 + i, ",", absl::FormatCivilTime(first + i), ",", regions[static_cast<size_t>(i % 3)],
                    ",", weight, ",", price, ",", i % 4 == 0 ? "" : absl::StrCat(discount), ",", i, " in words\n");
  }

  ASSERT_OK_AND_ASSIGN(const Analysed analysed, Analyse("shop/orders.csv", csv));

  EXPECT_EQ(analysed.data.at("rows"), 1000);
  EXPECT_EQ(analysed.data.at("columns"), 7);
  EXPECT_EQ(analysed.data.at("table"), "shop_orders");
  EXPECT_THAT(FindingsOf(analysed, "outliers"), AllOf(HasSubstr("price has"), HasSubstr("9,000")));
  EXPECT_THAT(FindingsOf(analysed, "correlation"),
              HasSubstr("weight and price rise together once the rows with an outlier in either "
                        "are left out: r = 0."));
  EXPECT_THAT(FindingsOf(analysed, "trend"),
              AllOf(HasSubstr("The mean of discount rises from"), HasSubstr("in 2021-01 to")));
  EXPECT_THAT(FindingsOf(analysed, "missing"), HasSubstr("discount is missing in 25.0% of the rows (250)."));
  // A number that only numbers the rows is no measure.
  EXPECT_THAT(Section(analysed.report, "Relations"), Not(HasSubstr("| order |")));
  EXPECT_THAT(analysed.report, HasSubstr("| order | integer | identifier |"));
  // The report first, then its charts; each is there and embedded.
  ASSERT_GE(analysed.run.answer().artifacts_size(), 3);
  const std::string folder = absl::StrCat("reports/", IdOf(analysed.run.name()), "/");
  EXPECT_EQ(analysed.run.answer().artifacts(0), absl::StrCat(ada().name(), "/files/", folder, "report.md"));
  for (int i = 1; i < analysed.run.answer().artifacts_size(); ++i) {
    const std::string& artifact = analysed.run.answer().artifacts(i);
    ASSERT_OK_AND_ASSIGN(const std::string svg, ada().ReadFile(artifact.substr(artifact.find("/files/") + 7)));
    EXPECT_THAT(svg, HasSubstr("<svg"));
    EXPECT_THAT(analysed.report, HasSubstr(absl::StrCat("](", IdOf(artifact), ")")));
  }
  // It says what it does.
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ada().EventTypesOf(analysed.run.name()));
  const auto thoughts = std::count(events.begin(), events.end(), "agent_thinking");
  EXPECT_THAT(thoughts, AllOf(::testing::Ge(3), ::testing::Le(8)));
}

// A table of the report with the statements right under it.
struct Evidence {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> statements;
};

std::vector<std::string> Cells(std::string_view line) {
  std::vector<std::string> cells = absl::StrSplit(line.substr(2, line.size() - 4), " | ");
  return cells;
}

std::vector<Evidence> EvidenceOf(const std::string& report) {
  std::vector<Evidence> all;
  Evidence current;
  std::vector<std::string> lines = absl::StrSplit(report, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    if (absl::StartsWith(lines[i], "|")) {
      current = {.header = Cells(lines[i])};
      for (i += 2; i < lines.size() && absl::StartsWith(lines[i], "|"); ++i) {
        current.rows.push_back(Cells(lines[i]));
      }
    } else if (absl::StartsWith(lines[i], "```") && absl::EndsWith(lines[i], "sql")) {
      const std::string fence = lines[i].substr(0, lines[i].size() - 3);
      std::string code;
      for (++i; i < lines.size() && lines[i] != fence; ++i) {
        absl::StrAppend(&code, lines[i], "\n");
      }
      for (const std::string_view part : absl::StrSplit(code, ";\n", absl::SkipEmpty())) {
        // A comment line, then the statement.
        const size_t begin = part.find('\n', part.find("-- "));
        if (begin != std::string_view::npos) {
          current.statements.emplace_back(part.substr(begin + 1));
        }
      }
      all.push_back(std::move(current));
      current = {};
    }
  }
  return all;
}

// The ways in which the report may write a number.
void AddForms(double value, std::set<std::string>& forms) {
  forms.insert(agent::analyst::FormatNumber(value));
  forms.insert(agent::analyst::FormatShare(value));
  forms.insert(absl::StrFormat("%.2f", value));
  forms.insert(absl::StrFormat("%.3f", value));
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    forms.insert(agent::analyst::FormatCount(static_cast<int64_t>(value)));
  }
}

TEST_F(AnalystTest, EveryNumberOfTheDemoReportIsWhatItsSqlGives) {
  Covers({"AE-3", "TD-5"});
  ASSERT_OK_AND_ASSIGN(const Analysed analysed,
                       Analyse(demo::kDataSetName, demo::DataSet(), "How do repair costs depend on wildlife size?"));

  int checked = 0;
  for (const Evidence& evidence : EvidenceOf(analysed.report)) {
    std::set<std::string> forms;
    for (const std::string& sql : evidence.statements) {
      SCOPED_TRACE(sql);
      ASSERT_OK_AND_ASSIGN(const json answer, ada().InvokeTool("table.query", {{"sql", sql}, {"max_rows", 1000}}));
      for (const json& row : answer.at("rows")) {
        for (const json& value : row) {
          if (value.is_number()) {
            AddForms(value.get<double>(), forms);
          }
        }
      }
    }
    for (const auto& row : evidence.rows) {
      ASSERT_EQ(row.size(), evidence.header.size()) << absl::StrJoin(row, " | ");
      for (size_t i = 1; i < row.size(); ++i) {
        // "85.2 (Landing Roll)" is 85.2; shares of a whole are divisions of the numbers beside
        // them.
        const std::string number = row[i].substr(0, row[i].find(' '));
        const bool is_number =
            !number.empty() && (absl::ascii_isdigit(number[0]) ||
                                (number.size() > 1 && number[0] == '-' && absl::ascii_isdigit(number[1])));
        const std::string& header = evidence.header[i];
        if (!is_number || number.find('-', 1) != std::string::npos || header == "ratio" || header == "distance" ||
            header == "expected from" || header == "to" || header.find_first_not_of(' ') == std::string::npos ||
            (absl::EndsWith(number, "%") && !forms.contains(number))) {
          continue;
        }
        EXPECT_TRUE(forms.contains(number))
            << row[i] << " in | " << absl::StrJoin(row, " | ") << " under | " << absl::StrJoin(evidence.header, " | ");
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 200);
  EXPECT_THAT(Section(analysed.report, "Your question"),
              AllOf(HasSubstr("**Cost Repair**"), HasSubstr("**Wildlife Size**")));
  EXPECT_THAT(analysed.data.at("findings"), SizeIs(::testing::Ge(5u)));
}

TEST_F(AnalystTest, AQuestionIsAnsweredFirst) {
  Covers({"AE-3"});
  std::string csv = "Sales Region,unit_price,Sold on\n";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&csv, i % 2 == 0 ? "North" : "South", ",", i % 2 == 0 ? 10 + i % 5 : 30 + i % 5, ",",
                    absl::FormatCivilTime(absl::CivilDay(2022, 1, 1) + i), "\n");
  }

  ASSERT_OK_AND_ASSIGN(const Analysed analysed,
                       Analyse("sales.csv", csv, "What is the highest average price by region?"));

  EXPECT_EQ(analysed.data.at("question").at("columns"), json::array({"unit_price", "Sales Region"}));
  EXPECT_THAT(analysed.run.answer().summary(),
              StartsWith("The mean of unit_price is highest where Sales Region is “South”: 32 (n = 30)"));
  EXPECT_LT(analysed.report.find("## Your question"), analysed.report.find("## Findings"));

  ASSERT_OK_AND_ASSIGN(const Analysed unknown, Analyse("sales.csv", csv, "Who will win the cup?"));
  EXPECT_THAT(unknown.data.at("question").at("columns"), SizeIs(0));
  EXPECT_THAT(Section(unknown.report, "Your question"), HasSubstr("found none of the table's columns in it"));
}

TEST_F(AnalystTest, AFileWithOnlyAHeaderGivesAShortReport) {
  Covers({"AE-2"});
  ASSERT_OK_AND_ASSIGN(const Analysed analysed, Analyse("empty.csv", "a,b,c\n", "average a by b"));
  EXPECT_EQ(analysed.run.answer().summary(), "The file has 3 columns and no rows.");
  EXPECT_THAT(analysed.report, AllOf(HasSubstr("0 rows and 3 columns"), HasSubstr("there is nothing to find")));
  EXPECT_EQ(analysed.run.answer().artifacts_size(), 1);
}

TEST_F(AnalystTest, FiveHundredColumnsAreBoundedAndTheReportSaysSo) {
  Covers({"AE-8"});
  std::string csv;
  for (int row = -1; row < 40; ++row) {
    for (int column = 0; column < 500; ++column) {
      absl::StrAppend(&csv, column == 0 ? "" : ",",
                      row < 0 ? absl::StrCat("c", column) : absl::StrCat((row * 7919 + column * 104729) % 1009, ".5"));
    }
    csv += '\n';
  }

  ASSERT_OK_AND_ASSIGN(const Analysed analysed, Analyse("wide.csv", csv, "c400 versus c450"));

  EXPECT_THAT(analysed.report, AllOf(HasSubstr("are not profiled, to keep the work bounded"),
                                     HasSubstr("| c400 | real | measure |"), Not(HasSubstr("| c300 | real |"))));
  EXPECT_EQ(analysed.data.at("question").at("columns"), json::array({"c400", "c450"}));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ada().EventTypesOf(analysed.run.name()));
  EXPECT_LT(std::count(events.begin(), events.end(), "tool_executing"), 150);
}

// The tables of a report, without the statements.
std::vector<std::vector<std::string>> RowsOf(const std::string& report) {
  std::vector<std::vector<std::string>> rows;
  for (const Evidence& evidence : EvidenceOf(report)) {
    rows.push_back(evidence.header);
    rows.insert(rows.end(), evidence.rows.begin(), evidence.rows.end());
  }
  return rows;
}

TEST_F(AnalystTest, NoNameOfTheFileIsTakenForOneOfTheStatements) {
  Covers({"AE-3"});
  // Columns named as results of the statements are, and the same ones with other names.
  const std::vector<std::pair<std::string, std::string>> names = {{"qqa", "period"}, {"qqb", "month"}, {"qqc", "bin"},
                                                                  {"qqd", "n0"},     {"qqe", "a"},     {"qqf", "value"},
                                                                  {"qqg", "c0"},     {"qqh", "x"},     {"qqi", "y0"}};
  Noise noise;
  std::string header = "day";
  for (const auto& [plain, own] : names) {
    absl::StrAppend(&header, ",", plain);
  }
  std::string rows = "\n";
  for (int i = 0; i < 1200; ++i) {
    const double base = 10 + noise.Next() + i % 3 + i / 400.0;
    const double heap = i % 50 == 0 ? 400 : base + noise.Next();
    absl::StrAppend(&rows, absl::FormatCivilTime(absl::CivilDay(2019, 1, 1) + i), ",", base, ",", i % 7 + noise.Next(),
                    ",", heap, ",", "group ", i % 5, ",", "kind ", (i % 5 + i % 7 / 6) % 3, ",", "class ", i % 3, ",",
                    2 * base + noise.Next(), ",", noise.Next(), ",", heap + noise.Next(), "\n");
  }
  constexpr std::string_view kQuestion = "What has been the trend?";
  ASSERT_OK_AND_ASSIGN(const Analysed plain, Analyse("plain.csv", header + rows, kQuestion));
  const std::vector<std::vector<std::string>> expected = RowsOf(absl::StrReplaceAll(plain.report, names));
  EXPECT_THAT(Section(plain.report, "Relations"),
              AllOf(HasSubstr("Between numbers"), HasSubstr("Of groups"), HasSubstr("Between categories")));
  EXPECT_THAT(plain.report, AllOf(HasSubstr("| month | rows |"), HasSubstr("line through the whole months")));

  const std::string own_header = absl::StrReplaceAll(header, names);
  ASSERT_OK_AND_ASSIGN(const Analysed columns, Analyse("plain.csv", own_header + rows, kQuestion));
  EXPECT_EQ(RowsOf(columns.report), expected);
  // Tables named as the parts of the statements are.
  for (const char* table : {"d", "s", "g", "e", "c", "ra", "rb", "k", "p", "i", "ends", "wanted"}) {
    SCOPED_TRACE(table);
    ASSERT_OK_AND_ASSIGN(const Analysed named, Analyse(absl::StrCat(table, ".csv"), own_header + rows, kQuestion));
    EXPECT_EQ(named.data.at("table"), table);
    EXPECT_EQ(RowsOf(named.report), expected);
  }
}

TEST_F(AnalystTest, FortyNumbersWithLongNamesAndLongTailsAreCompared) {
  Covers({"AE-8"});
  Noise noise;
  std::string csv;
  for (int row = -1; row < 120; ++row) {
    const double common = noise.Next();
    for (int column = 0; column < 40; ++column) {
      absl::StrAppend(&csv, column == 0 ? "" : ",",
                      row < 0 ? absl::StrFormat("column %02d %s", column, std::string(50, 'n'))
                              : absl::StrCat(std::exp(common + noise.Next())));
    }
    csv += '\n';
  }
  ASSERT_OK_AND_ASSIGN(const Analysed analysed, Analyse("wide.csv", csv));
  EXPECT_THAT(FindingsOf(analysed, "correlation"), HasSubstr("column"));
}

TEST_F(AnalystTest, SentencesAsNamesAreAnalysedAndDrawn) {
  Covers({"AE-5", "AE-8"});
  // Longer than a chart's words may be, and not of ASCII. One that no statement could hold is left out.
  std::string words;
  for (int i = 0; i < 140; ++i) {
    absl::StrAppend(&words, "\u00e9");
  }
  Noise noise;
  std::string csv = absl::StrCat(words, " price,", words, " weight,", words, " day,", std::string(30'000, 'z'));
  for (int i = 0; i < 12; ++i) {
    absl::StrAppend(&csv, ",", words, " group ", i);
  }
  csv += '\n';
  for (int row = 0; row < 300; ++row) {
    const double weight = 10 + noise.Next() + row % 3;
    absl::StrAppend(&csv, weight + noise.Next(), ",", weight, ",",
                    absl::FormatCivilTime(absl::CivilDay(2021, 1, 1) + row), ",", row % 4 == 0 ? "" : "1");
    for (int i = 0; i < 12; ++i) {
      absl::StrAppend(&csv, ",v", row % (i + 3));
    }
    csv += '\n';
  }
  ASSERT_OK_AND_ASSIGN(const Analysed analysed,
                       Analyse("named.csv", csv, "price by group 0, price over weight, by month"));
  EXPECT_THAT(Section(analysed.report, "Your question"), HasSubstr(".svg)"));
  EXPECT_THAT(Section(analysed.report, "Relations"),
              AllOf(HasSubstr("Between numbers"), HasSubstr("Of groups"), HasSubstr("Between categories")));
  EXPECT_THAT(analysed.report, HasSubstr("except for those with names of more than 1,000 bytes"));
}

TEST_F(AnalystTest, NumbersAtTheEndsOfWhatADoubleHoldsAreReported) {
  Covers({"AE-5"});
  std::string csv = "huge,tiny,region\n";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&csv, i % 2 == 0 ? "-" : "", 1 + i / 100.0, "e308,", i, "e-320,", i % 3 == 0 ? "North" : "South",
                    "\n");
  }
  ASSERT_OK_AND_ASSIGN(const Analysed analysed, Analyse("extremes.csv", csv, "huge by region, tiny"));
  EXPECT_THAT(analysed.report, AllOf(HasSubstr("| huge | real | measure |"), HasSubstr("1.59e+308")));
}

TEST_F(AnalystTest, HostileDataStaysData) {
  Covers({"AE-5"});
  std::string csv = "\"a|b`<script>\",\"```\n# x\",\"drop\"\"; --\",rowid\n";
  for (int i = 0; i < 80; ++i) {
    absl::StrAppend(&csv, "\"</details>|", i % 4, " [x](http://evil.example)\",\"```sql\n", i % 5, "\",", i % 7, ",",
                    i * i % 31, "\n");
  }

  ASSERT_OK_AND_ASSIGN(const Analysed analysed, Analyse("hostile.csv", csv, "drop by rowid <b>"));

  // Outside of the fenced statements nothing of it acts.
  std::string fence;
  for (const std::string_view line : absl::StrSplit(analysed.report, '\n')) {
    if (fence.empty() && absl::StartsWith(line, "```")) {
      fence = line.substr(0, line.rfind('`') + 1);
    } else if (line == fence) {
      fence.clear();
    } else if (fence.empty()) {
      EXPECT_THAT(line, AllOf(Not(HasSubstr("<script>")), Not(HasSubstr("</details>|")), Not(HasSubstr("[x](")),
                              Not(HasSubstr("<b>"))));
    }
  }
  EXPECT_EQ(fence, "");
}

TEST_F(AnalystTest, AToolsErrorIsTheRunsError) {
  Covers({"AE-5"});
  ASSERT_OK(ada().UploadFile("ragged.csv", "a,b\n1,2\n3\n"));
  ASSERT_OK_AND_ASSIGN(const std::string ragged, ada().StartRun("analyst", {{"file", "ragged.csv"}}));
  ASSERT_OK_AND_ASSIGN(const std::string absent, ada().StartRun("analyst", {{"file", "absent.csv"}}));

  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ragged_run, ada().WaitForRun(ragged));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run absent_run, ada().WaitForRun(absent));

  EXPECT_EQ(ragged_run.state(), agent::v1::RUN_STATE_FAILED);
  EXPECT_EQ(ragged_run.error().reason(), "TABLE_ROW_RAGGED");
  EXPECT_THAT(ragged_run.error().message(), HasSubstr("3"));
  EXPECT_EQ(absent_run.error().reason(), "FILE_NOT_FOUND");
}

}  // namespace
}  // namespace bulkhead::testing
