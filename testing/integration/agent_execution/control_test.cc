// What a user does to a run under way, and what the platform does about agents
// that do not behave.
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/resource_name.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::ElementsAre;
namespace v1 = agent::v1;

std::string Path(const std::string& run, std::string_view verb) { return absl::StrCat("/v1/runs/", IdOf(run), verb); }

absl::Duration Span(const google::protobuf::Duration& span) {
  return absl::Seconds(span.seconds()) + absl::Nanoseconds(span.nanos());
}
absl::Time Moment(const google::protobuf::Timestamp& moment) {
  return absl::FromUnixSeconds(moment.seconds()) + absl::Nanoseconds(moment.nanos());
}

TEST(AgentExecutionTest, InterruptedRunStandsStillAcrossARestartUntilItIsResumed) {
  Covers({"AE-4", "AE-7"});
  auto slow = std::make_shared<HoldingTool>("slow");
  auto hold = slow->HoldCall();
  auto after = std::make_shared<CountingTool>("after");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada", "bob"}).WithTool(slow).WithTool(after).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"slow", "after"})));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(ada.WaitForEvent(run, "tool_executing"));

  v1::InterruptRunRequest interrupt;
  interrupt.set_name(run);
  EXPECT_THAT(Call<v1::RunService>(platform->As("bob"), &v1::RunService::Stub::InterruptRun, interrupt),
              HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(json interrupted, ada.Http("POST", Path(run, ":interrupt"), json::object()));
  EXPECT_TRUE(interrupted.contains("interruptTime"));
  // What is under way goes on; what comes next does not.
  hold->Resume();
  ASSERT_OK(ada.WaitForEvent(run, "tool_completed"));
  ASSERT_OK(platform->Restart());
  ASSERT_OK(ada.WaitForEvent(run, "run_recovered"));
  ASSERT_OK_AND_ASSIGN(v1::Run standing, ada.GetRun(run));
  EXPECT_TRUE(standing.has_interrupt_time());
  EXPECT_EQ(after->runs(), 0);

  ASSERT_OK_AND_ASSIGN(json resumed, ada.Http("POST", Path(run, ":resume"), json::object()));
  EXPECT_FALSE(resumed.contains("interruptTime"));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(after->runs(), 1);
  EXPECT_THAT(ada.EventTypesOf(run),
              IsOkAndHolds(ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                       "run_interrupted", "tool_completed", "run_recovered", "run_resumed",
                                       "agent_thinking", "tool_executing", "tool_completed", "agent_completed")));
  ExpectWholeStory(ada, run);
  EXPECT_THAT(Call<v1::RunService>(ada, &v1::RunService::Stub::InterruptRun, interrupt),
              HasReason(absl::StatusCode::kFailedPrecondition, "RUN_ENDED"));
  v1::ResumeRunRequest resume;
  resume.set_name(run);
  EXPECT_THAT(Call<v1::RunService>(ada, &v1::RunService::Stub::ResumeRun, resume),
              HasReason(absl::StatusCode::kFailedPrecondition, "RUN_NOT_INTERRUPTED"));
}

TEST(AgentExecutionTest, TimingAddsUpToTheWholeRunInTheApiAndItsLastEvent) {
  Covers({"AE-7"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent("sleeper",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(3)));
                                     CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = "On?"})).status());
                                     co_return Answer{.summary = "done"};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("sleeper", json::object()));
  ASSERT_OK(WaitFor([&] { return ada.GetRun(run)->steps() == 1; }, "the sleep"));
  platform->Advance(absl::Minutes(3));
  ASSERT_OK_AND_ASSIGN(v1::Approval asked, ada.WaitForApproval(run));
  platform->Advance(absl::Minutes(2));
  ASSERT_OK(ada.Decide(asked, /*allow=*/true));

  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  const absl::Duration whole = Moment(ended.end_time()) - Moment(ended.create_time());
  EXPECT_EQ(whole, absl::Minutes(5));
  const v1::Timing& timing = ended.timing();
  EXPECT_EQ(Span(timing.queued()) + Span(timing.agent()) + Span(timing.tools()) + Span(timing.model()) +
                Span(timing.journal()) + Span(timing.approval()) + Span(timing.sleep()) + Span(timing.interrupted()) +
                Span(timing.children()),
            whole);
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event completed, ada.WaitForEvent(run, "agent_completed"));
  EXPECT_EQ(Span(completed.agent_completed().timing().sleep()), Span(timing.sleep()));
  EXPECT_EQ(Span(completed.agent_completed().timing().approval()), Span(timing.approval()));
}

TEST(AgentExecutionTest, BranchThatLosesHasItsToolCallCancelled) {
  Covers({"AE-3", "AE-9", "TD-5"});
  auto slow = std::make_shared<HoldingTool>("slow");
  auto hold = slow->HoldCall();
  auto quick = std::make_shared<HoldingTool>("quick");
  auto start = quick->HoldCall();
  ASSERT_OK_AND_ASSIGN(
      auto platform, Harness::Builder()
                         .WithUsers({"ada"})
                         .WithTool(slow)
                         .WithTool(quick)
                         .WithAgent(ScriptedAgent(
                             "hasty",
                             [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                               const std::vector<std::string> tools = {"slow", "quick"};
                               const auto call = [](agent::RunContext& branch,
                                                    const std::string& tool) -> Awaitable<absl::StatusOr<std::string>> {
                                 CO_RETURN_IF_ERROR((co_await branch.CallTool(tool, json::object())).status());
                                 co_return tool;
                               };
                               CO_ASSIGN_OR_RETURN(std::string won, co_await run.Any(tools, call));
                               co_return Answer{.summary = won};
                             }))
                         .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("hasty", json::object()));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(start->Wait());
  start->Resume();
  // Nobody lets the slow one go on: it ends because it is cancelled.
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "quick") << ended.error().message();
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event lost, ada.WaitForEvent(run, "tool_completed", 2));
  EXPECT_EQ(lost.tool_completed().tool(), "tools/slow");
  EXPECT_EQ(lost.tool_completed().error().reason(), "BRANCH_LOST");
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, AgentsThatNeverAwaitAreFailedAndOthersGoOn) {
  Covers({"AE-5", "AE-8"});
  auto released = std::make_shared<std::atomic<bool>>(false);
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada", "bob"})
          .WithTool(tool)
          .WithAgent(ToolChainAgent())
          .WithAgent(ScriptedAgent("loop",
                                   [released](agent::RunContext&, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     while (!released->load()) {
                                     }
                                     co_return Answer{.summary = "too late"};
                                   }))
          .Configure([](common::v1::PlatformConfig& config) {
            config.mutable_agent()->mutable_unresponsive_after()->set_seconds(1);
          })
          .Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  // As many as there are threads to take, and more.
  std::vector<std::string> loops;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("loop", json::object()));
    loops.push_back(std::move(run));
  }
  ASSERT_OK_AND_ASSIGN(std::string good, bob.StartRun("chain", Tools({"count"})));

  ASSERT_OK_AND_ASSIGN(v1::Run succeeded, bob.WaitForRun(good));
  EXPECT_EQ(succeeded.state(), v1::RUN_STATE_SUCCEEDED) << succeeded.error().message();
  for (const std::string& run : loops) {
    ASSERT_OK_AND_ASSIGN(v1::Run failed, ada.WaitForRun(run));
    EXPECT_EQ(failed.state(), v1::RUN_STATE_FAILED);
    EXPECT_EQ(failed.error().reason(), "AGENT_UNRESPONSIVE");
    ExpectWholeStory(ada, run);
  }
  *released = true;  // The test has to end.
}

TEST(AgentExecutionTest, EndedRunsAreDeletedWhenTheirTimeIsOver) {
  Covers({"AE-4", "RF-5"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(tool)
                                          .WithAgent(ToolChainAgent())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->mutable_run_retention()->set_seconds(120);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string old, ada.StartRun("chain", Tools({"count"})));
  ASSERT_OK(ada.WaitForRun(old));
  platform->Advance(absl::Seconds(90));
  ASSERT_OK_AND_ASSIGN(std::string young, ada.StartRun("chain", Tools({"count"})));
  ASSERT_OK(ada.WaitForRun(young));
  // Until the old one is due, and not so far that the young one is.
  const absl::Time limit = platform->Now() + absl::Seconds(100);
  ASSERT_OK(WaitFor(
      [&] {
        if (platform->Now() < limit) {
          platform->Advance(absl::Seconds(1));
        }
        return !ada.GetRun(old).ok();
      },
      "the old run's deletion"));
  EXPECT_THAT(ada.GetRun(old), HasReason("RUN_NOT_FOUND"));
  EXPECT_OK(ada.GetRun(young));
}

}  // namespace
}  // namespace bulkhead::testing
