// A run that does everything survives the death of its process at every point there is: before and after each commit of
// the agent service's database (the journal, the outbox, its checkpoint and its trimming), of the notifier's (what the
// outbox publishes), of the tool service's (results that calls are answered with again), of auth's (the tokens that runs
// act under, and the record of them), and around each effect of a tool. Whatever the point, a second process goes on to
// the same end as that of a run that nobody disturbed.
#include <iostream>

#include "gtest/gtest.h"
#include "testing/base/requirements.h"
#include "testing/integration/agent_execution/crash_run.h"
#include "testing/integration/agent_execution/crash_series.h"
#include "testing/integration/agent_execution/crash_story.h"

namespace bulkhead::testing {
namespace {

class RichCrashTest : public CrashTest {
 protected:
  void SetUp() override {
    Begin({});
    ExpectRichEnd(undisturbed());
  }
  void ExpectSameEnd(const CrashOutcome& outcome) const {
    ExpectRichEnd(outcome);
    ExpectSameStory(outcome, {.without_pay = outcome.denied});
  }
};

class CrashPointsTest : public RichCrashTest, public ::testing::WithParamInterface<CrashSeries> {};

TEST_P(CrashPointsTest, RunGoesOnToTheSameEnd) {
  Covers({"AE-2", "AE-6", "AE-10", "AU-8", "WS-1", "WS-5", "WS-6", "DP-6"});
  TryEveryPoint(GetParam(), [this](const CrashOutcome& outcome) { ExpectSameEnd(outcome); });
}

// Each process lives for a few commits only: recovering is a part of what must survive a crash.
TEST_F(RichCrashTest, RunThatIsKilledAgainAndAgainGetsToTheSameEnd) {
  Covers({"AE-6", "DP-6"});
  CrashOutcome outcome;
  ASSERT_NO_FATAL_FAILURE(Try({.place = "agent.db after", .nth = 12, .again = true}, outcome));
  std::cout << outcome.deaths << " deaths" << std::endl;
  EXPECT_GE(outcome.deaths, 3);
  ExpectSameEnd(outcome);
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, CrashPointsTest,
                         ::testing::Values(CrashSeries{"BeforeAgentCommits", "agent.db before", 20},
                                           CrashSeries{"AfterAgentCommits", "agent.db after", 20},
                                           CrashSeries{"BeforeNotifierCommits", "notifier.db before", 3},
                                           CrashSeries{"AfterNotifierCommits", "notifier.db after", 3},
                                           CrashSeries{"BeforeToolCommits", "tool.db before", 3},
                                           CrashSeries{"AfterToolCommits", "tool.db after", 3},
                                           CrashSeries{"BeforeAuthCommits", "auth.db before", 3},
                                           CrashSeries{"AfterAuthCommits", "auth.db after", 3},
                                           CrashSeries{"BeforeEffects", "effect before", 8},
                                           CrashSeries{"AfterEffects", "effect after", 8}),
                         NameOf);

}  // namespace
}  // namespace bulkhead::testing
