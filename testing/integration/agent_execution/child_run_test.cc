// Runs that start runs: one tree, one owner, one end.
#include <memory>
#include <string>
#include <vector>

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
#include "services/common/status/macros.h"
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
using ::testing::Property;
using ::testing::SizeIs;
namespace v1 = agent::v1;

// Runs the chain for each tool of its input, as a child run of its own.
agent::AgentFactory ParentAgent() {
  return ScriptedAgent("parent", [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
    const std::vector<std::string> tools = input.at("tools");
    CO_ASSIGN_OR_RETURN(std::vector<Answer> answers,
                        co_await run.All(tools, [](agent::RunContext& branch, const std::string& tool) {
                          return branch.RunAgent("chain", Tools({tool}));
                        }));
    Answer answer{.summary = absl::StrCat(answers.size(), " children")};
    for (const Answer& child : answers) {
      answer.data["children"].push_back(child.summary);
    }
    co_return answer;
  });
}

absl::StatusOr<std::vector<v1::Run>> ChildrenOf(User& user, const std::string& run) {
  v1::ListRunsRequest request;
  request.set_parent(run);
  ASSIGN_OR_RETURN(v1::ListRunsResponse children, Call<v1::RunService>(user, &v1::RunService::Stub::ListRuns, request));
  return std::vector<v1::Run>(children.runs().begin(), children.runs().end());
}

TEST(AgentExecutionTest, ParentGetsTheAnswersOfItsChildrenEvenInTheOnlyPlace) {
  Covers({"AE-1", "AE-8", "RF-2"});
  auto first = std::make_shared<CountingTool>("first");
  auto second = std::make_shared<CountingTool>("second");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(first)
                                          .WithTool(second)
                                          .WithAgent(ToolChainAgent())
                                          .WithAgent(ParentAgent())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            // A parent that waited for a place for its child would wait for ever.
                                            config.mutable_agent()->set_max_running(1);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("parent", Tools({"first", "second"})));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.answer().summary(), "2 children");

  ASSERT_OK_AND_ASSIGN(std::vector<v1::Run> children, ChildrenOf(ada, run));
  EXPECT_THAT(children, SizeIs(2));
  EXPECT_THAT(children, Each(Property(&v1::Run::parent, run)));
  EXPECT_THAT(children, Each(Property(&v1::Run::state, v1::RUN_STATE_SUCCEEDED)));
  for (const v1::Run& child : children) {
    ExpectWholeStory(ada, child.name());
  }
  // The child works as itself: the tool sees its run, and another user sees
  // none of it.
  ASSERT_THAT(first->calls(), SizeIs(1));
  EXPECT_FALSE(run.ends_with(first->calls()[0].run));
  EXPECT_THAT(platform->As("bob").GetRun(children[0].name()), HasReason("RUN_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event started, ada.WaitForEvent(run, "child_started"));
  EXPECT_EQ(started.child_started().agent(), "agents/chain");
  ASSERT_OK(ada.WaitForEvent(run, "child_ended", 2));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, CancelledParentTakesItsChildrenAndTheirToolsWithIt) {
  Covers({"AE-4", "AE-9"});
  auto slow = std::make_shared<HoldingTool>("slow");
  auto hold = slow->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(slow)
                                          .WithAgent(ToolChainAgent())
                                          .WithAgent(ParentAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("parent", Tools({"slow"})));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(ada.CancelRun(run, "enough"));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
  ASSERT_OK_AND_ASSIGN(std::vector<v1::Run> children, ChildrenOf(ada, run));
  ASSERT_THAT(children, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(v1::Run child, ada.WaitForRun(children[0].name()));
  EXPECT_EQ(child.state(), v1::RUN_STATE_CANCELLED);
  ExpectWholeStory(ada, run);
  ExpectWholeStory(ada, child.name());
}

TEST(AgentExecutionTest, ChildUnderWayAtACrashIsTheSameChildAfterIt) {
  Covers({"AE-6"});
  auto slow = std::make_shared<HoldingTool>("slow", tool::RepeatPolicy::kIdempotent);
  auto hold = slow->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(slow)
                                          .WithAgent(ToolChainAgent())
                                          .WithAgent(ParentAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("parent", Tools({"slow"})));
  ASSERT_OK(hold->Wait());
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(2)));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, FailingChildGivesItsReasonAndRunsEndSomewhereDeep) {
  Covers({"AE-5", "AE-8"});
  auto broken = std::make_shared<FailingTool>(
      "broken",
      MakeError(absl::StatusCode::kNotFound, "gone", {.domain = "bulkhead.tool", .reason = "FILE_NOT_FOUND"}));
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(broken)
          .WithAgent(ToolChainAgent())
          .WithAgent(ParentAgent())
          .WithAgent(ScriptedAgent("mirror",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     co_return co_await run.RunAgent("mirror", json::object());
                                   }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string failing, ada.StartRun("parent", Tools({"broken"})));
  ASSERT_OK_AND_ASSIGN(v1::Run failed, ada.WaitForRun(failing));
  EXPECT_EQ(failed.error().reason(), "FILE_NOT_FOUND");
  EXPECT_EQ(failed.error().domain(), "bulkhead.tool");
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event child, ada.WaitForEvent(failing, "child_ended"));
  EXPECT_EQ(child.child_ended().error().reason(), "FILE_NOT_FOUND");
  ExpectWholeStory(ada, failing);

  ASSERT_OK_AND_ASSIGN(std::string endless, ada.StartRun("mirror", json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(endless));
  EXPECT_EQ(ended.error().reason(), "CHILD_RUNS_TOO_DEEP");
  EXPECT_THAT(ended.error().message(), HasSubstr("5 deep"));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(2 + 6)));
}

}  // namespace
}  // namespace bulkhead::testing
