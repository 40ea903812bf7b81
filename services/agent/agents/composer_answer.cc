#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/agents/composer.h"
#include "services/agent/agents/report_words.h"

namespace bulkhead::agent::analyst {

std::vector<Sentence> Composer::AnswerSentences() const {
  std::vector<Sentence> sentences;
  for (const AnswerResult& answer : a_.answers) {
    if (Sentence s = AnswerSentence(answer); !s.empty()) {
      sentences.push_back(std::move(s));
    }
  }
  return sentences;
}

Sentence Composer::AnswerSentence(const AnswerResult& answer) const {
  if (answer.effect.has_value()) {
    return EffectAnswer(*answer.effect);
  }
  if (answer.trend.has_value()) {
    // Of the first thing that was asked for over time.
    const int wanted = answer.trend->outcomes.empty() ? -1 : 0;
    for (const Fit& fit : answer.fits.fits) {
      if (fit.outcome == wanted) {
        return TrendSentence(*answer.trend, fit);
      }
    }
    return "There are too few periods to speak of a trend.";
  }
  if (answer.correlation.has_value()) {
    return CorrelationSentence(*answer.correlation);
  }
  if (answer.association.has_value()) {
    return AssociationSentence(*answer.association);
  }
  if (answer.breakdown.has_value() && !answer.breakdown->groups.empty()) {
    const Group& first = answer.breakdown->groups.front();
    Sentence s;
    s.Say("The most frequent ").Name(Column(answer.part.a).name).Say(" is ").Value(first.value);
    s.Say(absl::StrCat(" with ", FormatCount(first.count), " rows, ", FormatShare(Share(first.count, a_.table.rows)),
                       " of all."));
    return s;
  }
  if (answer.part.kind == AnswerPart::Kind::kDistribution) {
    const analyst::Column& c = Column(answer.part.a);
    Sentence s;
    s.Name(c.name).Say(absl::StrCat(" is ", Optional(c.mean), " on average, with a median of ", Optional(c.median),
                                    "; half of the values lie between ", Optional(c.q1), " and ", Optional(c.q3),
                                    ", all between ", Optional(c.min), " and ", Optional(c.max), "."));
    return s;
  }
  return {};
}

Sentence Composer::EffectAnswer(const Effect& e) const {
  const analyst::Column& outcome = Column(e.outcome);
  const analyst::Column& category = Column(e.category);
  if (e.groups.empty()) {
    return {};
  }
  const bool lowest = a_.question.has_value() && a_.question->lowest && e.groups.size() < kMaxGroups;
  const Group& first = lowest ? e.groups.back() : e.groups.front();
  const Group& other = lowest ? e.groups.front() : e.groups.back();
  Sentence s;
  s.Say(outcome.IsBinary() ? "The share of " : "The mean of ")
      .Name(outcome.name)
      .Say(lowest ? " is lowest" : " is highest")
      .Say(" where ")
      .Name(category.name);
  s.Say(" is ")
      .Value(first.value)
      .Say(absl::StrCat(": ", Mean(outcome, first.mean), " (n = ", FormatCount(first.count), ")"));
  if (e.groups.size() > 1 && e.groups.size() < kMaxGroups) {
    s.Say(absl::StrCat("; it is ", lowest ? "highest" : "lowest", " for ")).Value(other.value);
    s.Say(absl::StrCat(": ", Mean(outcome, other.mean), " (n = ", FormatCount(other.count), ")"));
  }
  s.Say(". ");
  if (a_.question.has_value()) {
    for (const Question::ValueMention& mention : a_.question->values) {
      for (size_t i = 0; i < e.groups.size(); ++i) {
        if (mention.column == e.category && e.groups[i].value == mention.value) {
          s.Value(mention.value)
              .Say(absl::StrCat(" has ", Mean(outcome, e.groups[i].mean), ", rank ", i + 1, " of ", e.groups.size(),
                                ". "));
        }
      }
    }
  }
  const double sum = outcome.mean.value_or(0) * static_cast<double>(outcome.count);
  if (AddsUp(outcome) && sum > 0 && !lowest) {
    const auto most = std::max_element(e.groups.begin(), e.groups.end(),
                                       [](const Group& x, const Group& y) { return x.total < y.total; });
    s.Say("Most of its sum belongs to ").Value(most->value);
    s.Say(absl::StrCat(": ", FormatNumber(most->total), ", ", FormatShare(most->total / sum), " of all. "));
  }
  s.Say(absl::StrCat("The groups explain ", FormatShare(e.eta_squared), " of the variance."));
  return s;
}

Section Composer::Answer() const {
  Section section;
  if (!a_.question.has_value()) {
    return section;
  }
  const Question& question = *a_.question;
  section.title.Say("Your question");
  section.blocks.push_back(Paragraph{Sentence().Value(question.text.substr(0, 500))});
  if (a_.answers.empty()) {
    Sentence s;
    if (question.columns.empty()) {
      s.Say(question.over_time ? "It asks about time, but the table has no column of dates. "
                               : "I found none of the table's columns in it, so what follows is "
                                 "the general report. ");
      s.Say(
          "I compare words and do not understand sentences: a question that names columns gets "
          "an answer of its own. The columns are ");
      for (size_t i = 0; i < std::min<size_t>(a_.table.columns.size(), 30); ++i) {
        s.Say(i == 0 ? "" : ", ").Name(Column(i).name);
      }
      s.Say(a_.table.columns.size() > 30 ? " and others." : ".");
    } else {
      s.Say("It names ").Append(Names(question.columns)).Say(", but there is nothing to calculate with ");
      s.Say(question.columns.size() == 1 ? "it" : "them").Say(": see their lines in the table of columns.");
    }
    section.blocks.push_back(Paragraph{std::move(s)});
    return section;
  }
  for (Sentence& sentence : AnswerSentences()) {
    section.blocks.push_back(Paragraph{std::move(sentence)});
  }
  Sentence read;
  if (question.columns.empty()) {
    read.Say("It names no column, but asks for a development in time, so I took ")
        .Name(Column(a_.answers[0].part.a).name)
        .Say(".");
  } else {
    read.Say("I read it as a question about ")
        .Append(Names(question.columns))
        .Say(question.over_time ? ", over time." : ".");
  }
  for (const Question::Ambiguity& ambiguity : question.ambiguities) {
    read.Say(" ")
        .Value(ambiguity.words)
        .Say(" could also mean ")
        .Append(Names(ambiguity.others))
        .Say("; I took ")
        .Name(Column(ambiguity.taken).name)
        .Say(".");
  }
  section.blocks.push_back(Paragraph{std::move(read)});
  AddCharts(Place::kAnswer, section);
  for (const AnswerResult& answer : a_.answers) {
    AddAnswerDetails(answer, section);
  }
  return section;
}

void Composer::AddAnswerDetails(const AnswerResult& answer, Section& section) const {
  auto& blocks = section.blocks;
  if (answer.effect.has_value()) {
    blocks.push_back(
        Subheading{Sentence().Name(Column(answer.part.b).name).Say(" by ").Name(Column(answer.part.a).name)});
    blocks.push_back(EffectGrid(*answer.effect, 30));
    AddGroupNote(*answer.effect, section);
    blocks.push_back(Evidence{{{EffectLabel(*answer.effect), answer.effect->sql}}});
  } else if (answer.trend.has_value()) {
    blocks.push_back(Subheading{Sentence("Over ").Name(Column(answer.part.a).name)});
    AddTrend(*answer.trend, answer.fits, section);
  } else if (answer.correlation.has_value()) {
    blocks.push_back(
        Subheading{Sentence().Name(Column(answer.part.a).name).Say(" and ").Name(Column(answer.part.b).name)});
    blocks.push_back(CorrelationGrid({&*answer.correlation}));
    blocks.push_back(Evidence{{{"correlation", answer.correlation->sql}}});
  } else if (answer.association.has_value()) {
    blocks.push_back(
        Subheading{Sentence().Name(Column(answer.part.a).name).Say(" and ").Name(Column(answer.part.b).name)});
    blocks.push_back(AssociationGrid(*answer.association));
    blocks.push_back(Evidence{{{"association", answer.association->sql}}});
  } else if (answer.breakdown.has_value()) {
    blocks.push_back(Subheading{Sentence("Rows by ").Name(Column(answer.part.a).name)});
    blocks.push_back(BreakdownGrid(*answer.breakdown));
    blocks.push_back(Evidence{{{"groups", answer.breakdown->sql}}});
  }
}

}  // namespace bulkhead::agent::analyst
