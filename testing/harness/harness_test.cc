// The harness itself: that it starts the real thing, tells why a wait failed, breaks calls where it is told to, and
// survives restarts.
#include "testing/harness/harness.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/harness/calls.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kInvokeTool[] = "bulkhead.tool.v1.ToolService/InvokeTool";
constexpr char kGetRun[] = "bulkhead.agent.v1.RunService/GetRun";

absl::Status Broken() {
  return MakeError(absl::StatusCode::kUnavailable, "broken on purpose",
                   {.domain = "bulkhead.testing", .reason = "BROKEN_ON_PURPOSE"});
}

TEST(HarnessTest, ARunGoesThroughAllServices) {
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");

  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count"}}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));

  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(tool->runs(), 1);
  EXPECT_THAT(platform->EventsOf("ada"), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                                     "tool_completed", "agent_completed"));
  EXPECT_THAT(platform->As("bob").GetRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
}

TEST(HarnessTest, AFailedWaitTellsWhatWasSeen) {
  auto tool = std::make_shared<HoldingTool>("hold");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"hold"}}}));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(ada.WaitForEvent(run, "tool_executing"));

  const auto event = ada.WaitForEvent(run, "tool_completed", /*nth=*/1, absl::Seconds(1));

  EXPECT_THAT(event, HasReason(absl::StatusCode::kDeadlineExceeded, "WAIT_TIMED_OUT"));
  EXPECT_THAT(event.status().message(), HasSubstr("run_queued, agent_started, agent_thinking, tool_executing"));
  hold->Resume();
  EXPECT_OK(ada.WaitForRun(run));
  EXPECT_THAT(ada.WaitForEvent(run, "agent_failed"), HasReason("EVENT_NEVER_CAME"));
}

TEST(HarnessTest, FaultsStrikeTheCallsTheyAreSetFor) {
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");

  platform->faults().FailCall(kInvokeTool, Broken());
  EXPECT_THAT(ada.InvokeTool("count", {}), HasReason("BROKEN_ON_PURPOSE"));
  EXPECT_EQ(tool->runs(), 0);

  platform->faults().LoseResponse(kInvokeTool, Broken());
  EXPECT_THAT(ada.InvokeTool("count", {}), HasReason("BROKEN_ON_PURPOSE"));
  EXPECT_EQ(tool->runs(), 1);

  platform->faults().FailCall(kGetRun, Broken(), /*nth=*/2);
  EXPECT_THAT(ada.GetRun(ada.name() + "/runs/run-absent"), HasReason("RUN_NOT_FOUND"));
  EXPECT_THAT(ada.GetRun(ada.name() + "/runs/run-absent"), HasReason("BROKEN_ON_PURPOSE"));
  EXPECT_EQ(platform->faults().CallsOf(kGetRun), 2);

  platform->faults().DelayCall(kInvokeTool, absl::Milliseconds(5));
  EXPECT_OK(ada.InvokeTool("count", {}));
  EXPECT_EQ(tool->runs(), 2);
}

TEST(HarnessTest, DataAndSessionsSurviveARestart) {
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("notes/a.txt", "kept"));

  ASSERT_OK(platform->Restart());

  EXPECT_THAT(ada.ReadFile("notes/a.txt"), IsOkAndHolds(std::string("kept")));
  EXPECT_THAT(ada.ListFiles(), IsOkAndHolds(std::vector<std::string>{"notes/a.txt"}));
  auth::v1::GetUserRequest request;
  request.set_name("users/me");
  ASSERT_OK_AND_ASSIGN(const auth::v1::User user,
                       Call<auth::v1::UserService>(ada, &auth::v1::UserService::Stub::GetUser, request));
  EXPECT_EQ(user.login(), "ada");
}

TEST(HarnessTest, ARunGoesOnAfterACrash) {
  auto tool = std::make_shared<HoldingTool>("hold");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  const std::shared_ptr<Hold> hold = tool->HoldCall(/*nth=*/2);
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"hold", "hold"}}}));
  ASSERT_OK(hold->Wait());

  platform->Crash();
  ASSERT_OK(platform->Start());

  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.recoveries(), 1);
  // The first step once, the second, which the crash interrupted, again.
  EXPECT_EQ(tool->runs(), 3);
}

TEST(HarnessTest, TheSameOverTcp) {
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).OverTcp().Build());

  ASSERT_OK_AND_ASSIGN(const nlohmann::json output, platform->As("ada").InvokeTool("count", {{"a", 1}}));

  EXPECT_EQ(output.at("echo").at("a"), 1);
  ASSERT_OK_AND_ASSIGN(const nlohmann::json me, platform->As("ada").Http("GET", "/v1/users/me", nullptr));
  EXPECT_EQ(me.at("login"), "ada");
}

}  // namespace
}  // namespace bulkhead::testing
