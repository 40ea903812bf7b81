// What goes wrong in a run: in its tools, in its agent, on the way to them.
#include "services/common/status/error.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
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
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;
namespace v1 = agent::v1;

constexpr char kInvokeTool[] = "bulkhead.tool.v1.ToolService/InvokeTool";

TEST(AgentExecutionTest, FailingToolFailsTheRunWithTheToolsReason) {
  Covers({"AE-5", "TD-4"});
  auto broken = std::make_shared<FailingTool>(
      "broken", MakeError(absl::StatusCode::kInvalidArgument, "row 7 is no number",
                          {.domain = "bulkhead.tool", .reason = "ROW_INVALID", .metadata = {{"row", "7"}}}));
  auto never = std::make_shared<CountingTool>("never");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada"}).WithTool(broken).WithTool(never).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");

  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"broken", "never"})));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));

  EXPECT_EQ(ended.state(), v1::RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "ROW_INVALID");
  EXPECT_EQ(ended.error().domain(), "bulkhead.tool");
  EXPECT_EQ(ended.error().metadata().at("row"), "7");
  EXPECT_EQ(never->runs(), 0);
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event completed, ada.WaitForEvent(run, "tool_completed"));
  EXPECT_EQ(completed.tool_completed().error().reason(), "ROW_INVALID");
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, AgentThatThrowsFailsItsRunAndNoOther) {
  Covers({"AE-5", "AE-8"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada", "bob"})
          .WithTool(tool)
          .WithAgent(ToolChainAgent())
          .WithAgent(ScriptedAgent("thrower",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     co_await run.Think("about to throw");
                                     throw std::runtime_error("out of cheese");
                                   }))
          .Build());
  ASSERT_OK_AND_ASSIGN(std::string thrown, platform->As("ada").StartRun("thrower", json::object()));
  ASSERT_OK_AND_ASSIGN(std::string good, platform->As("bob").StartRun("chain", Tools({"count"})));

  ASSERT_OK_AND_ASSIGN(v1::Run failed, platform->As("ada").WaitForRun(thrown));
  EXPECT_EQ(failed.error().reason(), "AGENT_THREW");
  EXPECT_THAT(failed.error().message(), HasSubstr("out of cheese"));
  ASSERT_OK_AND_ASSIGN(v1::Run succeeded, platform->As("bob").WaitForRun(good));
  EXPECT_EQ(succeeded.state(), v1::RUN_STATE_SUCCEEDED);
  ExpectWholeStory(platform->As("ada"), thrown);
}

TEST(AgentExecutionTest, RunThatDoesNotStopIsStoppedByItsStepLimit) {
  Covers({"AE-5", "AE-8"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent("endless",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     while (true) {
                                       co_await run.Now();
                                     }
                                   }))
          .Configure([](common::v1::PlatformConfig& config) { config.mutable_agent()->set_max_steps_per_run(25); })
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("endless", json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "STEP_LIMIT_EXCEEDED");
  EXPECT_EQ(ended.steps(), 25);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, ParallelCallsKeepTheirOrderAndOneFailureIsTheirs) {
  Covers({"AE-3", "TD-5"});
  auto tool = std::make_shared<CountingTool>("count");
  auto broken = std::make_shared<FailingTool>(
      "broken",
      MakeError(absl::StatusCode::kNotFound, "gone", {.domain = "bulkhead.tool", .reason = "FILE_NOT_FOUND"}));
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithTool(broken)
          .WithAgent(ScriptedAgent("parallel",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     const std::vector<std::string> tools = {"count", "broken", "count", "count"};
                                     int index = 0;
                                     std::vector<absl::StatusOr<json>> results =
                                         co_await run.AllSettled(tools, [&](const std::string& tool) {
                                           return run.CallTool(tool, {{"index", index++}});
                                         });
                                     Answer answer;
                                     for (const absl::StatusOr<json>& result : results) {
                                       answer.data["results"].push_back(result.ok() ? (*result)["echo"]["index"]
                                                                                    : json(ReasonOf(result.status())));
                                     }
                                     co_return answer;
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("parallel", json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  ASSERT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  const auto& results = ended.answer().data().fields().at("results").list_value().values();
  ASSERT_THAT(results, SizeIs(4));
  EXPECT_EQ(results[0].number_value(), 0);
  EXPECT_EQ(results[1].string_value(), "FILE_NOT_FOUND");
  EXPECT_EQ(results[2].number_value(), 2);
  EXPECT_EQ(results[3].number_value(), 3);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, LostAnswerOfAToolIsFetchedUnderTheSameKey) {
  Covers({"AE-3", "TD-4"});
  auto tool = std::make_shared<CountingTool>("count", tool::RepeatPolicy::kIdempotent);
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  platform->faults().FailCall(kInvokeTool, absl::UnavailableError("the line is dead"));
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"count"})));
  // The wait between attempts is on the domain's clock.
  ASSERT_OK(WaitFor(
      [&] {
        platform->Advance(absl::Milliseconds(100));
        return platform->faults().CallsOf(kInvokeTool) >= 2;
      },
      "the second attempt"));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(tool->runs(), 1);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, ProgressOfALongToolReachesTheStreamWithoutANumber) {
  Covers({"TD-9", "WS-5"});
  class ReportingTool final : public HoldingTool {
   public:
    using HoldingTool::HoldingTool;
    Awaitable<absl::StatusOr<json>> Run(tool::ToolCall& call) override {
      call.ReportProgress(0.5, "half way");
      co_return co_await HoldingTool::Run(call);
    }
  };
  auto tool = std::make_shared<ReportingTool>("slow");
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  auto call = platform->faults().HoldCall(kInvokeTool);
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"slow"})));
  ASSERT_OK(call->Wait());
  // Transient events are for those who are there: somebody watches before the tool begins.
  grpc::ClientContext context;
  ada.Authorize(context);
  notifier::v1::SubscribeRequest request;
  request.set_stream(run);
  auto stub = StubFor<notifier::v1::EventService>(ada);
  auto reader = stub->Subscribe(&context, request);
  notifier::v1::SubscribeResponse message;
  while (reader->Read(&message) && !message.has_caught_up()) {
  }
  ASSERT_TRUE(message.has_caught_up());

  call->Resume();
  while (reader->Read(&message) && message.event().type() != "tool_progress") {
  }
  EXPECT_EQ(message.event().sequence(), 0u);
  EXPECT_EQ(message.event().tool_progress().message(), "half way");
  ASSERT_OK(hold->Wait());
  hold->Resume();
  while (reader->Read(&message)) {
  }
  ASSERT_OK(ada.WaitForRun(run));
  EXPECT_THAT(*ada.EventTypesOf(run), Each(::testing::Not("tool_progress")));
  ExpectWholeStory(ada, run);
}

}  // namespace
}  // namespace bulkhead::testing
