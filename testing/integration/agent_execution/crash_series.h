// Every point of a place, tried one after another.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_SERIES_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_SERIES_H_

#include <functional>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "testing/base/temp_dir.h"
#include "testing/integration/agent_execution/crash_run.h"
#include "testing/integration/agent_execution/crash_story.h"

namespace bulkhead::testing {

// Every pass of a place.
struct CrashSeries {
  const char* name;
  const char* place;
  int least;  // So many points there are at least: the test must not shrink unseen.
};

void PrintTo(const CrashSeries& series, std::ostream* out);
std::string NameOf(const ::testing::TestParamInfo<CrashSeries>& info);

class CrashTest : public ::testing::Test {
 protected:
  // First: what is run, and a run of it that nobody disturbs.
  void Begin(CrashScenario scenario);

  // Runs the scenario and has its server die at each point, several at once, until a run gets through. `expect` looks at
  // each outcome, in the order of the points.
  void TryEveryPoint(const CrashSeries& series, const std::function<void(const CrashOutcome&)>& expect);
  // The same at one point, whose outcome is for the caller to look at.
  void Try(const CrashPlan& plan, CrashOutcome& outcome);

  // As the undisturbed run, but for what `options` leave out.
  void ExpectSameStory(const CrashOutcome& outcome, CrashStoryOptions options) const;

  const CrashOutcome& undisturbed() const { return undisturbed_; }

 private:
  absl::StatusOr<CrashOutcome> RunAt(const CrashPlan& plan) const;

  TempDir folder_;
  CrashScenario scenario_;
  CrashHome home_;
  CrashOutcome undisturbed_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_SERIES_H_
