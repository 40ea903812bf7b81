#include "services/agent/agents/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "services/agent/agents/composer.h"

namespace bulkhead::agent::analyst {

std::vector<Finding> FindFindings(const Analysis& analysis) { return Composer(analysis).Findings(); }

std::string ComposeSummary(const Analysis& analysis, const std::vector<Finding>& findings) {
  if (analysis.table.rows == 0) {
    return absl::StrCat("The file has ", analysis.table.columns.size(), " columns and no rows.");
  }
  const std::vector<Sentence> answers = Composer(analysis).AnswerSentences();
  if (!answers.empty()) {
    return answers.front().Plain();
  }
  std::string summary =
      absl::StrCat(FormatCount(analysis.table.rows), " rows, ", analysis.table.columns.size(), " columns.");
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
