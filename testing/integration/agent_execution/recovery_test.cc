// Runs that outlive their process, and what people decide about them.
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
namespace v1 = agent::v1;

TEST(AgentExecutionTest, CrashAtAnyCommitLosesNothingAndRepeatsNothing) {
  Covers({"AE-6", "DP-6"});
  std::atomic<int64_t> dies_at = INT64_MAX;
  std::atomic<bool> dead = false;
  auto hook = [&](int64_t n) {
    dead = dead || n >= dies_at;
    return dead ? absl::UnavailableError("the storage is dead on purpose") : absl::OkStatus();
  };
  // From the first commit after the run's creation on, until a run gets through undisturbed.
  bool undisturbed = false;
  for (int64_t point = 2; !undisturbed && point < 60; ++point) {
    SCOPED_TRACE(absl::StrCat("the agent's storage dies at commit ", point));
    auto first = std::make_shared<CountingTool>("first", tool::RepeatPolicy::kIdempotent);
    auto second = std::make_shared<CountingTool>("second");
    dead = false;
    dies_at = point;
    ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                            .WithUsers({"ada"})
                                            .WithTool(first)
                                            .WithTool(second)
                                            .WithAgent(ToolChainAgent())
                                            .BeforeCommit(hook)
                                            .Build());
    User& ada = platform->As("ada");
    absl::StatusOr<std::string> run = ada.StartRun("chain", Tools({"first", "second"}), {.request_id = "once"});
    if (run.ok()) {
      ASSERT_OK(WaitFor(
          [&] {
            if (dead) {
              return true;
            }
            absl::StatusOr<std::vector<std::string>> types = ada.EventTypesOf(*run);
            return types.ok() && !types->empty() && types->back() == "agent_completed";
          },
          "the crash, or the end"));
    }
    undisturbed = !dead;
    platform->Crash();
    dead = false;
    dies_at = INT64_MAX;
    ASSERT_OK(platform->Start());
    // The client does not know whether it was heard, and asks again.
    ASSERT_OK_AND_ASSIGN(std::string again, ada.StartRun("chain", Tools({"first", "second"}), {.request_id = "once"}));
    ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(again));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
    EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(1)));
    // The tool service remembers what the agent service had not yet written down.
    EXPECT_EQ(first->runs(), 1);
    EXPECT_EQ(second->runs(), 1);
    ASSERT_OK_AND_ASSIGN(std::vector<std::string> types, ada.EventTypesOf(again));
    std::erase(types, "run_recovered");
    EXPECT_THAT(types, ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
                                   "agent_thinking", "tool_executing", "tool_completed", "agent_completed"));
    ExpectWholeStory(ada, again);
  }
  EXPECT_TRUE(undisturbed);
}

TEST(AgentExecutionTest, CallInDoubtThatMayHappenOnceIsDecidedByThePerson) {
  Covers({"AE-6", "AE-10"});
  auto tool = std::make_shared<HoldingTool>("pay", tool::RepeatPolicy::kAtMostOnce);
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"pay"})));
  ASSERT_OK(hold->Wait());
  platform->Crash();
  ASSERT_OK(platform->Start());

  ASSERT_OK_AND_ASSIGN(v1::Approval asked, ada.WaitForApproval(run));
  EXPECT_THAT(asked.question(), HasSubstr("may or may not have happened"));
  EXPECT_EQ(tool->runs(), 1) << "nobody has called it again";
  EXPECT_THAT(platform->As("bob").Decide(asked, /*allow=*/true), HasReason("APPROVAL_NOT_FOUND"));
  ASSERT_OK(ada.Decide(asked, /*allow=*/false));

  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "TOOL_OUTCOME_UNKNOWN");
  EXPECT_EQ(tool->runs(), 1);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, DecisionThatIsSentAgainIsAnsweredAsTheFirstTime) {
  Covers({"AE-10"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent("careful",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = "On?"})).status());
                                     co_return Answer{.summary = "on"};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("careful", json::object()));
  ASSERT_OK_AND_ASSIGN(const v1::Approval asked, ada.WaitForApproval(run));
  ASSERT_OK_AND_ASSIGN(const v1::Approval decided, ada.Decide(asked, /*allow=*/true, "answer-1"));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK(platform->Restart());

  // As by a client that lost the reply; long after the time to decide is over, too.
  platform->Advance(absl::Hours(2));
  ASSERT_OK(ada.SignIn());
  EXPECT_THAT(ada.Decide(asked, /*allow=*/true, "answer-1"), IsOkAndHolds(EqualsProto(decided)));
  EXPECT_THAT(ada.Decide(asked, /*allow=*/true, "answer-2"), Not(IsOk()));
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(Contains("approval_resolved").Times(1)));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, RunWaitsForAnApprovalAcrossARestartAndGoesOnOnce) {
  Covers({"AE-4", "AE-10"});
  auto tool = std::make_shared<CountingTool>("send");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithAgent(ScriptedAgent("careful",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     CO_ASSIGN_OR_RETURN(
                                         agent::ApprovalDecision decision,
                                         co_await run.RequestApproval({.question = "Send it?", .tool = "send"}));
                                     if (!decision.allowed) {
                                       co_return Answer{.summary = "not sent"};
                                     }
                                     CO_RETURN_IF_ERROR((co_await run.CallTool("send", json::object())).status());
                                     co_return Answer{.summary = "sent"};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("careful", json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Approval asked, ada.WaitForApproval(run));
  ASSERT_OK_AND_ASSIGN(v1::Run waiting, ada.GetRun(run));
  EXPECT_EQ(waiting.state(), v1::RUN_STATE_AWAITING_APPROVAL);
  ASSERT_OK(platform->Restart());

  ASSERT_OK(ada.Decide(asked, /*allow=*/true));
  EXPECT_THAT(ada.Decide(asked, /*allow=*/false), HasReason("APPROVAL_DECIDED"));

  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "sent");
  EXPECT_EQ(tool->runs(), 1);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, SleepOutlivesACrash) {
  Covers({"AE-4", "AE-6"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent("sleeper",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     const absl::Time before = co_await run.Now();
                                     co_await run.Think("asleep");
                                     CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(10)));
                                     co_return Answer{.summary = absl::FormatDuration(co_await run.Now() - before)};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("sleeper", json::object()));
  ASSERT_OK(ada.WaitForEvent(run, "agent_thinking"));
  ASSERT_OK(WaitFor([&] { return ada.GetRun(run)->steps() == 3; }, "the sleep"));
  platform->Advance(absl::Minutes(4));
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK(ada.WaitForEvent(run, "run_recovered"));
  platform->Advance(absl::Minutes(6));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "10m");
  EXPECT_EQ(ended.recoveries(), 1);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, AgentThatChangedUnderARunFailsItByName) {
  Covers({"AE-6"});
  auto tool = std::make_shared<HoldingTool>("slow");
  auto hold = tool->HoldCall();
  auto version = std::make_shared<std::atomic<int>>(1);
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithAgent(ScriptedAgent("changing",
                                   [version](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     co_await run.Think(absl::StrCat("version ", version->load()));
                                     CO_RETURN_IF_ERROR((co_await run.CallTool("slow", json::object())).status());
                                     co_return Answer{.summary = "done"};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("changing", json::object()));
  ASSERT_OK(hold->Wait());
  platform->Crash();
  *version = 2;
  ASSERT_OK(platform->Start());
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "NONDETERMINISTIC_AGENT");
  EXPECT_THAT(ended.error().metadata().at("journal"), HasSubstr("think#"));
  EXPECT_THAT(ended.error().metadata().at("agent"), HasSubstr("think#"));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, RestartInGoodOrderHandsRunsOver) {
  Covers({"AE-4", "AE-6"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithAgent(ScriptedAgent("pausing",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     CO_RETURN_IF_ERROR((co_await run.CallTool("count", json::object())).status());
                                     CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(1)));
                                     CO_RETURN_IF_ERROR((co_await run.CallTool("count", json::object())).status());
                                     co_return Answer{.summary = "done"};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("pausing", json::object()));
  ASSERT_OK(WaitFor([&] { return ada.GetRun(run)->steps() == 2; }, "the pause"));
  ASSERT_OK(platform->Restart());
  ASSERT_OK(ada.WaitForEvent(run, "run_recovered"));
  platform->Advance(absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(tool->runs(), 2) << "the first call is not made again";
  ExpectWholeStory(ada, run);
}

}  // namespace
}  // namespace bulkhead::testing
