#include "testing/integration/agent_execution/crash_series.h"

#include <filesystem>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "testing/base/matchers.h"

namespace bulkhead::testing {

using ::testing::ElementsAreArray;

void PrintTo(const CrashSeries& series, std::ostream* out) { *out << series.name; }

std::string NameOf(const ::testing::TestParamInfo<CrashSeries>& info) { return info.param.name; }

void CrashTest::Begin(CrashScenario scenario) {
  scenario_ = std::move(scenario);
  std::filesystem::create_directory(folder_.File("home"));
  ASSERT_OK_AND_ASSIGN(home_, MakeCrashHome(folder_.File("home"), scenario_));
  ASSERT_OK_AND_ASSIGN(undisturbed_, RunAndCrash(home_, scenario_, folder_.File("undisturbed"), {}));
  ASSERT_EQ(undisturbed_.deaths, 0);
  ExpectWholeOutcome(undisturbed_);
  EXPECT_FALSE(undisturbed_.asked);
}

void CrashTest::Try(const CrashPlan& plan, CrashOutcome& outcome) {
  const std::string folder = folder_.File(absl::StrCat("point-", plan.nth));
  ASSERT_OK_AND_ASSIGN(outcome, RunAndCrash(home_, scenario_, folder, plan));
  ExpectWholeOutcome(outcome);
  std::filesystem::remove_all(folder);
}

void CrashTest::TryEveryPoint(const CrashSeries& series, const std::function<void(const CrashOutcome&)>& expect) {
  int points = 0;
  bool died = true;
  for (int64_t nth = series.first; died && !HasFailure(); nth += series.stride) {
    SCOPED_TRACE(absl::StrCat("the process dies at: ", series.place, " ", nth));
    CrashOutcome outcome;
    ASSERT_NO_FATAL_FAILURE(Try({.place = series.place, .nth = nth}, outcome));
    expect(outcome);
    died = outcome.deaths > 0;
    points += outcome.deaths;
  }
  std::cout << series.name << ": " << points << " crash points" << std::endl;
  EXPECT_GE(points, series.least);
}

void CrashTest::ExpectSameStory(const CrashOutcome& outcome, CrashStoryOptions options) const {
  const CrashStory expected = TellStory(undisturbed_, options);
  const CrashStory story = TellStory(outcome, options);
  EXPECT_THAT(story.thoughts, ElementsAreArray(expected.thoughts));
  EXPECT_THAT(story.events, ElementsAreArray(expected.events));
  EXPECT_THAT(story.journal, ElementsAreArray(expected.journal));
  EXPECT_THAT(story.effects, ElementsAreArray(expected.effects));
}

}  // namespace bulkhead::testing
