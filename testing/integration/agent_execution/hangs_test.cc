// Agents and tools that hang, run away or take too much: each run ends within its bound, with its terminal event, and other users' runs go on
// meanwhile.
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
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
using agent::RunContext;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Le;
namespace v1 = agent::v1;

using Result = Awaitable<absl::StatusOr<Answer>>;

// A platform for ada, whose agents misbehave, and bob, whose runs must not notice.
class HangsTest : public ::testing::Test {
 protected:
  void Start(Script script, std::function<void(common::v1::AgentConfig&)> configure = nullptr) {
    ASSERT_OK_AND_ASSIGN(platform_, Harness::Builder()
                                        .WithUsers({"ada", "bob"})
                                        .WithTool(tool_)
                                        .WithTool(others_tool_)
                                        .WithTool(broken_)
                                        .WithAgent(ToolChainAgent())
                                        .WithAgent(ScriptedAgent("wild", std::move(script)))
                                        .Configure([configure](common::v1::PlatformConfig& config) {
                                          if (configure) {
                                            configure(*config.mutable_agent());
                                          }
                                        })
                                        .Build());
  }

  User& ada() { return platform_->As("ada"); }
  User& bob() { return platform_->As("bob"); }

  void ExpectOthersGoOn() {
    ASSERT_OK_AND_ASSIGN(const std::string run, bob().StartRun("chain", Tools({"others", "others"})));
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, bob().WaitForRun(run));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  }

  void AwaitInstances(int count) {
    ASSERT_OK(WaitFor([&] { return platform_->platform().live_agent_instances() == count; },
                      absl::StrCat(count, " instances of agents"),
                      [&] { return absl::StrCat(platform_->platform().live_agent_instances()); }));
  }

  // How ada's run of the agent ends by itself.
  absl::StatusOr<v1::Run> RunToEnd(const json& input = json::object()) {
    ASSIGN_OR_RETURN(const std::string run, ada().StartRun("wild", input));
    ASSIGN_OR_RETURN(v1::Run ended, ada().WaitForRun(run));
    ExpectWholeStory(ada(), run);
    return ended;
  }

  std::shared_ptr<CountingTool> tool_ = std::make_shared<CountingTool>("count");
  std::shared_ptr<CountingTool> others_tool_ = std::make_shared<CountingTool>("others");
  std::shared_ptr<FailingTool> broken_ = std::make_shared<FailingTool>(
      "broken",
      MakeError(absl::StatusCode::kInvalidArgument, "broken", {.domain = "bulkhead.tool", .reason = "BROKEN"}));
  std::unique_ptr<Harness> platform_;
};

TEST_F(HangsTest, AgentThatAwaitsForEverEndsAtItsDeadlineAndIsReaped) {
  Covers({"AE-4", "AE-5", "AE-9", "RF-5"});
  auto kept = std::make_shared<absl::AnyInvocable<void(bool)>>();
  auto waits = std::make_shared<std::atomic<bool>>(false);
  Start([kept, waits](RunContext&, const json&) -> Result {
    co_await AwaitCallback<bool>([kept, waits](absl::AnyInvocable<void(bool)> done) {
      *kept = std::move(done);
      *waits = true;
    });
    co_return Answer{};
  });
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("wild", json::object(), {.timeout = absl::Minutes(1)}));
  ASSERT_OK(WaitFor([&] { return waits->load(); }, "the agent's wait"));
  ExpectOthersGoOn();
  AwaitInstances(1);

  platform_->Advance(absl::Minutes(1));  // It does not listen...
  ASSERT_OK(WaitFor(
      [&] {
        platform_->Advance(absl::Seconds(1));  // ... and is cut off when its grace is over.
        return ada().GetRun(run)->state() == v1::RUN_STATE_TIMED_OUT;
      },
      "the run's end"));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "RUN_TIMED_OUT");
  ExpectWholeStory(ada(), run);
  *kept = nullptr;  // Whoever holds the callback holds the instance.
  AwaitInstances(0);
}

TEST_F(HangsTest, AgentThatIgnoresItsCancellationInALoopEndsWithoutTheClock) {
  Covers({"AE-4", "AE-9"});
  Start([](RunContext& run, const json&) -> Result {
    while (true) {
      static_cast<void>(co_await run.Sleep(absl::Hours(1)));
    }
  });
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("wild", json::object()));
  ASSERT_OK(ada().WaitForState(run, "RUN_STATE_RUNNING"));
  ASSERT_OK(ada().CancelRun(run));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
  ExpectWholeStory(ada(), run);
  AwaitInstances(0);
}

TEST_F(HangsTest, ExceptionInTheMiddleOfAGroupFailsTheRunWhenTheOthersHaveEnded) {
  Covers({"AE-5"});
  Start([](RunContext& run, const json&) -> Result {
    const std::vector<int> items = {0, 1, 2};
    CO_RETURN_IF_ERROR(
        (co_await run.All(items, [](RunContext& branch, const int& item) -> Awaitable<absl::StatusOr<int>> {
          CO_RETURN_IF_ERROR((co_await branch.CallTool("count", {{"item", item}})).status());
          if (item == 1) {
            throw item;  // No std::exception.
          }
          CO_RETURN_IF_ERROR((co_await branch.CallTool("count", json::object())).status());
          co_return item;
        })).status());
    co_return Answer{};
  });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.state(), v1::RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "AGENT_THREW");
  EXPECT_THAT(ended.error().message(), HasSubstr("no std::exception"));
  EXPECT_EQ(tool_->runs(), 5);
  ExpectOthersGoOn();
}

TEST_F(HangsTest, AllocationThatCannotBeMadeFailsItsRunAndNothingElse) {
  Covers({"AE-5", "AE-8"});
  Start([](RunContext&, const json& input) -> Result {
    const std::vector<char> all(input.at("bytes").get<size_t>(), 'x');
    co_return Answer{.summary = std::string(all.data())};
  });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd({{"bytes", size_t{1} << 52}}));
  EXPECT_EQ(ended.error().reason(), "AGENT_THREW");
  EXPECT_THAT(ended.error().message(), HasSubstr("bad_alloc"));
  ExpectOthersGoOn();
}

// Takes more and more memory, `bytes` at a time; between two times it awaits something if `awaits`.
Result Hoard(RunContext& run, size_t bytes, bool awaits) {
  std::vector<std::string> hoard;
  while (true) {
    hoard.emplace_back(bytes, 'x');
    if (awaits) {
      co_await run.Think("more");
    }
  }
}

void LimitHeap(common::v1::AgentConfig& config) { config.set_max_heap_bytes_per_run(64 << 20); }

TEST_F(HangsTest, AgentThatAllocatesWithoutEndIsStoppedByItsHeap) {
  Covers({"AE-5", "AE-8", "RF-5"});
  Start(
      [](RunContext& run, const json& input) -> Result {
        return Hoard(run, input.at("bytes").get<size_t>(), input.at("awaits").get<bool>());
      },
      LimitHeap);
  for (const json& input : {json{{"bytes", 8 << 20}, {"awaits", false}}, json{{"bytes", 8 << 20}, {"awaits", true}},
                            json{{"bytes", 20'000}, {"awaits", false}}}) {
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd(input));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_FAILED) << input;
    EXPECT_EQ(ended.error().reason(), "AGENT_MEMORY_EXCEEDED") << input;
  }
  AwaitInstances(0);
  ExpectOthersGoOn();
}

TEST_F(HangsTest, AgentThatSwallowsItsFailedAllocationsEndsAllTheSame) {
  Covers({"AE-5", "RF-5"});
  Start(
      [](RunContext& run, const json&) -> Result {
        while (true) {
          try {
            static_cast<void>(co_await Hoard(run, 8 << 20, /*awaits=*/false));
          } catch (const std::bad_alloc&) {
            // And once more.
          }
          co_await run.Think("it was too much");
        }
      },
      LimitHeap);
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.error().reason(), "AGENT_MEMORY_EXCEEDED");
  AwaitInstances(0);
  ExpectOthersGoOn();
}

TEST_F(HangsTest, AgentThatFreesWhatItTakesMayTakeMuchInAll) {
  Covers({"AE-8"});
  Start(
      [](RunContext& run, const json&) -> Result {
        for (int i = 0; i < 40; ++i) {
          const std::string text(8 << 20, 'x');
          CO_RETURN_IF_ERROR((co_await run.CallTool("count", {{"text", text.substr(0, 100'000)}})).status());
        }
        co_return Answer{.summary = "done"};
      },
      LimitHeap);
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
}

TEST_F(HangsTest, RunThatKeepsWithoutEndIsStoppedByItsBytes) {
  Covers({"AE-5", "AE-8"});
  Start(
      [](RunContext& run, const json&) -> Result {
        while (true) {
          static_cast<void>(co_await run.CallTool("count", {{"text", std::string(100'000, 'x')}}));
        }
      },
      [](common::v1::AgentConfig& config) { config.set_max_journal_bytes_per_run(1 << 20); });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.state(), v1::RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "RUN_BYTES_EXCEEDED");
  EXPECT_EQ(ended.error().metadata().at("limit"), absl::StrCat(1 << 20));
  EXPECT_THAT(tool_->runs(), AllOf(::testing::Ge(2), Le(11)));
  ExpectOthersGoOn();
}

TEST_F(HangsTest, HugeThoughtsAndErrorsAreCutSoThatEventsGoOn) {
  Covers({"AE-5", "WS-2"});
  Start([](RunContext& run, const json&) -> Result {
    co_await run.Think(std::string(90 << 20, 't'));  // More than the services take in one message.
    co_return MakeError(absl::StatusCode::kInternal, std::string(10 << 20, 'e'),
                        {.domain = "wild", .reason = "HUGE", .metadata = {{"text", std::string(10 << 20, 'm')}}});
  });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.error().reason(), "HUGE");
  EXPECT_LE(ended.error().message().size(), size_t{2} << 10);
  EXPECT_LE(ended.error().metadata().at("text").size(), size_t{4} << 10);
  ASSERT_OK_AND_ASSIGN(const notifier::v1::Event thought, ada().WaitForEvent(ended.name(), "agent_thinking"));
  EXPECT_LE(thought.agent_thinking().text().size(), size_t{17} << 10);
  ExpectOthersGoOn();
}

TEST_F(HangsTest, ToolInputsOfAnyShapeAreCutSoThatEventsGoOn) {
  Covers({"AE-5", "WS-2"});
  Start([](RunContext& run, const json&) -> Result {
    json many = json::object();
    for (int i = 0; i < 3000; ++i) {
      many[absl::StrCat(std::string(300, 'k'), i)] = i;
    }
    json deep = "leaf";
    for (int level = 0; level < 5; ++level) {
      deep = json(std::vector<json>(10, deep));
    }
    for (const json& input : {many, json{{std::string(300'000, 'k'), 1}}, json{{"deep", deep}}}) {
      CO_RETURN_IF_ERROR((co_await run.CallTool("count", input)).status());
    }
    ErrorInfo info{.domain = "wild", .reason = "MUCH", .metadata = {}};
    for (int i = 0; i < 3000; ++i) {
      info.metadata[absl::StrCat("key", i)] = std::string(300, 'm');
    }
    co_return MakeError(absl::StatusCode::kInternal, "too much", std::move(info));
  });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.error().reason(), "MUCH");
  EXPECT_EQ(tool_->runs(), 3);
  ASSERT_OK_AND_ASSIGN(const std::vector<notifier::v1::Event> events, ada().EventsOf(ended.name()));
  EXPECT_EQ(events.back().type(), "agent_failed");
  for (const notifier::v1::Event& event : events) {
    EXPECT_LE(event.ByteSizeLong(), size_t{256} << 10) << event.type();
  }
}

TEST_F(HangsTest, AnswerAndInputThatAreTooLargeAreRefused) {
  Covers({"AE-2", "AE-5"});
  Start([](RunContext&, const json& input) -> Result {
    co_return Answer{.summary = "much", .data = {{"text", std::string(input.at("bytes").get<size_t>(), 'x')}}};
  });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd({{"bytes", 5 << 20}}));
  EXPECT_EQ(ended.error().reason(), "ANSWER_TOO_LARGE");
  ASSERT_OK_AND_ASSIGN(const v1::Run succeeded, RunToEnd({{"bytes", 3 << 20}}));
  EXPECT_EQ(succeeded.state(), v1::RUN_STATE_SUCCEEDED) << succeeded.error().message();

  EXPECT_THAT(ada().StartRun("wild", {{"bytes", 1}, {"more", std::string(1 << 20, 'x')}}),
              HasReason(absl::StatusCode::kInvalidArgument, "RUN_INPUT_TOO_LARGE"));
  EXPECT_EQ(ada().ListRuns()->size(), 2u);
}

TEST_F(HangsTest, LoopOverAnswersThatTheAgentHasIsFoundAndReaped) {
  Covers({"AE-5", "RF-5"});
  Start(
      [](RunContext& run, const json&) -> Result {
        while (co_await run.Patched("new-way")) {  // Known after the first time: it never waits.
        }
        co_return Answer{};
      },
      [](common::v1::AgentConfig& config) { config.mutable_unresponsive_after()->set_seconds(1); });
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("wild", json::object()));
  ExpectOthersGoOn();
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "AGENT_UNRESPONSIVE");
  AwaitInstances(0);
}

TEST_F(HangsTest, HeldThreadsAreReplacedUntilTheyAreBack) {
  Covers({"AE-5", "AE-8", "RF-5"});
  auto released = std::make_shared<absl::Notification>();
  Start(
      [released](RunContext&, const json&) -> Result {
        released->WaitForNotification();
        co_return Answer{.summary = "too late"};
      },
      [](common::v1::AgentConfig& config) { config.mutable_unresponsive_after()->set_seconds(1); });
  std::vector<std::string> runs;
  for (int i = 0; i < 4; ++i) {  // More than there are threads.
    ASSERT_OK_AND_ASSIGN(runs.emplace_back(), ada().StartRun("wild", json::object()));
  }
  for (const std::string& run : runs) {
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
    EXPECT_EQ(ended.error().reason(), "AGENT_UNRESPONSIVE");
    ExpectWholeStory(ada(), run);
  }
  EXPECT_EQ(platform_->platform().live_agent_instances(), 4) << "their code still runs";
  ExpectOthersGoOn();
  released->Notify();
  AwaitInstances(0);
  for (const std::string& run : runs) {
    EXPECT_EQ(ada().GetRun(run)->state(), v1::RUN_STATE_FAILED) << "what comes late changes nothing";
  }
  ExpectOthersGoOn();
}

TEST_F(HangsTest, ThousandsOfBranchesEndAndTooManyAreStopped) {
  Covers({"AE-5", "AE-8"});
  Start(
      [](RunContext& run, const json& input) -> Result {
        const std::vector<int> items(input.at("branches").get<size_t>(), 0);
        CO_RETURN_IF_ERROR(
            (co_await run.All(items, [](RunContext& branch, const int&) -> Awaitable<absl::StatusOr<absl::Time>> {
              co_return co_await branch.Now();
            })).status());
        co_return Answer{};
      },
      [](common::v1::AgentConfig& config) { config.set_max_steps_per_run(3000); });
  ASSERT_OK_AND_ASSIGN(const std::string many, ada().StartRun("wild", {{"branches", 2500}}));
  ASSERT_OK_AND_ASSIGN(const std::string too_many, ada().StartRun("wild", {{"branches", 100'000}}));
  ExpectOthersGoOn();
  ASSERT_OK_AND_ASSIGN(const v1::Run succeeded, ada().WaitForRun(many));
  EXPECT_EQ(succeeded.state(), v1::RUN_STATE_SUCCEEDED) << succeeded.error().message();
  ASSERT_OK_AND_ASSIGN(const v1::Run stopped, ada().WaitForRun(too_many));
  EXPECT_EQ(stopped.error().reason(), "STEP_LIMIT_EXCEEDED");
  EXPECT_EQ(stopped.steps(), 3000);
  AwaitInstances(0);
}

TEST_F(HangsTest, RunsThatMultiplyAreStoppedByTheirUsersQuota) {
  Covers({"AE-5", "AE-8", "RF-5"});
  Start(
      [](RunContext& run, const json&) -> Result {
        const std::vector<int> items = {0, 1};
        std::vector<absl::StatusOr<Answer>> children =
            co_await run.AllSettled(items, [&run](const int&) { return run.RunAgent("wild", json::object()); });
        Answer answer;
        for (const absl::StatusOr<Answer>& child : children) {
          answer.data["reasons"].push_back(child.ok() ? "" : ReasonOf(child.status()));
        }
        co_return answer;
      },
      [](common::v1::AgentConfig& config) { config.set_max_waiting_per_user(2); });
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("wild", json::object()));
  ExpectOthersGoOn();
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << "who swallows the error goes on without the child";
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::Run> all, ada().ListRuns());
  std::vector<std::string> reasons;
  for (const v1::Run& one : all) {
    EXPECT_EQ(one.state(), v1::RUN_STATE_SUCCEEDED) << one.name();
    for (const auto& reason : one.answer().data().fields().at("reasons").list_value().values()) {
      reasons.push_back(reason.string_value());
    }
  }
  EXPECT_THAT(reasons, Contains("RUN_QUOTA_EXCEEDED"));
  EXPECT_THAT(reasons, Each(::testing::AnyOf("", "RUN_QUOTA_EXCEEDED", "CHILD_RUNS_TOO_DEEP")));
  AwaitInstances(0);
}

TEST_F(HangsTest, AgentThatSwallowsItsToolsErrorsInALoopIsStoppedByItsSteps) {
  Covers({"AE-5"});
  Start(
      [](RunContext& run, const json&) -> Result {
        while (true) {
          static_cast<void>(co_await run.CallTool("broken", json::object()));
        }
      },
      [](common::v1::AgentConfig& config) { config.set_max_steps_per_run(40); });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, RunToEnd());
  EXPECT_EQ(ended.error().reason(), "STEP_LIMIT_EXCEEDED");
  EXPECT_EQ(broken_->runs(), 40);
}

TEST_F(HangsTest, ToolThatNeverAnswersIsCutOffAndWhatItSaysLateIsDiscarded) {
  Covers({"AE-5", "AE-9", "TD-4"});
  auto stubborn = std::make_shared<HoldingTool>(tool::ToolSpec{.name = "stubborn",
                                                               .description = "Does not listen.",
                                                               .input_schema = R"({"type": "object"})",
                                                               .output_schema = R"({"type": "object"})",
                                                               .timeout = absl::Seconds(10)});
  stubborn->IgnoreStop();
  const std::shared_ptr<Hold> hold = stubborn->HoldCall();
  ASSERT_OK_AND_ASSIGN(platform_, Harness::Builder()
                                      .WithUsers({"ada", "bob"})
                                      .WithTool(stubborn)
                                      .WithTool(others_tool_)
                                      .WithAgent(ToolChainAgent())
                                      .Build());
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("chain", Tools({"stubborn"})));
  ASSERT_OK(hold->Wait());
  ExpectOthersGoOn();
  platform_->Advance(absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "TOOL_TIMED_OUT");
  AwaitInstances(0);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> before, ada().EventTypesOf(run));

  hold->Resume();
  ASSERT_OK_AND_ASSIGN(const std::string next, ada().StartRun("chain", Tools({"stubborn"})));
  ASSERT_OK(ada().WaitForRun(next));
  EXPECT_EQ(*ada().EventTypesOf(run), before);
  EXPECT_EQ(ada().GetRun(run)->state(), v1::RUN_STATE_FAILED);
  ExpectWholeStory(ada(), run);
}

}  // namespace
}  // namespace bulkhead::testing
