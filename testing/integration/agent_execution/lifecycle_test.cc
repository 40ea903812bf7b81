// Runs from the first request to the last event, on the real auth, tool and notifier services.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace v1 = agent::v1;

TEST(AgentExecutionTest, RunGoesThroughEveryServiceToItsAnswer) {
  Covers({"AE-1", "AE-2", "AE-3", "AE-7", "WS-1"});
  auto first = std::make_shared<CountingTool>("first");
  auto second = std::make_shared<CountingTool>("second");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada"}).WithTool(first).WithTool(second).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");

  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"first", "second"})));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));

  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(ended.answer().summary(), "2 calls");
  EXPECT_EQ(ended.steps(), 4);
  EXPECT_TRUE(ended.has_timing());
  EXPECT_TRUE(ended.has_start_time() && ended.has_end_time());
  // The tool sees whose run it works for, and a key of the call's own.
  const std::vector<SeenCall> calls = first->calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].user, ada.id());
  EXPECT_TRUE(run.ends_with(absl::StrCat("/", calls[0].run)));
  EXPECT_THAT(calls[0].request_id, HasSubstr(calls[0].run));
  EXPECT_EQ(second->runs(), 1);
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(ElementsAre("run_queued", "agent_started", "agent_thinking",
                                                              "tool_executing", "tool_completed", "agent_thinking",
                                                              "tool_executing", "tool_completed", "agent_completed")));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, BadInputIsRefusedBeforeThereIsARun) {
  Covers({"AE-2", "AE-5"});
  agent::AgentFactory strict = ToolChainAgent("strict");
  strict.spec.input_schema =
      R"({"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}, "n": {"type": "integer"}}})";
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithAgent(strict).Build());
  User& ada = platform->As("ada");

  absl::StatusOr<std::string> refused = ada.StartRun("strict", {{"n", "many"}});
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kInvalidArgument, "RUN_INPUT_INVALID"));
  EXPECT_THAT(ErrorInfoOf(refused.status())->metadata, SizeIs(2)) << "every violation";
  EXPECT_THAT(ada.StartRun("nobody", json::object()), HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND"));
  v1::CreateRunRequest in_the_past;
  in_the_past.set_agent("agents/strict");
  (*in_the_past.mutable_input()->mutable_fields())["file"].set_string_value("a.csv");
  in_the_past.mutable_timeout()->set_seconds(-1);
  EXPECT_THAT(Call<v1::RunService>(ada, &v1::RunService::Stub::CreateRun, in_the_past),
              HasReason(absl::StatusCode::kInvalidArgument, "RUN_TIMEOUT_INVALID"));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(IsEmpty()));
}

TEST(AgentExecutionTest, RepeatedRequestMakesOneRun) {
  Covers({"AE-2"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"count"}), {.request_id = "once"}));
  EXPECT_THAT(ada.StartRun("chain", Tools({"count"}), {.request_id = "once"}), IsOkAndHolds(run));
  ASSERT_OK(ada.WaitForRun(run));
  EXPECT_THAT(ada.StartRun("chain", Tools({"count"}), {.request_id = "once"}), IsOkAndHolds(run));
  EXPECT_EQ(tool->runs(), 1);
  // Another user's request is another request.
  ASSERT_OK_AND_ASSIGN(std::string other,
                       platform->As("bob").StartRun("chain", Tools({"count"}), {.request_id = "once"}));
  EXPECT_NE(other, run);
  ASSERT_OK(platform->As("bob").WaitForRun(other));
}

TEST(AgentExecutionTest, RunTimesOutByTheClockAndItsToolWithIt) {
  Covers({"AE-4", "AE-9"});
  auto tool = std::make_shared<HoldingTool>("slow");
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"slow"}), {.timeout = absl::Seconds(30)}));
  ASSERT_OK(hold->Wait());

  platform->Advance(absl::Seconds(30));

  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_TIMED_OUT);
  EXPECT_EQ(ended.error().reason(), "RUN_TIMED_OUT");
  EXPECT_EQ(ended.timing().tools().seconds(), 30);
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, CancelReachesTheToolInTheMiddle) {
  Covers({"AE-4", "AE-9"});
  auto tool = std::make_shared<HoldingTool>("slow");
  auto hold = tool->HoldCall();
  auto never = std::make_shared<CountingTool>("never");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithTool(never).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"slow", "never"})));
  ASSERT_OK(hold->Wait());

  EXPECT_THAT(platform->As("bob").CancelRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  ASSERT_OK(ada.CancelRun(run, "changed my mind"));

  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
  EXPECT_EQ(never->runs(), 0);
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event cancelled, ada.WaitForEvent(run, "agent_cancelled"));
  EXPECT_EQ(cancelled.agent_cancelled().comment(), "changed my mind");
  EXPECT_EQ(cancelled.agent_cancelled().cancelled_by(), ada.name());
  EXPECT_THAT(ada.CancelRun(run), HasReason(absl::StatusCode::kFailedPrecondition, "RUN_ENDED"));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, EndedRunIsRetriedFromItsInputAndDeletedWithItsJournal) {
  Covers({"AE-4"});
  auto tool = std::make_shared<FailingTool>(
      "flaky",
      MakeError(absl::StatusCode::kInvalidArgument, "not yet", {.domain = "bulkhead.tool", .reason = "NOT_YET"}), 1);
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"flaky"})));
  ASSERT_OK_AND_ASSIGN(v1::Run failed, ada.WaitForRun(run));
  EXPECT_EQ(failed.state(), v1::RUN_STATE_FAILED);

  v1::RetryRunRequest retry;
  retry.set_name(run);
  ASSERT_OK_AND_ASSIGN(v1::Run retried, Call<v1::RunService>(ada, &v1::RunService::Stub::RetryRun, retry));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(retried.name()));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();

  v1::DeleteRunRequest remove;
  remove.set_name(run);
  ASSERT_OK(Call<v1::RunService>(ada, &v1::RunService::Stub::DeleteRun, remove));
  EXPECT_THAT(ada.GetRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(1)));
}

TEST(AgentExecutionTest, UsersTakeTurnsWhenPlacesAreScarce) {
  Covers({"AE-8"});
  auto tool = std::make_shared<HoldingTool>("slow");
  std::vector<std::shared_ptr<Hold>> holds;
  for (int i = 1; i <= 4; ++i) {
    holds.push_back(tool->HoldCall(i));
  }
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .WithAgent(ToolChainAgent())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->set_max_running(1);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  std::vector<std::string> runs;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"slow"})));
    runs.push_back(run);
    if (i == 0) {
      ASSERT_OK(holds[0]->Wait());
    }
  }
  ASSERT_OK_AND_ASSIGN(std::string bobs, bob.StartRun("chain", Tools({"slow"})));
  for (size_t i = 0; i < holds.size(); ++i) {
    ASSERT_OK(holds[i]->Wait());
    EXPECT_THAT(tool->calls(), SizeIs(i + 1)) << "one at a time";
    holds[i]->Resume();
  }
  ASSERT_OK(bob.WaitForRun(bobs));
  for (const std::string& run : runs) {
    ASSERT_OK(ada.WaitForRun(run));
  }
  std::vector<std::string> order;
  for (const SeenCall& call : tool->calls()) {
    order.push_back(call.user);
  }
  // Ada had a turn in the round that was on when Bob came, so the next one is his, though two of hers came before it.
  EXPECT_THAT(order, ElementsAre(ada.id(), bob.id(), ada.id(), ada.id()));
}

TEST(AgentExecutionTest, UserOverTheQuotaIsToldWhenToTryAgain) {
  Covers({"AE-8"});
  auto tool = std::make_shared<HoldingTool>("slow");
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .WithAgent(ToolChainAgent())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->set_max_running_per_user(1);
                                            config.mutable_agent()->set_max_waiting_per_user(1);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string runs, ada.StartRun("chain", Tools({"slow"})));
  ASSERT_OK(hold->Wait());
  ASSERT_OK_AND_ASSIGN(std::string waits, ada.StartRun("chain", Tools({"slow"})));
  absl::StatusOr<std::string> refused = ada.StartRun("chain", Tools({"slow"}));
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "RUN_QUOTA_EXCEEDED"));
  EXPECT_TRUE(ErrorInfoOf(refused.status())->retry_after.has_value());
  // Bob is not concerned.
  ASSERT_OK_AND_ASSIGN(std::string bobs, platform->As("bob").StartRun("chain", Tools({"slow"})));
  ASSERT_OK(platform->As("bob").WaitForRun(bobs));
  // A waiting run is cancelled at once.
  ASSERT_OK_AND_ASSIGN(v1::Run cancelled, ada.CancelRun(waits));
  EXPECT_EQ(cancelled.state(), v1::RUN_STATE_CANCELLED);
  hold->Resume();
  ASSERT_OK(ada.WaitForRun(runs));
  ASSERT_OK_AND_ASSIGN(std::string later, ada.StartRun("chain", Tools({"slow"})));
  ASSERT_OK(ada.WaitForRun(later));
}

}  // namespace
}  // namespace bulkhead::testing
