// Plans: declared graphs of tool calls, executed by the durable engine.
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/faults/hold.h"
#include "testing/harness/calls.h"
#include "testing/harness/definitions.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using agent::v1::RunService;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

json DataOf(const agent::v1::Run& run) { return ToJson(run.answer().data()); }

std::vector<json> InputsOf(const CountingTool& tool) {
  std::vector<json> inputs;
  for (const SeenCall& call : tool.calls()) {
    inputs.push_back(call.input);
  }
  return inputs;
}

absl::Status Invalid() {
  return MakeError(absl::StatusCode::kInvalidArgument, "no", {.domain = "test", .reason = "REFUSED", .metadata = {}});
}
absl::Status Busy() {
  return MakeError(absl::StatusCode::kUnavailable, "busy", {.domain = "test", .reason = "BUSY", .metadata = {}});
}

absl::Status Decide(User& user, const agent::v1::Approval& approval, bool allow, const std::string& comment,
                    const std::optional<json>& edited) {
  agent::v1::ResolveApprovalRequest request;
  request.set_name(approval.name());
  request.set_call_hash(approval.call_hash());
  request.mutable_decision()->set_verdict(allow ? agent::v1::Decision::VERDICT_ALLOW
                                                : agent::v1::Decision::VERDICT_DENY);
  request.mutable_decision()->set_comment(comment);
  if (edited.has_value()) {
    *request.mutable_decision()->mutable_edited_arguments() = *ToStruct(*edited);
  }
  return Call<RunService>(user, &RunService::Stub::ResolveApproval, request).status();
}

TEST(PlansTest, ResultsFlowAlongTheEdges) {
  Covers({"AE-2", "AE-3", "TD-5"});
  auto first = std::make_shared<CountingTool>("first");
  auto second = std::make_shared<CountingTool>("second");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(first).WithTool(second).Build());
  User& ada = platform->As("ada");
  // Written before what they wait for: the order is that of the edges.
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run run, RunPlan(ada, R"json({"plan": {"nodes": [
      {"id": "c", "tool": "tools/second", "after": ["b"], "arguments": {"last": true}},
      {"id": "b", "tool": "tools/second", "arguments": {
          "from": "=a.echo.text", "all": ["=input.n", {"sum": "=sum([input.n, a.call])"
}], "literal": "==not an expression"
}
},
      {"id": "a", "tool": "tools/first", "arguments": {"text": "=input.text"}}],
      "result": "{b: b.echo, order: [a.call, b.call, c.call]}"
}
})json",
                                                         {{"text", "hello"}, {"n", 41}}));
  ASSERT_EQ(run.state(), agent::v1::RUN_STATE_SUCCEEDED) << run.error().message();
  EXPECT_EQ(DataOf(run),
            json::parse(R"({"b": {"from": "hello", "all": [41, {"sum": 42}], "literal": "=not an expression"},
                                         "order": [1, 1, 2]})"));
  EXPECT_THAT(InputsOf(*first), ElementsAre(json{{"text", "hello"}}));
  EXPECT_EQ(run.answer().summary(), "3 nodes were carried out.");
}

TEST(PlansTest, NodeStartsAsSoonAsWhatItWaitsForHasEnded) {
  Covers({"AE-2", "AE-8"});
  auto slow = std::make_shared<HoldingTool>("slow");
  auto quick = std::make_shared<CountingTool>("quick");
  const std::shared_ptr<Hold> hold = slow->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(slow).WithTool(quick).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "held", "tool": "tools/slow"},
      {"id": "one", "tool": "tools/quick"},
      {"id": "two", "tool": "tools/quick", "after": ["one"]},
      {"id": "three", "tool": "tools/quick", "after": ["two"]},
      {"id": "last", "tool": "tools/quick", "after": ["held", "three"]}]}})",
                                                        json::object()));
  ASSERT_OK(hold->Wait());
  // A chain of three goes to its end beside the one that is held; what waits for both does not begin.
  ASSERT_OK(ada.WaitForEvent(run, "tool_completed", 3));
  EXPECT_EQ(quick->runs(), 3);
  hold->Resume();
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(quick->runs(), 4);
}

TEST(PlansTest, SkippedNodeIsNullAndOthersDecideForThemselves) {
  Covers({"AE-2"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run run, RunPlan(platform->As("ada"), R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/count", "condition": "input.n > `10`", "arguments": {"node": "a"}},
      {"id": "b", "tool": "tools/count", "condition": "a", "arguments": {"node": "b"}},
      {"id": "c", "tool": "tools/count", "condition": "!a", "arguments": {"node": "c", "a": "=a.call"}}]}})",
                                                         {{"n", 5}}));
  ASSERT_EQ(run.state(), agent::v1::RUN_STATE_SUCCEEDED) << run.error().message();
  EXPECT_EQ(DataOf(run)["a"], nullptr);
  EXPECT_EQ(DataOf(run)["b"], nullptr);
  EXPECT_THAT(InputsOf(*tool), ElementsAre(json{{"node", "c"}, {"a", nullptr}}));
  EXPECT_EQ(run.answer().summary(), "1 node was carried out, 2 skipped.");
}

TEST(PlansTest, ForEachKeepsItsBoundAndTheOrderOfItsElements) {
  Covers({"AE-8", "TD-5"});
  auto tool = std::make_shared<HoldingTool>("count");
  const std::shared_ptr<Hold> first = tool->HoldCall(1);
  const std::shared_ptr<Hold> second = tool->HoldCall(2);
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "each", "tool": "tools/count", "forEach": "input.items[?@ > `0`]", "parallelism": 2, "arguments": {"x": "=item"}}],
      "result": "each[*].echo.x"}})",
                                                        {{"items", {7, -1, 8, 9, 6}}}));
  ASSERT_OK(first->Wait());
  ASSERT_OK(second->Wait());
  EXPECT_EQ(tool->runs(), 2) << "the third waits for one of the two";
  second->Resume();
  ASSERT_OK(ada.WaitForEvent(run, "tool_completed", 3));
  EXPECT_EQ(tool->runs(), 4);
  first->Resume();
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(DataOf(ended), json::parse(R"({"value": [7, 8, 9, 6]})"));
}

TEST(PlansTest, ElementThatFailsIsNamedAndNoOtherBegins) {
  Covers({"AE-5", "TD-5"});
  auto tool = std::make_shared<FailingTool>("fail", Invalid(), 1);
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run run, RunPlan(platform->As("ada"), R"({"plan": {"nodes": [
      {"id": "each", "tool": "tools/fail", "forEach": "input.items", "arguments": {"x": "=item"}}]}})",
                                                         {{"items", {1, 2, 3}}}));
  EXPECT_EQ(run.state(), agent::v1::RUN_STATE_FAILED);
  EXPECT_EQ(run.error().reason(), "PLAN_NODE_FAILED");
  EXPECT_EQ(run.error().metadata().at("node"), "each");
  EXPECT_EQ(run.error().metadata().at("element"), "0");
  EXPECT_EQ(run.error().metadata().at("reason"), "REFUSED");
  EXPECT_EQ(tool->runs(), 1);
}

TEST(PlansTest, ForEachOverWhatIsNoListOrTooLongFails) {
  Covers({"AE-5"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(CreateAgent(ada, Definition(R"({"plan": {"nodes": [
      {"id": "each", "tool": "tools/count", "forEach": "input.items"}]}})")));
  for (const json& items : {json("text"), json(nullptr), json(std::vector<int>(1001, 1))}) {
    ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("plan", {{"items", items}}));
    ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
    EXPECT_EQ(ended.error().reason(), "PLAN_NODE_FAILED");
    EXPECT_EQ(ended.error().metadata().at("reason"), "PLAN_ELEMENTS_INVALID");
  }
  EXPECT_EQ(tool->runs(), 0);
}

TEST(PlansTest, FailedNodeEndsTheRunWhenThoseUnderWayHaveEnded) {
  Covers({"AE-5"});
  auto slow = std::make_shared<HoldingTool>("slow");
  auto bad = std::make_shared<FailingTool>("bad", Invalid());
  auto after = std::make_shared<CountingTool>("after");
  const std::shared_ptr<Hold> hold = slow->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(slow).WithTool(bad).WithTool(after).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "held", "tool": "tools/slow"},
      {"id": "broken", "tool": "tools/bad", "after": []},
      {"id": "never", "tool": "tools/after", "after": ["broken"]},
      {"id": "neither", "tool": "tools/after", "after": ["held"]}]}})",
                                                        json::object()));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(ada.WaitForEvent(run, "tool_completed", 1));
  EXPECT_THAT(ada.GetRun(run), IsOkAndHolds(::testing::Property(&agent::v1::Run::state, agent::v1::RUN_STATE_RUNNING)));
  hold->Resume();
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "PLAN_NODE_FAILED");
  EXPECT_EQ(ended.error().metadata().at("node"), "broken");
  EXPECT_EQ(ended.error().metadata().at("tool"), "tools/bad");
  EXPECT_EQ(ended.error().metadata().at("reason"), "REFUSED");
  EXPECT_EQ(slow->runs(), 1);
  EXPECT_EQ(after->runs(), 0);
}

TEST(PlansTest, FailedCallIsTriedAgainAfterAPauseThatOutlivesACrash) {
  Covers({"AE-5", "AE-6"});
  auto tool = std::make_shared<FailingTool>("flaky", Busy(), 2);
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/flaky", "retries": 2}]}})",
                                                        json::object()));
  ASSERT_OK(ada.WaitForEvent(run, "tool_completed", 1));
  ASSERT_OK(ada.WaitForState(run, "RUN_STATE_RUNNING"));
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK(WaitFor(
      [&] {
        platform->Advance(absl::Seconds(1));
        return tool->runs() == 3;
      },
      "the third attempt"));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(tool->runs(), 3);
}

TEST(PlansTest, CallThatCannotSucceedIsNotTriedAgain) {
  Covers({"AE-5", "TD-4"});
  auto tool = std::make_shared<FailingTool>("fail", Invalid());
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run run, RunPlan(platform->As("ada"), R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/fail", "retries": 10}]}})",
                                                         json::object()));
  EXPECT_EQ(run.error().metadata().at("reason"), "REFUSED");
  EXPECT_EQ(tool->runs(), 1);
}

TEST(PlansTest, CallThatTakesTooLongIsCancelled) {
  Covers({"AE-9", "TD-4"});
  auto tool = std::make_shared<HoldingTool>("slow");
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/slow", "timeout": "5s"}]}})",
                                                        json::object()));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(WaitFor(
      [&] {
        platform->Advance(absl::Seconds(5));
        absl::StatusOr<agent::v1::Run> now = ada.GetRun(run);
        return now.ok() && now->state() == agent::v1::RUN_STATE_FAILED;
      },
      "the time limit of the node"));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "PLAN_NODE_FAILED");
  EXPECT_EQ(ended.error().metadata().at("reason"), "PLAN_CALL_TIMED_OUT");
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(ElementsAre("run_queued", "agent_started", "tool_executing",
                                                              "tool_completed", "agent_failed")));
}

TEST(PlansTest, ApprovedCallIsMadeWithTheArgumentsThatWereEdited) {
  Covers({"AE-10"});
  auto tool = std::make_shared<CountingTool>("send", tool::RepeatPolicy::kAtMostOnce);
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/send", "approval": true, "question": "Send it?", "arguments": {"to": "=input.to"}}]}})",
                                                        {{"to", "everybody"}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval approval, ada.WaitForApproval(run));
  EXPECT_EQ(approval.question(), "Send it?");
  EXPECT_EQ(ToJson(approval.arguments()), json({{"to", "everybody"}}));
  EXPECT_EQ(tool->runs(), 0);
  ASSERT_OK(platform->Restart());
  ASSERT_OK(Decide(ada, approval, /*allow=*/true, "only bob", json{{"to", "bob"}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_THAT(InputsOf(*tool), ElementsAre(json{{"to", "bob"}}));
}

TEST(PlansTest, DeniedCallIsNotMade) {
  Covers({"AE-10"});
  auto tool = std::make_shared<CountingTool>("send");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/send", "approval": true, "retries": 3},
      {"id": "b", "tool": "tools/send", "after": ["a"]}]}})",
                                                        json::object()));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval approval, ada.WaitForApproval(run));
  ASSERT_OK(Decide(ada, approval, /*allow=*/false, "not today", std::nullopt));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "PLAN_NODE_DENIED");
  EXPECT_EQ(ended.error().metadata().at("node"), "a");
  EXPECT_EQ(ended.error().metadata().at("comment"), "not today");
  EXPECT_EQ(tool->runs(), 0);
}

TEST(PlansTest, CrashRepeatsNoCallThatHasEnded) {
  Covers({"AE-6"});
  auto done = std::make_shared<CountingTool>("done", tool::RepeatPolicy::kIdempotent);
  auto slow = std::make_shared<HoldingTool>("slow", tool::RepeatPolicy::kIdempotent);
  const std::shared_ptr<Hold> hold = slow->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(done).WithTool(slow).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "each", "tool": "tools/done", "forEach": "input.items", "parallelism": 3, "arguments": {"x": "=item"}},
      {"id": "other", "tool": "tools/done", "arguments": {"x": "other"}},
      {"id": "held", "tool": "tools/slow", "after": ["each", "other"]},
      {"id": "last", "tool": "tools/done", "after": ["held"], "arguments": {"x": "last"}}],
      "result": "{each: each[*].echo.x, held: held.call, last: last.echo.x}"}})",
                                                        {{"items", {1, 2, 3, 4}}}));
  ASSERT_OK(hold->Wait());
  EXPECT_EQ(done->runs(), 5);
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  ASSERT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.recoveries(), 1);
  EXPECT_EQ(done->runs(), 6) << "five before the crash, the last after it";
  EXPECT_EQ(DataOf(ended)["each"], json({1, 2, 3, 4}));
}

TEST(PlansTest, CancelledPlanStopsItsCallsAndBeginsNoOther) {
  Covers({"AE-4", "AE-9"});
  auto slow = std::make_shared<HoldingTool>("slow");
  auto after = std::make_shared<CountingTool>("after");
  const std::shared_ptr<Hold> hold = slow->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(slow).WithTool(after).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, StartPlan(ada, R"({"plan": {"nodes": [
      {"id": "a", "tool": "tools/slow", "retries": 5},
      {"id": "b", "tool": "tools/after", "after": ["a"]}]}})",
                                                        json::object()));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(ada.CancelRun(run));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_CANCELLED);
  EXPECT_EQ(slow->runs(), 1);
  EXPECT_EQ(after->runs(), 0);
}

TEST(PlansTest, ExpressionThatWouldTakeForeverFailsItsRunOnly) {
  Covers({"AE-5", "AE-8"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).Build());
  std::string doubling = "input.x";
  for (int i = 0; i < 60; ++i) {
    doubling += " | [@, @]";
  }
  json plan = {{"plan", {{"nodes", {{{"id", "a"}, {"tool", "tools/count"}, {"arguments", {{"x", "=" + doubling}}}}}}}}};
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run run, RunPlan(platform->As("ada"), plan.dump(), {{"x", 1}}));
  EXPECT_EQ(run.error().reason(), "PLAN_NODE_FAILED");
  EXPECT_EQ(run.error().metadata().at("reason"), "EXPRESSION_TOO_EXPENSIVE");
  EXPECT_EQ(tool->runs(), 0);
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run other,
                       RunPlan(platform->As("bob"), R"json({"plan": {"nodes": [{"id": "a", "tool": "tools/count"}],
      "result": "length(`1`)"
}
})json",
                               json::object()));
  EXPECT_EQ(other.error().reason(), "PLAN_RESULT_FAILED");
  EXPECT_THAT(other.error().message(), HasSubstr("length takes a string, an array or an object, not number"));
}

TEST(PlansTest, ExampleOfTheDocumentationRuns) {
  Covers({"AE-2", "AE-3", "AE-10"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("sales.csv", "region,amount\nNorth,5\nSouth,7\nNorth,9\nWest,1\nNorth,2\nSouth,3\n"));
  std::ifstream file("docs/examples/largest_groups.json");
  std::ostringstream text;
  text << file.rdbuf();
  ASSERT_OK(CreateAgent(ada, Definition(text.str())));
  ASSERT_OK_AND_ASSIGN(const std::string run,
                       ada.StartRun("largest-groups", {{"file", "sales.csv"}, {"column", "region"}, {"chart", true}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval approval, ada.WaitForApproval(run));
  EXPECT_THAT(ToJson(approval.arguments())["text"].get<std::string>(), HasSubstr("North: 3, South: 2, West: 1"));
  EXPECT_THAT(ada.ReadFile("largest-groups.md"), HasReason("FILE_NOT_FOUND"));
  ASSERT_OK(ada.Decide(approval, true));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  ASSERT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  const json data = DataOf(ended);
  EXPECT_EQ(data["rows"], 6);
  EXPECT_EQ(data["groups"], json::parse(R"([["North", 3], ["South", 2], ["West", 1]])"));
  EXPECT_EQ(data["samples"][2], json::parse(R"([["West", 1]])"));
  EXPECT_EQ(data["chart"], "charts/groups.svg");
  EXPECT_THAT(ada.ReadFile("largest-groups.md"), IsOkAndHolds(HasSubstr("# Largest groups")));
}

}  // namespace
}  // namespace bulkhead::testing
