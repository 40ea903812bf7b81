#include "testing/integration/agent_execution/crash_series.h"

#include <cstdint>
#include <filesystem>
#include <future>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "testing/base/matchers.h"

namespace bulkhead::testing {

using ::testing::ElementsAreArray;

namespace {

// A run waits more than it computes: for the disk, for processes to start and to end, for a second try.
constexpr int64_t kPointsAtOnce = 4;

}  // namespace

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

absl::StatusOr<CrashOutcome> CrashTest::RunAt(const CrashPlan& plan) const {
  const std::string folder = folder_.File(absl::StrCat("point-", plan.nth));
  absl::StatusOr<CrashOutcome> outcome = RunAndCrash(home_, scenario_, folder, plan);
  std::filesystem::remove_all(folder);
  return outcome;
}

void CrashTest::Try(const CrashPlan& plan, CrashOutcome& outcome) {
  ASSERT_OK_AND_ASSIGN(outcome, RunAt(plan));
  ExpectWholeOutcome(outcome);
}

void CrashTest::TryEveryPoint(const CrashSeries& series, const std::function<void(const CrashOutcome&)>& expect) {
  // The endpoint of a model counts requests, and cannot know which run they are of.
  const int64_t at_once = scenario_.model == nullptr ? kPointsAtOnce : 1;
  int points = 0;
  bool died = true;
  for (int64_t first = 1; died && !HasFailure(); first += at_once) {
    std::vector<std::future<absl::StatusOr<CrashOutcome>>> tried;
    for (int64_t nth = first; nth < first + at_once; ++nth) {
      tried.push_back(
          std::async(std::launch::async, &CrashTest::RunAt, this, CrashPlan{.place = series.place, .nth = nth}));
    }
    for (int64_t nth = first; nth < first + at_once; ++nth) {
      SCOPED_TRACE(absl::StrCat("the process dies at: ", series.place, " ", nth));
      ASSERT_OK_AND_ASSIGN(const CrashOutcome outcome, tried[nth - first].get());
      ExpectWholeOutcome(outcome);
      expect(outcome);
      died = outcome.deaths > 0;
      points += outcome.deaths;
    }
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
