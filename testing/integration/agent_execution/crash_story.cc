#include "testing/integration/agent_execution/crash_story.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "testing/base/resource_name.h"

namespace bulkhead::testing {
namespace {

using nlohmann::json;

constexpr int kIntent = 1;
constexpr int kExecuting = 2;
constexpr int kResult = 3;

// A command of a run: everything that its journal and its events say of it.
using Command = std::pair<std::string, std::string>;  // Run and path.

// "tool_executing" of an event has its payload under "toolExecuting".
std::string PayloadKey(std::string_view type) {
  std::string key;
  for (const std::string_view word : absl::StrSplit(type, '_')) {
    const size_t first = key.size();
    absl::StrAppend(&key, word);
    if (first > 0) {
      key[first] = static_cast<char>(key[first] - 'a' + 'A');
    }
  }
  return key;
}

// The journal by command, and what it says of names and places.
class Index {
 public:
  explicit Index(const CrashOutcome& outcome) {
    names_[IdOf(outcome.run)] = "RUN";
    for (const JournalRow& row : outcome.journal) {
      steps_[{row.run, row.step}] = row.path;
      if (row.kind != kResult) {
        continue;
      }
      if (row.run != IdOf(outcome.run)) {
        names_[row.run] = "CHILD";
      } else if (row.command == "random") {
        names_[absl::StrCat(row.payload.at("ok").get<uint64_t>())] = "DRAWN";
      } else if (absl::StartsWith(row.command, "id ")) {
        names_[row.payload.at("ok")] = "PARCEL";
      } else if (absl::StartsWith(row.command, "any of ") || absl::StartsWith(row.command, "race of ")) {
        groups_.push_back({row.run, row.path + ".", absl::StrCat(row.path, ".", row.payload.at("ok").dump(), ".")});
      }
    }
  }

  std::string PathOf(const std::string& run, int step) const {
    const auto found = steps_.find({run, step});
    return found == steps_.end() ? "nowhere" : found->second;
  }

  // Whether the command is of a branch that lost.
  bool Lost(const Command& command) const {
    return std::ranges::any_of(groups_, [&command](const Group& group) {
      return group.run == command.first && absl::StartsWith(command.second, group.prefix) &&
             !absl::StartsWith(command.second, group.winner);
    });
  }

  std::string Anonymous(std::string text) const {
    for (const auto& [name, alias] : names_) {
      absl::StrReplaceAll({{name, alias}}, &text);
    }
    return text;
  }

 private:
  struct Group {
    std::string run;
    std::string prefix;  // Of its branches, and of the one that won.
    std::string winner;
  };

  std::map<std::pair<std::string, int>, std::string> steps_;
  std::vector<Group> groups_;
  std::map<std::string, std::string> names_;
};

bool IsPay(const JournalRow& row) { return absl::StartsWith(row.command, "tool effect.pay#"); }

// The questions about a call in doubt have places like "7?1".
bool IsDoubt(std::string_view path) { return absl::StrContains(path, '?'); }

}  // namespace

CrashStory TellStory(const CrashOutcome& outcome, CrashStoryOptions options) {
  const Index index(outcome);
  CrashStory story;
  for (const JournalRow& row : outcome.journal) {
    if (row.kind != kResult || IsDoubt(row.path) || index.Lost({row.run, row.path}) ||
        (options.without_pay && IsPay(row))) {
      continue;
    }
    const bool varies = row.command == "now" || row.command == "random" || absl::StartsWith(row.command, "id ");
    // What is thought has the drawn number in it, and so has its hash.
    const std::string command = absl::StartsWith(row.command, "think#") ? "think" : row.command;
    story.journal.push_back(index.Anonymous(
        absl::StrCat(row.run, " ", row.path, " ", command, " ", varies ? "VALUE" : row.payload.dump())));
  }
  std::map<std::string, std::vector<std::string>> thoughts;  // By what the run is called in the story.
  for (const auto& [run, events] : outcome.logs) {
    std::set<std::string> doubts;
    for (const json& event : events) {
      const std::string type = event.at("type");
      json payload = event.value(PayloadKey(type), json::object());
      if (type == "run_recovered" || (options.without_end && run == outcome.run && IsTerminal(type))) {
        continue;
      }
      if (type == "approval_requested" &&
          absl::StrContains(payload.value("question", ""), "may or may not have happened")) {
        doubts.insert(payload.at("approval"));
      }
      if (payload.contains("approval") && doubts.contains(payload.at("approval"))) {
        continue;
      }
      if (payload.contains("step")) {
        const std::string path = index.PathOf(IdOf(run), payload.at("step").get<int>());
        if (index.Lost({IdOf(run), path}) || (options.without_pay && payload.value("tool", "") == "tools/effect.pay")) {
          continue;
        }
        payload["step"] = path;
      }
      for (const char* varies : {"approval", "duration", "expireTime", "queued", "timing"}) {
        payload.erase(varies);
      }
      const std::string told = index.Anonymous(absl::StrCat(run, " ", type, " ", payload.dump()));
      if (type == "agent_thinking") {
        thoughts[index.Anonymous(run)].push_back(told);
      }
      story.events.push_back(told);
    }
  }
  for (const auto& [run, told] : thoughts) {
    story.thoughts.insert(story.thoughts.end(), told.begin(), told.end());
  }
  std::set<std::string> effects;  // What is SAFE may have happened twice, under one key.
  for (const std::string& effect : outcome.effects) {
    effects.insert(index.Anonymous(effect));
  }
  story.effects.assign(effects.begin(), effects.end());
  std::ranges::sort(story.journal);
  std::ranges::sort(story.events);
  return story;
}

void ExpectWholeOutcome(const CrashOutcome& outcome) {
  EXPECT_EQ(outcome.outbox, 0);
  EXPECT_EQ(outcome.dead_letters, 0);
  EXPECT_EQ(outcome.asked, outcome.died_in_doubt);
  EXPECT_TRUE(outcome.audit.value("intact", false)) << outcome.audit;
  const bool cancelled = outcome.ended.value("state", "") == "RUN_STATE_CANCELLED";

  const auto log = outcome.logs.find(outcome.run);
  EXPECT_TRUE(log != outcome.logs.end() && log->second == outcome.seen) << "the subscriber saw something else";
  std::set<std::string> ids;
  for (const auto& [run, events] : outcome.logs) {
    SCOPED_TRACE(run);
    std::map<int, std::vector<std::string>> calls;  // By step.
    for (size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].at("sequence"), i + 1);
      EXPECT_TRUE(ids.insert(events[i].at("eventId")).second);
      const std::string type = events[i].at("type");
      if (type == "tool_executing" || type == "tool_completed" || type == "child_started" || type == "child_ended" ||
          type == "model_calling" || type == "model_completed") {
        calls[events[i].at(PayloadKey(type)).value("step", 0)].push_back(type);
      }
      EXPECT_EQ(IsTerminal(type), i + 1 == events.size()) << type;
    }
    for (const auto& [step, types] : calls) {
      EXPECT_THAT(types, ::testing::AnyOf(::testing::ElementsAre("tool_executing", "tool_completed"),
                                          ::testing::ElementsAre("child_started", "child_ended"),
                                          ::testing::ElementsAre("model_calling", "model_completed")))
          << "step " << step;
    }
  }

  const Index index(outcome);
  std::map<Command, std::vector<int>> kinds;
  for (const JournalRow& row : outcome.journal) {
    std::vector<int>& written = kinds[{row.run, row.path}];
    EXPECT_TRUE(written.empty() || written.back() < row.kind || (IsPay(row) && row.kind == kIntent))
        << row.run << " " << row.path << " " << row.command << ", kind " << row.kind << " after " << written.back();
    written.push_back(row.kind);
    if (index.Lost({row.run, row.path}) && row.kind == kResult) {
      EXPECT_TRUE(row.payload.contains("error")) << "a loser had a result: " << row.path << " " << row.payload;
    }
  }
  for (const auto& [command, written] : kinds) {
    EXPECT_TRUE(written.back() == kResult || index.Lost(command) || cancelled)
        << command.first << " " << command.second;
    EXPECT_LE(std::ranges::count(written, kExecuting), 1);
  }

  std::map<std::string, int> by_tool_and_key;
  for (const std::string& effect : outcome.effects) {
    const std::vector<std::string> parts = absl::StrSplit(effect, '\t');
    const int times = ++by_tool_and_key[absl::StrCat(parts[0], " ", parts[1])];
    EXPECT_TRUE(times == 1 || parts[0] == "effect.weigh") << effect << " happened " << times << " times";
  }
}

void ExpectRichEnd(const CrashOutcome& outcome) {
  EXPECT_EQ(outcome.ended.value("state", ""), "RUN_STATE_SUCCEEDED") << outcome.ended;
  EXPECT_EQ(outcome.ended.value("/answer/summary"_json_pointer, ""), "been to Celle") << outcome.ended;
  EXPECT_EQ(outcome.ended.value("/answer/data/paid"_json_pointer, false), !outcome.denied) << outcome.ended;
  EXPECT_EQ(outcome.logs.size(), 2u) << "the run and its child";
}

}  // namespace bulkhead::testing
