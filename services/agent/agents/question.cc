#include "services/agent/agents/question.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/agent/agents/analysis.h"

namespace bulkhead::agent::analyst {
namespace {

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Words that never name a column.
bool IsGrammar(std::string_view word) {
  return IsOneOf(word, {"a",       "an",       "and",          "any",       "are",        "as",          "at",
                        "be",      "been",     "between",      "by",        "can",        "cause",       "causes",
                        "depend",  "depends",  "did",          "do",        "does",       "each",        "every",
                        "for",     "from",     "had",          "has",       "have",       "how",         "if",
                        "in",      "is",       "it",           "its",       "me",         "more",        "of",
                        "on",      "or",       "over",         "per",       "please",     "show",        "tell",
                        "than",    "that",     "the",          "their",     "there",      "these",       "they",
                        "this",    "those",    "to",           "under",     "versus",     "vs",          "was",
                        "were",    "what",     "when",         "where",     "which",      "who",         "why",
                        "will",    "with",     "we",           "affect",    "affects",    "influence",   "relate",
                        "related", "relation", "relationship", "correlate", "correlated", "correlation", "differ",
                        "differs", "against",  "across",       "among",     "most",       "least",       "highest",
                        "lowest",  "largest",  "smallest",     "best",      "worst",      "fewest",      "biggest",
                        "trend",   "trends"});
}

// Words that ask for a calculation more often than they name a column.
bool IsWeak(std::string_view word) {
  return IsOneOf(word,
                 {"amount",  "average", "avg",    "count", "date",    "day",   "days",   "hour", "many",   "max",
                  "maximum", "mean",    "median", "min",   "minimum", "month", "months", "much", "number", "percent",
                  "rate",    "share",   "sum",    "time",  "top",     "total", "value",  "year", "years"});
}

std::string Stem(std::string_view word) {
  std::string stem(word);
  if (stem.size() > 4 && absl::EndsWith(stem, "ies")) {
    stem.replace(stem.size() - 3, 3, "y");
  } else if (stem.size() > 4 &&
             (absl::EndsWith(stem, "ses") || absl::EndsWith(stem, "xes") || absl::EndsWith(stem, "hes"))) {
    stem.resize(stem.size() - 2);
  } else if (stem.size() > 3 && absl::EndsWith(stem, "s") && !absl::EndsWith(stem, "ss")) {
    stem.pop_back();
  }
  return stem;
}

// One letter more, less, other, or two exchanged.
bool IsSlip(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) {
    std::swap(a, b);
  }
  if (b.size() - a.size() > 1) {
    return false;
  }
  size_t begin = 0;
  while (begin < a.size() && a[begin] == b[begin]) {
    ++begin;
  }
  size_t end = 0;
  while (end < a.size() - begin && a[a.size() - 1 - end] == b[b.size() - 1 - end]) {
    ++end;
  }
  const std::string_view rest_a = a.substr(begin, a.size() - begin - end);
  const std::string_view rest_b = b.substr(begin, b.size() - begin - end);
  return rest_b.size() <= 1 ||
         (rest_a.size() == 2 && rest_b.size() == 2 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0]);
}

// How well a word of the question fits a word of a name: 0 to 1.
double Fit(std::string_view asked, std::string_view named) {
  if (asked == named) {
    return 1;
  }
  const std::string a = Stem(asked);
  const std::string b = Stem(named);
  if (a == b) {
    return 0.95;
  }
  if (a.size() >= 4 && absl::StartsWith(b, a)) {
    return 0.8;
  }
  // "cylinders" for "cyl".
  if (b.size() >= 3 && a.size() >= 5 && absl::StartsWith(a, b)) {
    return 0.7;
  }
  return a.size() >= 5 && b.size() >= 5 && IsSlip(a, b) ? 0.7 : 0;
}

struct Candidate {
  size_t column = 0;
  double score = 0;     // Words that fit, weak ones counting little.
  double coverage = 0;  // Of the name's words.
  std::vector<size_t> tokens;
};

// The column's words that the free words of the question fit.
Candidate Match(size_t column, const std::vector<std::string>& name, const std::vector<std::string>& tokens,
                const std::vector<bool>& taken) {
  Candidate best{.column = column};
  // The name written as one, or as the same words: several words of the question are one name.
  const std::string joined = absl::StrJoin(name, "");
  for (size_t from = 0; from < tokens.size(); ++from) {
    std::string words;
    for (size_t to = from; to < tokens.size() && !taken[to]; ++to) {
      words += tokens[to];
      if (words == joined && !(to == from && IsGrammar(tokens[from]))) {
        best.score = 2.0 * static_cast<double>(std::max(name.size(), to - from + 1));
        best.coverage = 1;
        for (size_t i = from; i <= to; ++i) {
          best.tokens.push_back(i);
        }
        return best;
      }
    }
  }
  double words = 0;
  double covered = 0;
  for (const std::string& word : name) {
    if (IsGrammar(word)) {
      continue;
    }
    words += 1;
    size_t token = tokens.size();
    double fit = 0;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool used =
          taken[i] || IsGrammar(tokens[i]) || std::find(best.tokens.begin(), best.tokens.end(), i) != best.tokens.end();
      if (const double here = used ? 0 : Fit(tokens[i], word); here > fit) {
        fit = here;
        token = i;
      }
    }
    if (fit > 0) {
      covered += fit;
      best.score += IsWeak(word) ? 0.3 * fit : fit;
      best.tokens.push_back(token);
    }
  }
  best.coverage = words > 0 ? covered / words : 0;
  std::sort(best.tokens.begin(), best.tokens.end());
  // "total" alone asks for a sum, not for the column "Total weight".
  if (best.score < 0.5 && best.coverage < 0.65) {
    best.tokens.clear();
  }
  return best;
}

bool IsBetter(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.coverage > b.coverage + 1e-9;
}

}  // namespace

Question MatchQuestion(std::string_view text, const std::vector<Column>& columns) {
  Question question{.text = std::string(text)};
  const std::vector<std::string> tokens = WordsOf(text);
  std::vector<bool> taken(tokens.size(), false);
  std::vector<std::vector<std::string>> names;
  for (const Column& column : columns) {
    names.push_back(WordsOf(column.name));
  }
  const auto is_name = [&](std::string_view word) {
    return std::any_of(names.begin(), names.end(),
                       [&](const auto& name) { return name.size() == 1 && Stem(name[0]) == Stem(word); });
  };

  // What it asks for in set phrases.
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string& word = tokens[i];
    const std::string before = i > 0 ? tokens[i - 1] : "";
    if (IsOneOf(word,
                {"trend", "trends", "develop", "developed", "development", "evolve", "evolved", "history", "since"})) {
      question.over_time = true;
    }
    if (word == "time" && IsOneOf(before, {"over", "with", "through"})) {
      question.over_time = true;
      taken[i] = true;
    }
    if (IsOneOf(before, {"by", "per", "each", "every", "over"}) &&
        IsOneOf(word, {"hour", "day", "month", "year", "hours", "days", "months", "years"})) {
      question.over_time = true;
      question.period = absl::StartsWith(word, "h")   ? Period::kHour
                        : absl::StartsWith(word, "d") ? Period::kDay
                        : absl::StartsWith(word, "m") ? Period::kMonth
                                                      : Period::kYear;
      taken[i] = !is_name(word);
    }
    for (const auto& [adverb, period] :
         std::initializer_list<std::pair<std::string_view, Period>>{{"hourly", Period::kHour},
                                                                    {"daily", Period::kDay},
                                                                    {"monthly", Period::kMonth},
                                                                    {"yearly", Period::kYear},
                                                                    {"annually", Period::kYear}}) {
      if (word == adverb) {
        question.over_time = true;
        question.period = period;
        taken[i] = true;
      }
    }
    if (IsOneOf(word, {"lowest", "least", "fewest", "smallest", "minimum", "worst", "cheapest", "slowest", "shortest",
                       "youngest"})) {
      question.lowest = true;
    }
  }

  // The best match takes its words; then the next one of what is left.
  std::vector<std::pair<size_t, size_t>> found;  // First word, column.
  while (true) {
    Candidate best;
    std::vector<size_t> as_good;
    for (size_t column = 0; column < columns.size(); ++column) {
      const bool known =
          std::any_of(found.begin(), found.end(), [&](const auto& pair) { return pair.second == column; });
      const Candidate candidate = known ? Candidate{} : Match(column, names[column], tokens, taken);
      if (candidate.tokens.empty()) {
        continue;
      }
      if (best.tokens.empty() || IsBetter(candidate, best)) {
        as_good.clear();
        best = candidate;
      } else if (!IsBetter(best, candidate) && candidate.tokens == best.tokens) {
        as_good.push_back(column);
      }
    }
    if (best.tokens.empty()) {
      break;
    }
    std::vector<std::string> words;
    for (const size_t token : best.tokens) {
      taken[token] = true;
      words.push_back(tokens[token]);
    }
    found.emplace_back(best.tokens.front(), best.column);
    if (!as_good.empty()) {
      question.ambiguities.push_back({absl::StrJoin(words, " "), best.column, std::move(as_good)});
    }
  }
  std::sort(found.begin(), found.end());
  for (const auto& [token, column] : found) {
    question.columns.push_back(column);
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    // What is taken stays as a gap, so that no value is found across it.
    question.rest.push_back(taken[i] ? "" : tokens[i]);
  }
  return question;
}

void MatchValues(const std::vector<Column>& columns, Question& question) {
  for (size_t column = 0; column < columns.size(); ++column) {
    if (columns[column].type != "text" || columns[column].role != Role::kCategory) {
      continue;
    }
    for (const TopValue& top : columns[column].top) {
      const std::vector<std::string> words = WordsOf(top.text);
      if (words.empty() || top.text.size() < 3 ||
          (words.size() == 1 && (IsGrammar(words[0]) || IsWeak(words[0]) || words[0] == "none"))) {
        continue;
      }
      const auto at = std::search(question.rest.begin(), question.rest.end(), words.begin(), words.end(),
                                  [](const std::string& asked, const std::string& word) {
                                    return asked == word || (!asked.empty() && Stem(asked) == Stem(word));
                                  });
      if (at == question.rest.end()) {
        continue;
      }
      std::fill_n(at, words.size(), "");
      question.values.push_back({column, top.text});
      if (std::find(question.columns.begin(), question.columns.end(), column) == question.columns.end()) {
        question.columns.push_back(column);
      }
    }
  }
}

std::vector<AnswerPart> PlanAnswer(const Question& question, const Table& table, std::optional<size_t> main_time) {
  std::vector<size_t> measures;
  std::vector<size_t> categories;
  std::optional<size_t> time;
  for (const size_t index : question.columns) {
    const Column& column = table.columns[index];
    if (column.role == Role::kTime) {
      time = time.has_value() ? time : index;
    } else if (column.role == Role::kMeasure) {
      measures.push_back(index);
    } else if (column.role == Role::kCategory) {
      categories.push_back(index);
    }
  }
  if (!time.has_value() && question.over_time) {
    time = main_time;
  }
  // Yes or no, by something else: a share.
  for (auto category = categories.begin();
       category != categories.end() && (categories.size() > 1 || time.has_value());) {
    if (table.columns[*category].IsOutcome()) {
      measures.push_back(*category);
      category = categories.erase(category);
    } else {
      ++category;
    }
  }

  using Kind = AnswerPart::Kind;
  std::vector<AnswerPart> parts;
  for (const size_t category : categories) {
    for (const size_t measure : measures) {
      parts.push_back({.kind = Kind::kEffect, .a = category, .b = measure});
    }
  }
  if (time.has_value()) {
    const Period period = question.period.has_value() && CanCut(table.columns[*time], *question.period)
                              ? *question.period
                              : ChoosePeriod(table.columns[*time]);
    parts.insert(parts.begin(), {.kind = Kind::kTrend, .a = *time, .period = period, .outcomes = measures});
  }
  for (size_t i = 0; i < measures.size(); ++i) {
    for (size_t j = i + 1; j < measures.size(); ++j) {
      parts.push_back({.kind = Kind::kCorrelation, .a = measures[i], .b = measures[j]});
    }
  }
  for (size_t i = 0; i < categories.size(); ++i) {
    for (size_t j = i + 1; j < categories.size(); ++j) {
      parts.push_back({.kind = Kind::kAssociation, .a = categories[i], .b = categories[j]});
    }
  }
  if (measures.empty() && categories.size() == 1) {
    parts.push_back({.kind = Kind::kBreakdown, .a = categories[0]});
  }
  if (parts.empty() && !measures.empty()) {
    parts.push_back({.kind = Kind::kDistribution, .a = measures[0]});
  }
  if (parts.size() > 4) {
    parts.resize(4);
  }
  return parts;
}

}  // namespace bulkhead::agent::analyst
