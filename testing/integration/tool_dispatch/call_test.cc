// A call of a tool, from the caller's request to the end of its work: checks in their order,
// context, results, errors, time-outs, repetition.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/auth/v1/role_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/tool/v1/tool_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/faults/hold.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::SizeIs;

using agent::v1::RUN_STATE_CANCELLED;
using agent::v1::RUN_STATE_FAILED;
using agent::v1::RUN_STATE_SUCCEEDED;

constexpr char kAnyObject[] = R"({"type": "object"})";

// A call that runs beside the test, and is over when the test ends.
class Background {
 public:
  Background(User& user, std::string tool, std::string request_id = "") : pool_(BlockingPool::Create(1)) {
    pool_->Post([this, &user, tool = std::move(tool), request_id = std::move(request_id)] {
      result_ = user.InvokeTool(tool, json::object(), request_id);
      ended_.Notify();
    });
  }
  absl::StatusOr<json> Await() {
    if (!ended_.WaitForNotificationWithTimeout(kWaitGuard)) {
      return absl::DeadlineExceededError("the call did not end");
    }
    return result_;
  }

 private:
  absl::StatusOr<json> result_ = absl::UnknownError("not ended");
  absl::Notification ended_;
  std::unique_ptr<BlockingPool> pool_;  // Dies first, and waits for the call.
};

TEST(ToolCallTest, EveryViolationOfTheInputIsReportedAndTheToolDoesNotRun) {
  Covers({"TD-6"});
  auto tool = std::make_shared<CountingTool>(
      tool::ToolSpec{.name = "strict",
                     .description = "Wants much.",
                     .input_schema =
                         R"({"type": "object", "required": ["file"], "additionalProperties": false, "properties": {
        "file": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}, "tags": {"items": {"type": "string"}}}})",
                     .output_schema = kAnyObject});
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");

  const absl::StatusOr<json> refused = ada.InvokeTool("strict", {{"limit", 0}, {"tags", {"a", 1, true}}});
  ASSERT_THAT(refused, HasReason(absl::StatusCode::kInvalidArgument, "TOOL_INPUT_INVALID"));
  const std::map<std::string, std::string> violations = ErrorInfoOf(refused.status())->metadata;
  EXPECT_THAT(violations,
              AllOf(Contains(Key("/")), Contains(Key("/limit")), Contains(Key("/tags/1")), Contains(Key("/tags/2"))));
  EXPECT_EQ(violations.size(), 4u);

  // In a run as well: no tool_executing before all checks have passed, and the run says why it
  // failed.
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"strict"}}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "TOOL_INPUT_INVALID");
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(Not(Contains("tool_executing"))));
  EXPECT_EQ(tool->runs(), 0);
}

TEST(ToolCallTest, LongToolsOfOneUserKeepNobodyFromToolsFilesOrSigningIn) {
  Covers({"TD-4", "RF-5"});
  auto released = std::make_shared<absl::Notification>();
  auto begun = std::make_shared<std::atomic<int>>(0);
  const auto spec = [](std::string name) {
    return tool::ToolSpec{.name = std::move(name),
                          .description = "Of the test.",
                          .input_schema = kAnyObject,
                          .output_schema = kAnyObject,
                          .repeat_policy = tool::RepeatPolicy::kSafe};
  };
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada", "bob"})
          .WithTool(tool::MakeTool(spec("long"),
                                   [released, begun](tool::ToolCall&) {
                                     ++*begun;
                                     released->WaitForNotification();
                                     return absl::StatusOr<json>(json::object());
                                   }))
          .WithTool(tool::MakeTool(spec("short"), [](tool::ToolCall&) { return absl::StatusOr<json>(json::object()); }))
          .Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  std::vector<std::unique_ptr<Background>> calls;
  for (int i = 0; i < 8; ++i) {  // As many as there are threads for all that blocks.
    calls.push_back(std::make_unique<Background>(ada, "long"));
  }
  EXPECT_OK(WaitFor([&] { return *begun >= 2; }, "the long tools to begin"));

  EXPECT_OK(bob.InvokeTool("short", json::object()));
  EXPECT_OK(bob.UploadFile("notes.txt", "mine"));
  EXPECT_OK(bob.SignIn());
  released->Notify();
  for (const std::unique_ptr<Background>& call : calls) {
    EXPECT_OK(call->Await());
  }
}

TEST(ToolCallTest, PermissionForOneToolIsNoneForAnother) {
  Covers({"TD-7", "AU-5"});
  auto open = std::make_shared<CountingTool>("open");
  auto closed = std::make_shared<CountingTool>("closed");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"bob"}).WithTool(open).WithTool(closed).Build());
  User& bob = platform->As("bob");
  auth::v1::CreateRoleRequest create;
  create.mutable_role()->set_name("roles/one-tool");
  create.mutable_role()->add_permissions("tool:open:invoke");
  ASSERT_OK(Call<auth::v1::RoleService>(platform->AsAdmin(), &auth::v1::RoleService::Stub::CreateRole, create));
  auth::v1::UpdateUserRequest update;
  update.mutable_user()->set_name(bob.name());
  update.mutable_user()->add_roles("roles/one-tool");
  update.mutable_update_mask()->add_paths("roles");
  ASSERT_OK(Call<auth::v1::UserService>(platform->AsAdmin(), &auth::v1::UserService::Stub::UpdateUser, update));
  ASSERT_OK(bob.SignIn());

  EXPECT_OK(bob.InvokeTool("open", json::object()));
  // Permission comes before everything else: whether the tool exists, and what it wants.
  for (const char* tool : {"closed", "nosuch", "table.load"}) {
    EXPECT_THAT(bob.InvokeTool(tool, {{"rubbish", 1}}),
                HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"))
        << tool;
  }
  EXPECT_EQ(open->runs(), 1);
  EXPECT_EQ(closed->runs(), 0);
}

TEST(ToolCallTest, ContextOfTheRunReachesTheTool) {
  Covers({"TD-2", "AE-9"});
  auto tool = std::make_shared<CountingTool>(tool::ToolSpec{.name = "look",
                                                            .description = "Looks around.",
                                                            .input_schema = kAnyObject,
                                                            .output_schema = kAnyObject,
                                                            .timeout = absl::Seconds(42)});
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  std::vector<std::string> runs;
  for (const char* login : {"ada", "bob"}) {
    User& user = platform->As(login);
    ASSERT_OK_AND_ASSIGN(const std::string run, user.StartRun("chain", {{"tools", {"look", "look"}}}));
    ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, user.WaitForRun(run));
    EXPECT_EQ(ended.state(), RUN_STATE_SUCCEEDED);
    runs.push_back(run);
  }

  const std::vector<SeenCall> calls = tool->calls();
  ASSERT_THAT(calls, SizeIs(4));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(absl::StrCat("users/", calls[i].user, "/runs/", calls[i].run), runs[i / 2]);
    EXPECT_FALSE(calls[i].request_id.empty());
    EXPECT_EQ(calls[i].deadline, platform->Now() + absl::Seconds(42));
  }
  EXPECT_NE(calls[0].request_id, calls[1].request_id) << "each step has an idempotency key of its own";
}

TEST(ToolCallTest, RepeatedRequestReturnsTheFirstResultAlsoAfterARestart) {
  Covers({"TD-2", "TD-4", "AE-6"});
  auto tool = std::make_shared<CountingTool>("count", tool::RepeatPolicy::kIdempotent);
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).Build());
  ASSERT_OK_AND_ASSIGN(const tool::v1::Invocation first, platform->As("ada").Invoke("count", {{"x", 1}}, "key-1"));
  EXPECT_FALSE(first.repeated_result());

  ASSERT_OK(platform->Restart());
  ASSERT_OK_AND_ASSIGN(const tool::v1::Invocation second, platform->As("ada").Invoke("count", {{"x", 1}}, "key-1"));
  EXPECT_TRUE(second.repeated_result());
  EXPECT_EQ(second.name(), first.name());
  EXPECT_THAT(second.output(), EqualsProto(first.output()));
  EXPECT_EQ(tool->runs(), 1);
  EXPECT_THAT(platform->As("ada").Invoke("count", {{"x", 2}}, "key-1"),
              HasReason(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  // Keys are a user's own.
  ASSERT_OK_AND_ASSIGN(const tool::v1::Invocation others, platform->As("bob").Invoke("count", {{"x", 1}}, "key-1"));
  EXPECT_FALSE(others.repeated_result());
}

TEST(ToolCallTest, SecondCallUnderTheSameKeyIsTurnedAwayWhileTheFirstRuns) {
  Covers({"TD-2", "TD-4"});
  auto tool = std::make_shared<HoldingTool>("hold");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  Background first(platform->As("ada"), "hold", "key-1");
  ASSERT_OK(hold->Wait());

  EXPECT_THAT(platform->As("ada").InvokeTool("hold", json::object(), "key-1"),
              HasReason(absl::StatusCode::kAborted, "TOOL_CALL_IN_PROGRESS"));
  hold->Resume();
  ASSERT_OK_AND_ASSIGN(const json output, first.Await());
  EXPECT_THAT(platform->As("ada").InvokeTool("hold", json::object(), "key-1"), IsOkAndHolds(output));
  EXPECT_EQ(tool->runs(), 1);
}

TEST(ToolCallTest, ToolThatTakesTooLongIsToldToStop) {
  Covers({"TD-4", "AE-4"});
  auto tool = std::make_shared<HoldingTool>(tool::ToolSpec{.name = "slow",
                                                           .description = "Waits.",
                                                           .input_schema = kAnyObject,
                                                           .output_schema = kAnyObject,
                                                           .timeout = absl::Seconds(10)});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  Background call(platform->As("ada"), "slow");
  ASSERT_OK(hold->Wait());

  platform->Advance(absl::Seconds(10));
  const absl::StatusOr<json> ended = call.Await();
  ASSERT_THAT(ended, HasReason(absl::StatusCode::kDeadlineExceeded, "TOOL_TIMED_OUT"));
  EXPECT_EQ(ErrorInfoOf(ended.status())->metadata.at("cut_off"), "false");
}

TEST(ToolCallTest, ToolThatIgnoresItsTimeoutIsCutOffAndItsLateResultDiscarded) {
  Covers({"TD-4"});
  auto tool = std::make_shared<HoldingTool>(tool::ToolSpec{.name = "stubborn",
                                                           .description = "Does not listen.",
                                                           .input_schema = kAnyObject,
                                                           .output_schema = kAnyObject,
                                                           .timeout = absl::Seconds(10)});
  tool->IgnoreStop();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_tool()->set_max_concurrent_calls(1);
                                          })
                                          .Build());
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  Background call(platform->As("ada"), "stubborn", "key-1");
  ASSERT_OK(hold->Wait());

  platform->Advance(absl::Minutes(1));
  const absl::StatusOr<json> ended = call.Await();
  ASSERT_THAT(ended, HasReason(absl::StatusCode::kDeadlineExceeded, "TOOL_TIMED_OUT"));
  EXPECT_EQ(ErrorInfoOf(ended.status())->metadata.at("cut_off"), "true");
  // It still works: for its user it counts, others are not slowed.
  EXPECT_THAT(platform->As("ada").InvokeTool("stubborn", json::object()),
              HasReason(absl::StatusCode::kResourceExhausted, "TOOL_QUOTA_EXCEEDED"));
  EXPECT_OK(platform->As("bob").InvokeTool("stubborn", json::object()));

  hold->Resume();
  // The late result is under no key: the next call with it runs the tool again.
  std::optional<tool::v1::Invocation> next;
  ASSERT_OK(WaitFor(
      [&] {
        absl::StatusOr<tool::v1::Invocation> invocation =
            platform->As("ada").Invoke("stubborn", json::object(), "key-1");
        if (invocation.ok()) {
          next = *std::move(invocation);
        }
        return next.has_value();
      },
      "the end of the tool that was cut off"));
  EXPECT_FALSE(next->repeated_result());
}

TEST(ToolCallTest, CancellingTheRunStopsItsTool) {
  Covers({"TD-4", "AE-9"});
  auto tool = std::make_shared<HoldingTool>("hold");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  // The harness fails this test when the held call is still at work at the end.
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"hold"}}}));
  ASSERT_OK(hold->Wait());

  ASSERT_OK(ada.CancelRun(run));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), RUN_STATE_CANCELLED);
}

TEST(ToolCallTest, WhatAToolDoesWrongIsAReasonAndNotAResult) {
  Covers({"TD-3", "TD-4", "AE-5"});
  auto liar = std::make_shared<CountingTool>(
      tool::ToolSpec{.name = "liar",
                     .description = "Promises a text.",
                     .input_schema = kAnyObject,
                     .output_schema = R"({"type": "object", "properties": {"call": {"type": "string"}}})"});
  auto large = std::make_shared<CountingTool>(tool::ToolSpec{.name = "large",
                                                             .description = "Says back what it hears.",
                                                             .input_schema = kAnyObject,
                                                             .output_schema = kAnyObject,
                                                             .max_output_bytes = 100});
  std::shared_ptr<tool::Tool> throws = tool::MakeTool(
      {.name = "throws", .description = "Throws.", .input_schema = kAnyObject, .output_schema = kAnyObject},
      [](tool::ToolCall& call) -> absl::StatusOr<json> { return json{{"x", call.input().at("absent")}}; });
  auto picky = std::make_shared<FailingTool>("picky", MakeError(absl::StatusCode::kFailedPrecondition, "not today",
                                                                {.domain = "example.picky", .reason = "WRONG_DAY"}));
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(liar)
                                          .WithTool(large)
                                          .WithTool(throws)
                                          .WithTool(picky)
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  EXPECT_THAT(ada.InvokeTool("liar", json::object()), HasReason(absl::StatusCode::kInternal, "TOOL_OUTPUT_INVALID"));
  EXPECT_THAT(ada.InvokeTool("large", {{"text", std::string(200, 'x')}}),
              HasReason(absl::StatusCode::kResourceExhausted, "TOOL_OUTPUT_TOO_LARGE"));
  EXPECT_THAT(ada.InvokeTool("throws", json::object()), HasReason(absl::StatusCode::kInternal, "TOOL_THREW"));
  EXPECT_THAT(ada.InvokeTool("picky", json::object()), HasReason(absl::StatusCode::kFailedPrecondition, "WRONG_DAY"));

  // Through the run as well: the reason is the tool's own.
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"picky"}}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "WRONG_DAY");
}

TEST(ToolCallTest, QuotaOfAMinuteIsEachUsersOwnAndRefills) {
  Covers({"TD-4", "AE-8"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_tool()->set_max_calls_per_minute(3);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(ada.InvokeTool("count", json::object()));
  }
  const absl::StatusOr<json> refused = ada.InvokeTool("count", json::object());
  ASSERT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "TOOL_QUOTA_EXCEEDED"));
  const std::optional<absl::Duration> retry_after = ErrorInfoOf(refused.status())->retry_after;
  ASSERT_TRUE(retry_after.has_value());
  EXPECT_EQ(tool->runs(), 3);
  EXPECT_OK(platform->As("bob").InvokeTool("count", json::object()));
  platform->Advance(*retry_after);
  EXPECT_OK(ada.InvokeTool("count", json::object()));
}

}  // namespace
}  // namespace bulkhead::testing
