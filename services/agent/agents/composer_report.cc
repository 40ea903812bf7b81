#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/agents/composer.h"

namespace bulkhead::agent::analyst {

std::string Composer::Report(const std::vector<Finding>& findings) {
  Document document;
  document.title.Say("What the data say: ").Say(a_.file);
  Sentence preface;
  preface.Say(absl::StrCat(FormatCount(a_.table.rows), a_.table.rows == 1 ? " row" : " rows", " and ",
                           FormatCount(static_cast<int64_t>(a_.table.columns.size())),
                           a_.table.columns.size() == 1 ? " column" : " columns", " of "));
  preface.Name(a_.file)
      .Say(absl::StrCat(", analysed on ", a_.day, " by ", a_.agent, ". The numbers come from SQL over the table "))
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

void Composer::AddCharts(Place place, Section& section) const {
  for (const Chart& chart : a_.charts) {
    if (chart.place == place) {
      section.blocks.push_back(Picture{chart.title.Plain(), chart.file});
    }
  }
}

Section Composer::Headlines(const std::vector<Finding>& findings) const {
  Section section{.title = "Findings"};
  if (a_.table.rows == 0) {
    section.blocks.push_back(Paragraph{"The file has a header and no rows: there is nothing to find."});
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
  section.blocks.push_back(Paragraph{"The strongest come first. What goes together need not cause one another."});
  return section;
}

void Composer::AddStatements(const analyst::Column& column, std::initializer_list<std::string_view> keys,
                             Evidence& evidence) {
  for (const std::string_view key : keys) {
    for (const Statement& statement : column.statements) {
      if (statement.label == absl::StrCat(column.name, ": ", key)) {
        evidence.statements.push_back(statement);
      }
    }
  }
}

Section Composer::Limits() const {
  Section section{.title = "How far this goes"};
  Bullets bullets;
  if (a_.table.rows > 0) {
    bullets.items.push_back(
        "Nobody designed an experiment here: a relation may come from a third thing that moves "
        "both, and from how the rows were collected.");
    if (a_.pairs_compared > 0) {
      bullets.items.push_back(
          absl::StrCat(FormatCount(static_cast<int64_t>(a_.pairs_compared)),
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
  bool too_long = false;
  for (const analyst::Column& column : a_.table.columns) {
    not_profiled += column.profiled ? 0 : 1;
    too_long = too_long || IsTooLong(column);
  }
  if (not_profiled > 0 && a_.table.rows > 0) {
    Sentence s(absl::StrCat("Left out: ", not_profiled, " of the ", a_.table.columns.size(),
                            " columns are not profiled, to keep the work bounded; a question "
                            "that names them has them in",
                            too_long ? ", except for those with names of more than 1,000 bytes" : "",
                            ". The first ones: "));
    int named = 0;
    for (const analyst::Column& column : a_.table.columns) {
      if (!column.profiled && named < 10) {
        s.Say(named++ == 0 ? "" : ", ").Name(column.name);
      }
    }
    bullets.items.push_back(s.Say("."));
  }
  if (a_.measures_left_out > 0 || a_.categories_left_out > 0) {
    bullets.items.push_back(absl::StrCat("Left out: relations were looked for between ", a_.measures_compared,
                                         " numeric columns and ", a_.categories_compared, " categories; ",
                                         a_.measures_left_out, " and ", a_.categories_left_out,
                                         " more were not compared."));
  }
  if (a_.sample_step > 1) {
    bullets.items.push_back(
        absl::StrCat("Which pairs are worth a line was found out on a sample, up to one row in ", a_.sample_step,
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

}  // namespace bulkhead::agent::analyst
