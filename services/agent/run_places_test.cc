// Runs that only wait leave their places to others, whether they stay in memory or are put away.
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "services/agent/engine_test_fixture.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"

namespace bulkhead::agent {
namespace {

// Whether runs that wait are put away at once, or never.
enum class Waiting { kInMemory, kPutAway };

class RunPlacesTest : public EngineTest, public ::testing::WithParamInterface<Waiting> {
 protected:
  // One place for all.
  static RunEngine::Options OnePlace() {
    return {.limits = {.max_running = 1, .max_running_per_user = 1},
            .max_waiting_in_memory = GetParam() == Waiting::kPutAway ? size_t{0} : size_t{1000}};
  }

  // run-1 does `first`; any other run calls a tool.
  static Script FirstAnd(Script first) {
    return [first](RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
      if (run.name().ends_with("/run-1")) {
        co_return co_await first(run, input);
      }
      CO_RETURN_IF_ERROR((co_await run.CallTool("work", json::object())).status());
      co_return Answer{.summary = "worked"};
    };
  }

  static Awaitable<absl::StatusOr<Answer>> SleepAnHour(RunContext& run, const json&) {
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(1)));
    CO_RETURN_IF_ERROR((co_await run.CallTool("after", json::object())).status());
    co_return Answer{.summary = "slept"};
  }

  void AwaitParked(int count) {
    const int put_away = GetParam() == Waiting::kPutAway ? count : 0;
    Await([&] { return engine_->parked() == count && engine_->put_away() == put_away; }, "runs that only wait");
  }
};

TEST_P(RunPlacesTest, RunAsleepLeavesItsPlaceAndGoesOnWhenItWakes) {
  Open(FirstAnd(SleepAnHour), nullptr, OnePlace());
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitParked(1);
  ASSERT_OK(Create("run-2"));
  EXPECT_EQ(Ended("run-2").state, RunState::kSucceeded);
  EXPECT_EQ(Get("run-1").state, RunState::kRunning);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Ended("run-1").state, RunState::kSucceeded);
  EXPECT_EQ(engine_->parked(), 0);
}

TEST_P(RunPlacesTest, RunThatAwaitsApprovalLeavesItsPlace) {
  Open(FirstAnd([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = "Go on?"})).status());
         co_return Answer{.summary = "asked"};
       }),
       nullptr, OnePlace());
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitParked(1);
  ASSERT_OK(Create("run-2"));
  EXPECT_EQ(Ended("run-2").state, RunState::kSucceeded);
  EXPECT_EQ(Get("run-1").state, RunState::kAwaitingApproval);
}

TEST_P(RunPlacesTest, RunThatWakesWaitsForAPlaceBeforeItGoesOn) {
  Open(FirstAnd(SleepAnHour), nullptr, OnePlace());
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitParked(1);
  tools_.Hold(true);
  ASSERT_OK(Create("run-2", absl::Hours(9)));
  Await([this] { return tools_.running() == 1; }, "the call of run-2");
  clock_.Advance(absl::Hours(1));
  Await([this] { return engine_->waiting() == 1; }, "run-1, which waits for the place that run-2 has");
  EXPECT_FALSE(tools_.calls().contains("run-1/1"));
  auto cancelled = BlockOn(*executor_, store_->For("ada").Cancel("run-2", "enough", clock_.Now()));
  ASSERT_OK(cancelled);
  tools_.Hold(false);
  engine_->Cancel(*cancelled);
  EXPECT_EQ(Ended("run-2").state, RunState::kCancelled);
  EXPECT_EQ(Ended("run-1").state, RunState::kSucceeded);
  EXPECT_EQ(tools_.most_running(), 1);
}

TEST_P(RunPlacesTest, RunThatIsCancelledNeedsNoPlaceToEnd) {
  Open(FirstAnd(SleepAnHour), nullptr, OnePlace());
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitParked(1);
  tools_.Hold(true);
  ASSERT_OK(Create("run-2", absl::Hours(9)));
  Await([this] { return tools_.running() == 1; }, "the call of run-2");
  Cancel();
  EXPECT_EQ(Ended("run-1").state, RunState::kCancelled);
  EXPECT_EQ(Get("run-2").state, RunState::kRunning);
}

TEST_P(RunPlacesTest, RunOneOfWhoseBranchesWorksKeepsItsPlace) {
  Open(FirstAnd([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         const std::vector<int> branches = {0, 1};
         CO_RETURN_IF_ERROR(
             (co_await run.All(branches, [](RunContext& branch, int which) -> Awaitable<absl::StatusOr<int>> {
               if (which == 0) {
                 CO_RETURN_IF_ERROR(co_await branch.Sleep(absl::Hours(1)));
               } else {
                 CO_RETURN_IF_ERROR((co_await branch.CallTool("slow", json::object())).status());
               }
               co_return which;
             })).status());
         co_return Answer{.summary = "both"};
       }),
       nullptr, OnePlace());
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  Await([this] { return tools_.running() == 1 && clock_.pending_timers() >= 2; }, "both branches");
  ASSERT_OK(Create("run-2"));
  EXPECT_EQ(engine_->parked(), 0);
  EXPECT_EQ(engine_->waiting(), 1);
  EXPECT_EQ(Get("run-2").state, RunState::kPending);
}

TEST_P(RunPlacesTest, RunWhoseBranchesAllSleepLeavesItsPlace) {
  Open(
      FirstAnd([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        const std::vector<int> hours = {1, 2};
        CO_RETURN_IF_ERROR((co_await run.All(hours, [](RunContext& branch, int hour) -> Awaitable<absl::StatusOr<int>> {
                             CO_RETURN_IF_ERROR(co_await branch.Sleep(absl::Hours(hour)));
                             co_return hour;
                           })).status());
        co_return Answer{.summary = "both"};
      }),
      nullptr, OnePlace());
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitParked(1);
  ASSERT_OK(Create("run-2"));
  EXPECT_EQ(Ended("run-2").state, RunState::kSucceeded);
  clock_.Advance(absl::Hours(1));
  AwaitParked(1);  // The first branch has ended, the other one sleeps on.
  ASSERT_OK(Create("run-3"));
  EXPECT_EQ(Ended("run-3").state, RunState::kSucceeded);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Ended("run-1").state, RunState::kSucceeded);
}

TEST_P(RunPlacesTest, RunsAsleepAreTakenUpOneAfterAnotherThroughOnePlace) {
  const Script sleeper = [](RunContext& run, const json& input) { return SleepAnHour(run, input); };
  Open(sleeper, nullptr, OnePlace());
  for (const char* id : {"run-1", "run-2", "run-3"}) {
    ASSERT_OK(Create(id, absl::Hours(9)));
  }
  AwaitParked(3);
  Open(sleeper, nullptr, OnePlace());  // As after a crash.
  AwaitParked(3);
  clock_.Advance(absl::Hours(1));
  for (const char* id : {"run-1", "run-2", "run-3"}) {
    EXPECT_EQ(Ended(id).state, RunState::kSucceeded) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(, RunPlacesTest, ::testing::Values(Waiting::kInMemory, Waiting::kPutAway),
                         [](const auto& waiting) {
                           return waiting.param == Waiting::kPutAway ? "PutAway" : "InMemory";
                         });

}  // namespace
}  // namespace bulkhead::agent
