// Which columns a question in plain words is about, and what it wants to know of them. No language
// model: words are compared. Pure.
#ifndef SERVICES_AGENT_AGENTS_QUESTION_H_
#define SERVICES_AGENT_AGENTS_QUESTION_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/agent/agents/analysis.h"

namespace bulkhead::agent::analyst {

struct Question {
  // A word that fits several columns equally well; the first of them was taken.
  struct Ambiguity {
    std::string words;
    size_t taken = 0;
    std::vector<size_t> others;
  };
  struct ValueMention {
    size_t column = 0;
    std::string value;
  };

  std::string text;
  std::vector<size_t> columns;  // In the order of mention.
  std::vector<Ambiguity> ambiguities;
  std::vector<ValueMention> values;
  bool over_time = false;        // "over time", "trend", "by month".
  std::optional<Period> period;  // "by month"
  bool lowest = false;           // "lowest", "fewest": what it asks for stands at the lower end.
  // Its words that name no column yet; MatchValues looks for values in them.
  std::vector<std::string> rest;
};

// Names are compared by their words, in any case, in singular or plural, abbreviated ("temp"), with
// a slip ("temperture"), or written as one ("petallength").
Question MatchQuestion(std::string_view text, const std::vector<Column>& columns);

// Takes the columns of whose most frequent values the question names one: "in Texas".
void MatchValues(const std::vector<Column>& columns, Question& question);

// One step of the answer.
struct AnswerPart {
  enum class Kind {
    kEffect,        // `b`, a number, by `a`, a category.
    kTrend,         // `outcomes` over `a`, a time.
    kCorrelation,   // `a` and `b`, numbers.
    kAssociation,   // `a` and `b`, categories.
    kBreakdown,     // How often each value of `a`.
    kDistribution,  // How the numbers of `a` are spread. Needs no query.
  };
  Kind kind = Kind::kBreakdown;
  size_t a = 0;
  size_t b = 0;
  Period period = Period::kYear;
  std::vector<size_t> outcomes;
};

// At most four. `main_time` is the column that "over time" means.
std::vector<AnswerPart> PlanAnswer(const Question& question, const Table& table, std::optional<size_t> main_time);

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_QUESTION_H_
