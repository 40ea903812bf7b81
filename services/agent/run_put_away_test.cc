// Runs that wait, and of which nothing but their journals is left meanwhile.
#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/agent/engine_test_fixture.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"

namespace bulkhead::agent {
namespace {

using ::testing::ElementsAre;

class RunPutAwayTest : public EngineTest {
 protected:
  static RunEngine::Options InMemory(size_t most) { return {.max_waiting_in_memory = most}; }

  void AwaitPutAway(int count) {
    Await([this,
           count] { return engine_->put_away() == count && engine_->instances().live() == engine_->parked() - count; },
          absl::StrCat(count, " runs that are put away, with their agents gone"));
  }

  // Asks "first" and "second" side by side, and calls a tool for each answer.
  static Awaitable<absl::StatusOr<Answer>> TwoQuestions(RunContext& run, const json&) {
    const std::vector<std::string> questions = {"first", "second"};
    CO_RETURN_IF_ERROR(
        (co_await run.All(questions,
                          [](RunContext& branch, const std::string& question) -> Awaitable<absl::StatusOr<bool>> {
                            CO_ASSIGN_OR_RETURN(ApprovalDecision decision,
                                                co_await branch.RequestApproval({.question = question}));
                            CO_RETURN_IF_ERROR((co_await branch.CallTool("work", {{"question", question}})).status());
                            co_return decision.allowed;
                          }))
            .status());
    co_return Answer{.summary = "both"};
  }

  static Awaitable<absl::StatusOr<Answer>> SleepAnHour(RunContext& run, const json&) {
    CO_RETURN_IF_ERROR((co_await run.CallTool("before", json::object())).status());
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(1)));
    CO_RETURN_IF_ERROR((co_await run.CallTool("after", json::object())).status());
    co_return Answer{.summary = "slept"};
  }

  // Allows the question with this text, and tells the engine if `tell`.
  void Allow(const std::string& question, bool tell = true) {
    auto approvals = store_->For("ada").Approvals("run-1");
    ASSERT_OK(approvals);
    for (const ApprovalRecord& asked : *approvals) {
      if (asked.question == question) {
        ASSERT_OK(BlockOn(*executor_, store_->For("ada").Resolve("run-1", asked.id, asked.call_hash,
                                                                 {.verdict = ApprovalRecord::Verdict::kAllow,
                                                                  .decided_by = "ada",
                                                                  .decide_time = clock_.Now()})));
      }
    }
    if (tell) {
      engine_->ApprovalDecided("run-1");
    }
  }
};

TEST_F(RunPutAwayTest, SleeperGoesOnWhereItStoodAndNobodyCanTell) {
  Open(SleepAnHour, nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitPutAway(1);
  clock_.Advance(absl::Hours(1));
  const RunRecord ended = Ended();
  EXPECT_EQ(ended.state, RunState::kSucceeded);
  EXPECT_EQ(ended.recoveries, 0);
  EXPECT_EQ(ended.timing.sleep, absl::Hours(1));
  EXPECT_EQ(ended.timing.Total(), *ended.end_time - ended.create_time);
  for (const auto& [request, calls] : tools_.calls()) {
    EXPECT_EQ(calls, 1) << request;
  }
  EXPECT_THAT(Types(), ElementsAre("run_queued", "agent_started", "tool_executing", "tool_completed", "tool_executing",
                                   "tool_completed", "agent_completed"));
  AwaitPutAway(0);
}

TEST_F(RunPutAwayTest, ThoseThatWaitLongestArePutAway) {
  Open(
      [](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(run.name().back() - '0')));
        co_return Answer{.summary = "slept"};
      },
      nullptr, InMemory(2));
  for (const char* id : {"run-4", "run-1", "run-3", "run-2"}) {
    ASSERT_OK(Create(id, absl::Hours(9)));
  }
  Await([this] { return engine_->parked() == 4; }, "all asleep");
  AwaitPutAway(2);
  EXPECT_THAT(engine_->instances().runs(),
              ::testing::UnorderedElementsAre("users/ada/runs/run-1", "users/ada/runs/run-2"));
  for (const char* id : {"run-1", "run-2", "run-3", "run-4"}) {
    clock_.Advance(absl::Hours(1));
    EXPECT_EQ(Ended(id).state, RunState::kSucceeded) << id;
  }
}

TEST_F(RunPutAwayTest, EachDecisionWakesTheRunForItsOwnBranch) {
  Open(TwoQuestions, nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitPutAway(1);
  Allow("second");
  Await([this] { return tools_.calls().size() == 1; }, "the call after the second question");
  AwaitPutAway(1);
  EXPECT_EQ(Get().state, RunState::kAwaitingApproval);
  Allow("first");
  EXPECT_EQ(Ended().state, RunState::kSucceeded);
  EXPECT_EQ(Get().recoveries, 0);
  EXPECT_EQ(tools_.calls().size(), 2u);
  for (const auto& [request, calls] : tools_.calls()) {
    EXPECT_EQ(calls, 1) << request;
  }
}

TEST_F(RunPutAwayTest, DecisionThatTheEngineWasNotToldOfBeforeIsFoundInTheStore) {
  // The other run's sleep makes one too many, and run-1 waits longest: it is put away after its decision is stored.
  Open(
      [](RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
        if (run.name().ends_with("/run-1")) {
          co_return co_await TwoQuestions(run, input);
        }
        co_return co_await SleepAnHour(run, input);
      },
      nullptr, InMemory(1));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  Await([this] { return engine_->parked() == 1; }, "the questions");
  Allow("first", /*tell=*/false);
  Allow("second", /*tell=*/false);
  ASSERT_OK(Create("run-2", absl::Hours(9)));
  EXPECT_EQ(Ended().state, RunState::kSucceeded);
}

TEST_F(RunPutAwayTest, QuestionThatNobodyAnswersExpires) {
  Open(
      [](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        CO_ASSIGN_OR_RETURN(ApprovalDecision decision,
                            co_await run.RequestApproval({.question = "Well?", .expires_after = absl::Hours(2)}));
        co_return Answer{.summary = decision.expired ? "expired" : "decided"};
      },
      nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitPutAway(1);
  clock_.Advance(absl::Hours(2));
  const RunRecord ended = Ended();
  EXPECT_EQ(ended.state, RunState::kSucceeded);
  EXPECT_EQ(ended.timing.approval, absl::Hours(2));
  EXPECT_EQ(store_->For("ada").Approvals("run-1")->front().verdict, ApprovalRecord::Verdict::kExpired);
}

TEST_F(RunPutAwayTest, CancelledRunEndsWithoutBeingTakenUp) {
  std::atomic<int> begun = 0;
  Open(
      [&begun](RunContext& run, const json& input) {
        ++begun;
        return SleepAnHour(run, input);
      },
      nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitPutAway(1);
  Cancel();
  EXPECT_EQ(Ended().state, RunState::kCancelled);
  Await([this] { return engine_->parked() == 0 && engine_->put_away() == 0; }, "the engine to forget it");
  EXPECT_EQ(begun, 1);
  EXPECT_FALSE(tools_.calls().contains("run-1/2"));
}

TEST_F(RunPutAwayTest, DeadlineEndsIt) {
  Open(SleepAnHour, nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Minutes(30)));
  AwaitPutAway(1);
  clock_.Advance(absl::Minutes(30));
  const RunRecord ended = Ended();
  EXPECT_EQ(ended.state, RunState::kTimedOut);
  EXPECT_EQ(ended.error->reason, "RUN_TIMED_OUT");
  Await([this] { return clock_.pending_timers() == 0; }, "no timer left behind");
}

TEST_F(RunPutAwayTest, RunThatIsHeldBackStaysAwayUntilItIsLetGoOn) {
  Open(SleepAnHour, nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitPutAway(1);
  Interrupt();
  clock_.Advance(absl::Hours(1));
  Await([this] { return engine_->put_away() == 0; }, "the end of the sleep");
  EXPECT_EQ(engine_->instances().live(), 0);
  EXPECT_EQ(Get().state, RunState::kRunning);
  Resume();
  EXPECT_EQ(Ended().state, RunState::kSucceeded);
}

TEST_F(RunPutAwayTest, CrashFindsItAsItWas) {
  Open(TwoQuestions, nullptr, InMemory(0));
  ASSERT_OK(Create("run-1", absl::Hours(9)));
  AwaitPutAway(1);
  Open(TwoQuestions, nullptr, InMemory(0));
  AwaitPutAway(1);
  Allow("first");
  Allow("second");
  EXPECT_EQ(Ended().state, RunState::kSucceeded);
  EXPECT_EQ(Get().recoveries, 1);
}

TEST_F(RunPutAwayTest, ManyRunsComeAndGoAndEachEndsOnce) {
  constexpr int kRuns = 60;
  Open(
      [](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        for (int i = 0; i < 5; ++i) {
          CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(1 + (run.name().back() + i) % 3)));
          CO_RETURN_IF_ERROR((co_await run.CallTool("work", {{"i", i}})).status());
        }
        co_return Answer{.summary = "done"};
      },
      nullptr, {.limits = {.max_running = 4, .max_running_per_user = 4}, .max_waiting_in_memory = 7});
  for (int i = 0; i < kRuns; ++i) {
    ASSERT_OK(Create(absl::StrCat("run-", i), absl::Hours(9)));
  }
  Await(
      [&] {
        clock_.Advance(absl::Seconds(20));
        int ended = 0;
        for (int i = 0; i < kRuns; ++i) {
          ended += Get(absl::StrCat("run-", i)).state == RunState::kSucceeded;
        }
        return ended == kRuns;
      },
      "the end of all");
  EXPECT_EQ(tools_.calls().size(), size_t{kRuns} * 5);
  for (const auto& [request, calls] : tools_.calls()) {
    EXPECT_EQ(calls, 1) << request;
  }
  Await([this] { return engine_->parked() == 0 && engine_->instances().live() == 0; }, "nothing left behind");
}

}  // namespace
}  // namespace bulkhead::agent
