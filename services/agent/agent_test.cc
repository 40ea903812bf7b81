// The engine on a real database, with a clock that stands still and tools that the test scripts.
#include "services/agent/agent.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/engine_test_fixture.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_queue.h"
#include "services/agent/run_state.h"
#include "services/agent/run_store.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"

namespace bulkhead::agent {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(RunStateTest, OnlyTheTablesTransitionsAreAllowed) {
  using enum RunState;
  const std::set<std::pair<RunState, RunState>> table = {{kPending, kRunning},
                                                         {kPending, kFailed},
                                                         {kPending, kCancelled},
                                                         {kPending, kTimedOut},
                                                         {kRunning, kAwaitingApproval},
                                                         {kRunning, kCancelling},
                                                         {kRunning, kSucceeded},
                                                         {kRunning, kFailed},
                                                         {kRunning, kTimedOut},
                                                         {kAwaitingApproval, kRunning},
                                                         {kAwaitingApproval, kCancelling},
                                                         {kAwaitingApproval, kFailed},
                                                         {kAwaitingApproval, kTimedOut},
                                                         {kCancelling, kCancelled}};
  for (RunState from : kAllRunStates) {
    for (RunState to : kAllRunStates) {
      EXPECT_EQ(IsAllowed(from, to), table.contains({from, to})) << RunStateName(from) << " -> " << RunStateName(to);
      EXPECT_FALSE(IsTerminal(from) && IsAllowed(from, to));
    }
  }
}

TEST(RunQueueTest, UsersTakeTurnsWithinTheirLimits) {
  RunQueue queue({.max_running = 4, .max_running_per_user = 2});
  for (const char* run : {"a1", "a2", "a3", "a4"}) {
    queue.Enqueue({.user = "ada", .run = run});
  }
  queue.Enqueue({.user = "bob", .run = "b1"});
  queue.Enqueue({.user = "cy", .run = "c1"});
  std::vector<std::string> started;
  while (auto next = queue.Next()) {
    started.push_back(next->run);
  }
  EXPECT_THAT(started, ElementsAre("a1", "b1", "c1", "a2"));
  queue.Finished("bob");
  EXPECT_FALSE(queue.Next().has_value()) << "ada has two runs already";
  EXPECT_TRUE(queue.Remove("ada", "a3"));
  EXPECT_FALSE(queue.Remove("ada", "a3"));
  queue.Finished("ada");
  EXPECT_EQ(queue.Next()->run, "a4");
  EXPECT_EQ(queue.waiting(), 0);
  EXPECT_EQ(queue.running(), 3);
}

// A run with one of everything that does not wait.
Awaitable<absl::StatusOr<Answer>> Rich(RunContext& run, const json&) {
  co_await run.Think("first");
  CO_ASSIGN_OR_RETURN(json one, co_await run.CallTool("one", {{"n", 1}}));
  const absl::Time now = co_await run.Now();
  const uint64_t random = co_await run.Random();
  const std::string id = co_await run.NewId("thing");
  const std::vector<int> items = {1, 2, 3};
  CO_ASSIGN_OR_RETURN(std::vector<json> parallel, co_await run.All(items, [&](const int& item) {
    return run.CallTool("item", {{"n", item}, {"id", id}, {"random", random}});
  }));
  CO_ASSIGN_OR_RETURN(
      std::vector<int> branches,
      co_await run.All(items, [](RunContext& branch, const int& item) -> Awaitable<absl::StatusOr<int>> {
        co_await branch.Think(absl::StrCat("branch ", item));
        CO_ASSIGN_OR_RETURN(json output, co_await branch.CallTool("deep", {{"n", item}}));
        co_return output.at("input").at("n").get<int>() * 10;
      }));
  co_return Answer{.summary = absl::StrCat(absl::ToUnixSeconds(now), " ", parallel.size()),
                   .artifacts = {},
                   .data = {{"branches", branches}, {"one", one}}};
}

TEST_F(EngineTest, RunSucceedsWithItsEventsInOrder) {
  Open(Rich);
  ASSERT_OK(Create());
  RunRecord run = Ended();
  EXPECT_EQ(run.state, RunState::kSucceeded) << (run.error ? run.error->message : "");
  EXPECT_EQ(json::parse(*run.answer).at("data").at("branches"), json({10, 20, 30}));
  std::vector<std::string> types = Types();
  ASSERT_THAT(types, SizeIs(3 + 3 + 2 * 7 + 1));
  EXPECT_THAT(std::vector(types.begin(), types.begin() + 5),
              ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing", "tool_completed"));
  EXPECT_TRUE(run.sealed_token.empty()) << "an ended run holds no token";
  Await([&] { return engine_->executing() == 0; }, "no instance left");
}

TEST_F(EngineTest, EveryCrashPointResumesWithoutRepeatingAStep) {
  // Undisturbed first, to know how many commits there are.
  int64_t commits = 0;
  absl::Mutex mutex;
  Open(Rich, [&](int64_t n) {
    absl::MutexLock lock(mutex);
    commits = n;
    return absl::OkStatus();
  });
  ASSERT_OK(Create());
  Ended();
  const size_t all_types = Types().size();
  Close();
  ASSERT_GT(commits, 10);

  for (int64_t dies_at = 2; dies_at <= commits; ++dies_at) {
    SCOPED_TRACE(absl::StrCat("the storage dies at commit ", dies_at));
    Forget();
    bool dead = false;
    Open(Rich, [&](int64_t n) {
      absl::MutexLock lock(mutex);
      dead = dead || n >= dies_at;
      return dead ? absl::UnavailableError("dead") : absl::OkStatus();
    });
    if (!Create().ok()) {
      continue;
    }
    ASSERT_OK(WaitFor(
        [&] {
          absl::MutexLock lock(mutex);
          return (dead && engine_->executing() == 0) || IsTerminal(Get().state);
        },
        "the crash"));
    // What the journal has results of must not be called again.
    std::map<std::string, int> completed;
    auto journal = store_->Journal(Get().key);
    ASSERT_OK(journal);
    for (const JournalRecord& record : *journal) {
      if (record.kind == JournalRecord::Kind::kResult && record.command.starts_with("tool ")) {
        const std::string request = absl::StrCat("run-1/", record.path);
        completed[request] = tools_.calls().at(request);
      }
    }
    Open(Rich);
    RunRecord run = Ended();
    for (const auto& [request, calls] : completed) {
      EXPECT_EQ(tools_.calls().at(request), calls) << request;
    }
    EXPECT_EQ(run.state, RunState::kSucceeded) << (run.error ? run.error->message : "");
    EXPECT_EQ(json::parse(*run.answer).at("data").at("branches"), json({10, 20, 30}));
    std::vector<std::string> types = Types();
    std::erase(types, "run_recovered");
    EXPECT_THAT(types, SizeIs(all_types));
    Close();
    EXPECT_THAT(tools_.effects(), SizeIs(7)) << "the same seven calls under the same seven keys, whatever happened";
    for (const auto& [request, count] : tools_.effects()) {
      EXPECT_EQ(count, 1) << request;
    }
  }
}

TEST_F(EngineTest, RunSurvivesAStorageThatFailsForAMoment) {
  for (int64_t fails_at : {2, 3, 5, 8, 13}) {
    SCOPED_TRACE(absl::StrCat("the storage fails at commit ", fails_at));
    Forget();
    Open(Rich, [fails_at](int64_t n) { return n == fails_at ? absl::UnavailableError("full") : absl::OkStatus(); });
    ASSERT_OK(Create());
    ASSERT_OK(WaitFor(
        [&] {
          if (engine_->executing() == 0) {
            clock_.Advance(absl::Seconds(1));
          }
          return IsTerminal(Get().state);
        },
        "the end"));
    EXPECT_EQ(Get().state, RunState::kSucceeded);
    EXPECT_EQ(Get().recoveries, fails_at == 2 ? 0 : 1);
    Types();
    Await([&] { return clock_.pending_timers() == 0; }, "no timer left");
  }
}

TEST_F(EngineTest, ReplayThatAsksForSomethingElseFailsAndNamesBoth) {
  tools_.Hold(true);
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    co_await run.Think("the first version");
    CO_RETURN_IF_ERROR((co_await run.CallTool("one", json::object())).status());
    co_return Answer{};
  });
  ASSERT_OK(Create());
  Await([&] { return tools_.running() == 1; }, "the call");
  Close();
  tools_.Hold(false);
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    co_await run.Now();
    co_return Answer{};
  });
  RunRecord run = Ended();
  EXPECT_EQ(run.state, RunState::kFailed);
  EXPECT_EQ(run.error->reason, "NONDETERMINISTIC_AGENT");
  EXPECT_THAT(run.error->message, AllOf(HasSubstr("think#"), HasSubstr("'now'")));
  EXPECT_THAT(Types(), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing", "run_recovered",
                                   "tool_completed", "agent_failed"));
}

TEST_F(EngineTest, AtMostOnceCallInDoubtIsAskedAboutBeforeItIsRepeated) {
  for (bool allow : {true, false}) {
    Forget();
    tools_.Hold(true);
    const Script script = [](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
      CO_ASSIGN_OR_RETURN(json output, co_await run.CallTool("once", json::object()));
      co_return Answer{.summary = output.dump()};
    };
    Open(script);
    ASSERT_OK(Create());
    Await([&] { return tools_.running() == 1; }, "the call");
    Close();
    tools_.Hold(false);
    Open(script);
    Await([&] { return Get().state == RunState::kAwaitingApproval; }, "the question");
    // Still asked after another crash.
    Open(script);
    auto approvals = store_->For("ada").Approvals("run-1");
    ASSERT_OK(approvals);
    ASSERT_THAT(*approvals, SizeIs(1));
    const ApprovalRecord& asked = approvals->front();
    EXPECT_THAT(asked.question, HasSubstr("may or may not have happened"));
    ApprovalRecord decision{.verdict = allow ? ApprovalRecord::Verdict::kAllow : ApprovalRecord::Verdict::kDeny,
                            .decided_by = "ada",
                            .decide_time = clock_.Now()};
    EXPECT_THAT(BlockOn(*executor_, store_->For("ada").Resolve("run-1", asked.id, "other", decision)),
                HasReason("APPROVAL_CALL_CHANGED"));
    EXPECT_THAT(BlockOn(*executor_, store_->For("bob").Resolve("run-1", asked.id, asked.call_hash, decision)),
                HasReason("APPROVAL_NOT_FOUND"));
    ASSERT_OK(BlockOn(*executor_, store_->For("ada").Resolve("run-1", asked.id, asked.call_hash, decision)));
    engine_->ApprovalDecided("run-1");
    RunRecord run = Ended();
    EXPECT_EQ(run.state, allow ? RunState::kSucceeded : RunState::kFailed);
    if (!allow) {
      EXPECT_EQ(run.error->reason, "TOOL_OUTCOME_UNKNOWN");
    }
    EXPECT_THAT(BlockOn(*executor_, store_->For("ada").Resolve("run-1", asked.id, asked.call_hash, decision)),
                HasReason("APPROVAL_DECIDED"));
    Types();
    Close();
  }
}

TEST_F(EngineTest, ApprovalThatNobodyDecidesExpires) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    CO_ASSIGN_OR_RETURN(ApprovalDecision decision,
                        co_await run.RequestApproval({.question = "May I?", .expires_after = absl::Minutes(5)}));
    co_return Answer{.summary = decision.expired ? "expired" : "decided"};
  });
  ASSERT_OK(Create());
  Await([&] { return Get().state == RunState::kAwaitingApproval && clock_.pending_timers() == 2; }, "the question");
  clock_.Advance(absl::Minutes(5));
  RunRecord run = Ended();
  EXPECT_THAT(*run.answer, HasSubstr("expired"));
  EXPECT_EQ(run.timing.approval, absl::Minutes(5));
}

TEST_F(EngineTest, WhatAgentsDoWrongFailsTheRunWithItsReason) {
  const std::vector<std::pair<Script, std::string>> cases = {
      {[](RunContext&, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         throw std::runtime_error("oh");
         co_return Answer{};
       },
       "AGENT_THREW"},
      {[](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         CO_RETURN_IF_ERROR((co_await run.CallTool("broken", json::object())).status());
         co_return Answer{};
       },
       "BROKEN"},
      {[](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         CO_RETURN_IF_ERROR((co_await run.CallTool("missing", json::object())).status());
         co_return Answer{};
       },
       "TOOL_NOT_FOUND"},
      {[](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         while (true) {
           co_await run.Think("again");
         }
       },
       "STEP_LIMIT_EXCEEDED"},
      {[](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
         const std::vector<int> items = {1, 2};
         CO_RETURN_IF_ERROR((co_await run.All(items, [&run](const int&) -> Awaitable<absl::StatusOr<int>> {
                              co_await run.Think("on the parent's context");
                              co_return 1;
                            })).status());
         co_return Answer{};
       },
       "PARALLEL_CONTEXT_MISUSED"},
  };
  for (const auto& [script, reason] : cases) {
    SCOPED_TRACE(reason);
    Forget();
    Open(script, nullptr, {.max_steps_per_run = 20});
    ASSERT_OK(Create());
    RunRecord run = Ended();
    EXPECT_EQ(run.state, RunState::kFailed);
    EXPECT_EQ(run.error->reason, reason);
    EXPECT_EQ(Types().back(), "agent_failed");
    Close();
  }
}

TEST_F(EngineTest, CancelReachesTheToolAndTheAgentEndsByItself) {
  tools_.Hold(true);
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    CO_RETURN_IF_ERROR((co_await run.CallTool("one", json::object())).status());
    co_return Answer{};
  });
  ASSERT_OK(Create());
  Await([&] { return tools_.running() == 1; }, "the call");
  Cancel();
  EXPECT_EQ(Ended().state, RunState::kCancelled);
  EXPECT_EQ(tools_.running(), 0);
  EXPECT_THAT(Types(),
              ElementsAre("run_queued", "agent_started", "tool_executing", "tool_completed", "agent_cancelled"));
  EXPECT_THAT(BlockOn(*executor_, store_->For("ada").Cancel("run-1", "", clock_.Now())), HasReason("RUN_ENDED"));
}

TEST_F(EngineTest, AgentThatDoesNotEndIsCutOff) {
  auto kept = std::make_shared<absl::AnyInvocable<void(bool)>>();
  Open([kept](RunContext&, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    co_await AwaitCallback<bool>([kept](absl::AnyInvocable<void(bool)> done) { *kept = std::move(done); });
    co_return Answer{};
  });
  ASSERT_OK(Create());
  Await([&] { return Get().state == RunState::kRunning && *kept; }, "the agent");
  Cancel();
  EXPECT_EQ(Get().state, RunState::kCancelling);
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Ended().state, RunState::kCancelled);
  *kept = nullptr;
  Await([&] { return engine_->executing() == 0; }, "the instance's end");
}

TEST_F(EngineTest, AgentThatIgnoresItsStopInALoopIsCutOff) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    while (true) {
      (co_await run.Sleep(absl::Hours(1))).IgnoreError();
    }
  });
  ASSERT_OK(Create("run-1", absl::Minutes(10)));
  Await([&] { return clock_.pending_timers() == 2; }, "the sleep");
  clock_.Advance(absl::Minutes(10));
  RunRecord run = Ended();
  EXPECT_EQ(run.state, RunState::kTimedOut);
  EXPECT_EQ(run.error->reason, "RUN_TIMED_OUT");
  Await([&] { return engine_->executing() == 0; }, "the instance's end");
  EXPECT_EQ(clock_.pending_timers(), 0u);
}

TEST_F(EngineTest, SleepGoesOnWhereTheProcessDied) {
  const Script script = [](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    const absl::Time before = co_await run.Now();
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(30)));
    co_return Answer{.summary = absl::FormatDuration(co_await run.Now() - before)};
  };
  Open(script);
  ASSERT_OK(Create());
  Await([&] { return clock_.pending_timers() == 2; }, "the sleep");
  clock_.Advance(absl::Minutes(20));
  Open(script);
  Await([&] { return clock_.pending_timers() == 2; }, "the rest of the sleep");
  clock_.Advance(absl::Minutes(10));
  RunRecord run = Ended();
  EXPECT_THAT(*run.answer, HasSubstr("\"30m\""));
  EXPECT_EQ(run.recoveries, 1);
}

TEST_F(EngineTest, ParallelismIsBoundedAndErrorsComeInOrder) {
  tools_.Hold(true);
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    const std::vector<int> items(20, 0);
    CO_RETURN_IF_ERROR(
        (co_await run.All(items, [&](const int&) { return run.CallTool("one", json::object()); }, {.max_parallel = 3}))
            .status());
    co_return Answer{};
  });
  ASSERT_OK(Create());
  Await([&] { return tools_.running() == 3; }, "three calls");
  Cancel();
  EXPECT_EQ(Ended().state, RunState::kCancelled);
  EXPECT_EQ(tools_.most_running(), 3);
}

TEST_F(EngineTest, StaleOwnerIsFenced) {
  tools_.Hold(true);
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    CO_RETURN_IF_ERROR((co_await run.CallTool("one", json::object())).status());
    co_return Answer{};
  });
  auto created = Create();
  ASSERT_OK(created);
  Await([&] { return tools_.running() == 1; }, "the call");
  // Another process takes the run up.
  auto taken = BlockOn(*executor_, store_->TakeUp(created->key, clock_.Now()));
  ASSERT_OK(taken);
  EXPECT_EQ(taken->run.epoch, 2);
  EXPECT_THAT(BlockOn(*executor_, store_->Write({.key = created->key, .epoch = 1}, {.steps = 9})),
              HasReason("RUN_FENCED"));
  EXPECT_THAT(BlockOn(*executor_, store_->End({.key = created->key, .epoch = 1}, {.time = clock_.Now()})),
              HasReason("RUN_FENCED"));
  EXPECT_EQ(Get().state, RunState::kRunning);
}

TEST_F(EngineTest, QuotaAndRequestIdsAreKeptInTheTransaction) {
  tools_.Hold(true);
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    CO_RETURN_IF_ERROR((co_await run.CallTool("one", json::object())).status());
    co_return Answer{};
  });
  ASSERT_OK(Create("run-1", absl::Hours(1), 2, "request"));
  auto again = Create("run-2", absl::Hours(1), 2, "request");
  ASSERT_OK(again);
  EXPECT_EQ(again->id, "run-1");
  ASSERT_OK(Create("run-3", absl::Hours(1), 2));
  auto refused = Create("run-4", absl::Hours(1), 2);
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "RUN_QUOTA_EXCEEDED"));
  EXPECT_TRUE(ErrorInfoOf(refused.status())->retry_after.has_value());
  EXPECT_THAT(store_->For("bob").Get("run-1"), HasReason("RUN_NOT_FOUND"));
  EXPECT_THAT(*store_->For("bob").List({}, 0, 10), IsEmpty());
}

}  // namespace
}  // namespace bulkhead::agent
