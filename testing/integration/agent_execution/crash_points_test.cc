// A run that does everything survives the death of its process at every point there is: before and after each commit of
// the agent service's database (the journal, the outbox, its checkpoint and its trimming), of the notifier's (what the
// outbox publishes), of the tool service's (results that calls are answered with again), and around each effect of a
// tool. Whatever the point, a second process goes on to the same end as that of a run that nobody disturbed.
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/integration/agent_execution/crash_run.h"
#include "testing/integration/agent_execution/crash_story.h"

namespace bulkhead::testing {
namespace {

using ::testing::ElementsAreArray;

// Every `stride`th pass of a place from `first` on, so that they can be tried side by side.
struct Series {
  const char* name;
  const char* place;
  int64_t first;
  int64_t stride;
  int least;  // So many points there are at least: the test must not shrink unseen.
};

void PrintTo(const Series& series, std::ostream* out) { *out << series.name; }

class CrashTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_.File("home"));
    ASSERT_OK_AND_ASSIGN(home_, MakeCrashHome(folder_.File("home")));
    ASSERT_OK_AND_ASSIGN(undisturbed_, RunAndCrash(home_, folder_.File("undisturbed"), {}));
    ASSERT_EQ(undisturbed_.deaths, 0);
    ExpectWholeOutcome(undisturbed_);
    EXPECT_FALSE(undisturbed_.asked);
  }

  void ExpectSameStory(const CrashOutcome& outcome) {
    const CrashStory expected = TellStory(undisturbed_, outcome.denied);
    const CrashStory story = TellStory(outcome, outcome.denied);
    EXPECT_THAT(story.thoughts, ElementsAreArray(expected.thoughts));
    EXPECT_THAT(story.events, ElementsAreArray(expected.events));
    EXPECT_THAT(story.journal, ElementsAreArray(expected.journal));
    EXPECT_THAT(story.effects, ElementsAreArray(expected.effects));
  }

  TempDir folder_;
  CrashHome home_;
  CrashOutcome undisturbed_;
};

class CrashPointsTest : public CrashTest, public ::testing::WithParamInterface<Series> {};

TEST_P(CrashPointsTest, RunGoesOnToTheSameEnd) {
  Covers({"AE-2", "AE-6", "AE-10", "WS-1", "WS-5", "WS-6", "DP-6"});
  int points = 0;
  bool died = true;
  for (int64_t nth = GetParam().first; died && !HasFailure(); nth += GetParam().stride) {
    SCOPED_TRACE(absl::StrCat("the process dies at: ", GetParam().place, " ", nth));
    const std::string folder = folder_.File(absl::StrCat("point-", nth));
    ASSERT_OK_AND_ASSIGN(const CrashOutcome outcome,
                         RunAndCrash(home_, folder, {.place = GetParam().place, .nth = nth}));
    ExpectWholeOutcome(outcome);
    ExpectSameStory(outcome);
    died = outcome.deaths > 0;
    points += outcome.deaths;
    std::filesystem::remove_all(folder);
  }
  std::cout << GetParam().name << ": " << points << " crash points" << std::endl;
  EXPECT_GE(points, GetParam().least);
}

// Each process lives for a few commits only: recovering is a part of what must survive a crash.
TEST_F(CrashTest, RunThatIsKilledAgainAndAgainGetsToTheSameEnd) {
  Covers({"AE-6", "DP-6"});
  ASSERT_OK_AND_ASSIGN(const CrashOutcome outcome, RunAndCrash(home_, folder_.File("again"),
                                                               {.place = "agent.db after", .nth = 12, .again = true}));
  std::cout << outcome.deaths << " deaths" << std::endl;
  EXPECT_GE(outcome.deaths, 3);
  ExpectWholeOutcome(outcome);
  ExpectSameStory(outcome);
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, CrashPointsTest,
                         ::testing::Values(Series{"BeforeAgentCommitsOdd", "agent.db before", 1, 2, 10},
                                           Series{"BeforeAgentCommitsEven", "agent.db before", 2, 2, 10},
                                           Series{"AfterAgentCommitsOdd", "agent.db after", 1, 2, 10},
                                           Series{"AfterAgentCommitsEven", "agent.db after", 2, 2, 10},
                                           Series{"BeforeNotifierCommits", "notifier.db before", 1, 1, 3},
                                           Series{"AfterNotifierCommits", "notifier.db after", 1, 1, 3},
                                           Series{"BeforeToolCommits", "tool.db before", 1, 1, 3},
                                           Series{"AfterToolCommits", "tool.db after", 1, 1, 3},
                                           Series{"BeforeEffects", "effect before", 1, 1, 8},
                                           Series{"AfterEffects", "effect after", 1, 1, 8}),
                         [](const ::testing::TestParamInfo<Series>& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bulkhead::testing
