// Runs from the first request to the last event, on the real auth, tool and notifier services.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
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

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;
namespace v1 = agent::v1;

constexpr char kInvokeTool[] = "bulkhead.tool.v1.ToolService/InvokeTool";

json Tools(std::vector<std::string> names) { return {{"tools", std::move(names)}}; }

// What must hold for the events of every run that has ended: numbered without a gap, ids of their
// own, each tool call begun is completed, and one terminal event, the last.
void ExpectWholeStory(User& user, const std::string& run) {
  ASSERT_OK_AND_ASSIGN(std::vector<notifier::v1::Event> events, user.EventsOf(run));
  std::set<std::string> ids;
  std::map<int, int> open;
  int terminal = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    const notifier::v1::Event& event = events[i];
    EXPECT_EQ(event.sequence(), i + 1);
    EXPECT_EQ(event.user(), user.name());
    EXPECT_TRUE(ids.insert(event.event_id()).second) << event.event_id();
    open[event.tool_executing().step()] += event.has_tool_executing();
    open[event.tool_completed().step()] -= event.has_tool_completed();
    terminal +=
        event.has_agent_completed() || event.has_agent_failed() || event.has_agent_cancelled();
  }
  for (const auto& [step, count] : open) {
    EXPECT_EQ(count, 0) << "step " << step;
  }
  EXPECT_EQ(terminal, 1);
  ASSERT_THAT(events, ::testing::Not(IsEmpty()));
  EXPECT_TRUE(events.back().has_agent_completed() || events.back().has_agent_failed() ||
              events.back().has_agent_cancelled());
}

TEST(AgentExecutionTest, RunGoesThroughEveryServiceToItsAnswer) {
  Covers({"AE-1", "AE-2", "AE-3", "AE-7", "WS-1"});
  auto first = std::make_shared<CountingTool>("first");
  auto second = std::make_shared<CountingTool>("second");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(first)
                                          .WithTool(second)
                                          .WithAgent(ToolChainAgent())
                                          .Build());
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
  EXPECT_THAT(ada.EventTypesOf(run),
              IsOkAndHolds(ElementsAre("run_queued", "agent_started", "agent_thinking",
                                       "tool_executing", "tool_completed", "agent_thinking",
                                       "tool_executing", "tool_completed", "agent_completed")));
  ExpectWholeStory(ada, run);
}

TEST(AgentExecutionTest, FailingToolFailsTheRunWithTheToolsReason) {
  Covers({"AE-5", "TD-4"});
  auto broken = std::make_shared<FailingTool>(
      "broken",
      MakeError(absl::StatusCode::kInvalidArgument, "row 7 is no number",
                {.domain = "bulkhead.tool", .reason = "ROW_INVALID", .metadata = {{"row", "7"}}}));
  auto never = std::make_shared<CountingTool>("never");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(broken)
                                          .WithTool(never)
                                          .WithAgent(ToolChainAgent())
                                          .Build());
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
          .WithAgent(ScriptedAgent(
              "thrower",
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

TEST(AgentExecutionTest, BadInputIsRefusedBeforeThereIsARun) {
  Covers({"AE-2", "AE-5"});
  agent::AgentFactory strict = ToolChainAgent("strict");
  strict.spec.input_schema =
      R"({"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}, "n": {"type": "integer"}}})";
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithAgent(strict).Build());
  User& ada = platform->As("ada");

  absl::StatusOr<std::string> refused = ada.StartRun("strict", {{"n", "many"}});
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kInvalidArgument, "RUN_INPUT_INVALID"));
  EXPECT_THAT(ErrorInfoOf(refused.status())->metadata, SizeIs(2)) << "every violation";
  EXPECT_THAT(ada.StartRun("nobody", json::object()),
              HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND"));
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
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run,
                       ada.StartRun("chain", Tools({"count"}), {.request_id = "once"}));
  EXPECT_THAT(ada.StartRun("chain", Tools({"count"}), {.request_id = "once"}), IsOkAndHolds(run));
  ASSERT_OK(ada.WaitForRun(run));
  EXPECT_THAT(ada.StartRun("chain", Tools({"count"}), {.request_id = "once"}), IsOkAndHolds(run));
  EXPECT_EQ(tool->runs(), 1);
  // Another user's request is another request.
  ASSERT_OK_AND_ASSIGN(std::string other, platform->As("bob").StartRun("chain", Tools({"count"}),
                                                                       {.request_id = "once"}));
  EXPECT_NE(other, run);
  ASSERT_OK(platform->As("bob").WaitForRun(other));
}

TEST(AgentExecutionTest, RunTimesOutByTheClockAndItsToolWithIt) {
  Covers({"AE-4", "AE-9"});
  auto tool = std::make_shared<HoldingTool>("slow");
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run,
                       ada.StartRun("chain", Tools({"slow"}), {.timeout = absl::Seconds(30)}));
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
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .WithTool(never)
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"slow", "never"})));
  ASSERT_OK(hold->Wait());

  EXPECT_THAT(platform->As("bob").CancelRun(run),
              HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
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
    absl::StatusOr<std::string> run =
        ada.StartRun("chain", Tools({"first", "second"}), {.request_id = "once"});
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
    ASSERT_OK_AND_ASSIGN(std::string again,
                         ada.StartRun("chain", Tools({"first", "second"}), {.request_id = "once"}));
    ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(again));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
    EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(1)));
    // The tool service remembers what the agent service had not yet written down.
    EXPECT_EQ(first->runs(), 1);
    EXPECT_EQ(second->runs(), 1);
    ASSERT_OK_AND_ASSIGN(std::vector<std::string> types, ada.EventTypesOf(again));
    std::erase(types, "run_recovered");
    EXPECT_THAT(types, ElementsAre("run_queued", "agent_started", "agent_thinking",
                                   "tool_executing", "tool_completed", "agent_thinking",
                                   "tool_executing", "tool_completed", "agent_completed"));
    ExpectWholeStory(ada, again);
  }
  EXPECT_TRUE(undisturbed);
}

TEST(AgentExecutionTest, CallInDoubtThatMayHappenOnceIsDecidedByThePerson) {
  Covers({"AE-6", "AE-10"});
  auto tool = std::make_shared<HoldingTool>("pay", tool::RepeatPolicy::kAtMostOnce);
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .WithAgent(ToolChainAgent())
                                          .Build());
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

TEST(AgentExecutionTest, RunWaitsForAnApprovalAcrossARestartAndGoesOnOnce) {
  Covers({"AE-4", "AE-10"});
  auto tool = std::make_shared<CountingTool>("send");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithAgent(ScriptedAgent(
              "careful",
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
          .WithAgent(ScriptedAgent(
              "sleeper",
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
          .WithAgent(ScriptedAgent(
              "changing",
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
  // Ada's second run was next when Bob came; then it is Bob's turn, though Ada's third came before
  // his.
  EXPECT_THAT(order, ElementsAre(ada.id(), ada.id(), bob.id(), ada.id()));
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

TEST(AgentExecutionTest, RunThatDoesNotStopIsStoppedByItsStepLimit) {
  Covers({"AE-5", "AE-8"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent(
              "endless",
              [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                while (true) {
                  co_await run.Now();
                }
              }))
          .Configure([](common::v1::PlatformConfig& config) {
            config.mutable_agent()->set_max_steps_per_run(25);
          })
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
      "broken", MakeError(absl::StatusCode::kNotFound, "gone",
                          {.domain = "bulkhead.tool", .reason = "FILE_NOT_FOUND"}));
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithTool(broken)
          .WithAgent(ScriptedAgent(
              "parallel",
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
  ASSERT_OK_AND_ASSIGN(
      auto platform,
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

TEST(AgentExecutionTest, EndedRunIsRetriedFromItsInputAndDeletedWithItsJournal) {
  Covers({"AE-4"});
  auto tool =
      std::make_shared<FailingTool>("flaky",
                                    MakeError(absl::StatusCode::kInvalidArgument, "not yet",
                                              {.domain = "bulkhead.tool", .reason = "NOT_YET"}),
                                    1);
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Tools({"flaky"})));
  ASSERT_OK_AND_ASSIGN(v1::Run failed, ada.WaitForRun(run));
  EXPECT_EQ(failed.state(), v1::RUN_STATE_FAILED);

  v1::RetryRunRequest retry;
  retry.set_name(run);
  ASSERT_OK_AND_ASSIGN(v1::Run retried,
                       Call<v1::RunService>(ada, &v1::RunService::Stub::RetryRun, retry));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(retried.name()));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();

  v1::DeleteRunRequest remove;
  remove.set_name(run);
  ASSERT_OK(Call<v1::RunService>(ada, &v1::RunService::Stub::DeleteRun, remove));
  EXPECT_THAT(ada.GetRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(1)));
}

TEST(AgentExecutionTest, RestartInGoodOrderHandsRunsOver) {
  Covers({"AE-4", "AE-6"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(tool)
          .WithAgent(ScriptedAgent(
              "pausing",
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
  ASSERT_OK_AND_ASSIGN(
      auto platform,
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
