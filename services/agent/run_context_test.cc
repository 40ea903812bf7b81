// What agents get from RunContext beyond single commands: branches that compete, code that changes, runs that are held
// back.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/agent/engine_test_fixture.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"

namespace bulkhead::agent {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

using RunContextTest = EngineTest;

// A tool that fails, one that never answers, two that do, and a long sleep.
Awaitable<absl::StatusOr<Answer>> Contest(RunContext& run, const json&) {
  const std::vector<std::string> ways = {"broken", "slow", "good", "sleep"};
  CO_ASSIGN_OR_RETURN(
      std::string won,
      co_await run.Any(ways, [](RunContext& branch, const std::string& way) -> Awaitable<absl::StatusOr<std::string>> {
        if (way == "sleep") {
          CO_RETURN_IF_ERROR(co_await branch.Sleep(absl::Minutes(30)));
          co_return way;
        }
        co_await branch.Think(way);
        CO_RETURN_IF_ERROR((co_await branch.CallTool(way, json::object())).status());
        CO_RETURN_IF_ERROR((co_await branch.CallTool("second", json::object())).status());
        co_return way;
      }));
  co_await run.Think(absl::StrCat("won: ", won));
  co_return Answer{.summary = won};
}

TEST_F(RunContextTest, AnyTakesTheFirstSuccessAndStopsTheOthers) {
  Open(Contest);
  ASSERT_OK(Create());
  RunRecord run = Ended();  // The clock stands still: nobody waits for the sleep.
  EXPECT_EQ(run.state, RunState::kSucceeded) << (run.error ? run.error->message : "");
  EXPECT_EQ(json::parse(*run.answer).at("summary"), "good");
  EXPECT_EQ(tools_.running(), 0) << "the tool that never answers was cancelled";
  auto journal = store_->Journal(run.key);
  ASSERT_OK(journal);
  EXPECT_THAT(*journal,
              Contains(::testing::AllOf(::testing::Field(&JournalRecord::path, "0.1.1"),
                                        ::testing::Field(&JournalRecord::payload, HasSubstr("BRANCH_LOST")))));
  Types();
  Await([&] { return clock_.pending_timers() == 0; }, "no timer left");
}

TEST_F(RunContextTest, CrashAtAnyPointOfAContestComesToTheSameEnd) {
  absl::Mutex mutex;
  bool dead = true;
  int64_t dies_at = 2;
  for (; dead; ++dies_at) {
    SCOPED_TRACE(absl::StrCat("the storage dies at commit ", dies_at));
    Forget();
    dead = false;
    Open(Contest, [&](int64_t n) {
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
        "the crash, or the end"));
    Open(Contest);
    RunRecord run = Ended();
    EXPECT_EQ(run.state, RunState::kSucceeded) << (run.error ? run.error->message : "");
    EXPECT_EQ(json::parse(*run.answer).at("summary"), "good");
    Types();
    Close();
    for (const auto& [request, count] : tools_.effects()) {
      EXPECT_EQ(count, 1) << request;
    }
    ASSERT_LT(dies_at, 100);
  }
  EXPECT_GT(dies_at, 12);
}

TEST_F(RunContextTest, RaceIsWonByAnErrorToo) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    const std::vector<std::string> ways = {"slow", "broken"};
    CO_ASSIGN_OR_RETURN(json first, co_await run.Race(ways, [](RunContext& branch, const std::string& way) {
      return branch.CallTool(way, json::object());
    }));
    co_return Answer{.summary = first.dump()};
  });
  ASSERT_OK(Create());
  RunRecord run = Ended();
  EXPECT_EQ(run.error->reason, "BROKEN");
  Types();
}

TEST_F(RunContextTest, AnyWithoutASuccessGivesTheFirstErrorInOrder) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    const auto call = [](RunContext& branch, const std::string& tool) { return branch.CallTool(tool, json::object()); };
    const std::vector<std::string> none;
    absl::StatusOr<json> of_none = co_await run.Any(none, call);
    const std::vector<std::string> tools = {"missing", "broken"};
    absl::StatusOr<json> of_two = co_await run.Any(tools, call);
    co_return Answer{.summary = absl::StrCat(ReasonOf(of_none.status()), " ", ReasonOf(of_two.status()))};
  });
  ASSERT_OK(Create());
  RunRecord run = Ended();
  ASSERT_EQ(run.state, RunState::kSucceeded) << (run.error ? run.error->message : "");
  EXPECT_EQ(json::parse(*run.answer).at("summary"), "NO_BRANCHES TOOL_NOT_FOUND");
}

TEST_F(RunContextTest, QuestionOfABranchThatLostIsWithdrawn) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    const std::vector<int> ways = {1, 0};
    CO_ASSIGN_OR_RETURN(
        int asked, co_await run.Any(ways, [](RunContext& branch, const int& asks) -> Awaitable<absl::StatusOr<int>> {
          if (asks == 1) {
            CO_RETURN_IF_ERROR((co_await branch.RequestApproval({.question = "May I?"})).status());
          } else {
            CO_RETURN_IF_ERROR(co_await branch.Sleep(absl::Minutes(1)));
          }
          co_return asks;
        }));
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(1)));
    co_return Answer{.summary = asked == 1 ? "asked" : "slept"};
  });
  ASSERT_OK(Create());
  Await([&] { return Get().state == RunState::kAwaitingApproval && clock_.pending_timers() >= 3; }, "both branches");
  clock_.Advance(absl::Minutes(1));
  Await([&] { return Get().state == RunState::kRunning; }, "the question to be withdrawn");
  Await([&] { return store_->Journal(Get().key)->back().path == "1"; }, "the second sleep");
  clock_.Advance(absl::Minutes(1));
  RunRecord run = Ended();
  EXPECT_EQ(json::parse(*run.answer).at("summary"), "slept");
  auto approvals = store_->For("ada").Approvals("run-1");
  ASSERT_OK(approvals);
  ASSERT_THAT(*approvals, SizeIs(1));
  EXPECT_EQ((*approvals)[0].verdict, ApprovalRecord::Verdict::kExpired);
}

Awaitable<absl::StatusOr<Answer>> OldWay(RunContext& run, const json&) {
  co_await run.Think("the old way");
  CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(1)));
  co_await run.Think("the old end");
  co_return Answer{.summary = "old"};
}

Awaitable<absl::StatusOr<Answer>> PatchedWay(RunContext& run, const json&) {
  const bool fresh = co_await run.Patched("new-way");
  co_await run.Think(fresh ? "the new way" : "the old way");
  CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(1)));
  const bool still = co_await run.Patched("new-way");
  co_await run.Think(still ? "the new end" : "the old end");
  co_return Answer{.summary = still ? "new" : "old"};
}

TEST_F(RunContextTest, PatchedCodeGoesOnAsTheRunBegan) {
  for (bool began_before : {true, false}) {
    Forget();
    Open(began_before ? OldWay : PatchedWay);
    ASSERT_OK(Create());
    Await([&] { return clock_.pending_timers() == 2; }, "the sleep");
    // Twice, so that a replay of a replay is held to it as well.
    Open(PatchedWay, nullptr, {}, "2");
    Await([&] { return Get().recoveries == 1 && clock_.pending_timers() == 2; }, "the sleep again");
    Open(PatchedWay, nullptr, {}, "2");
    Await([&] { return Get().recoveries == 2 && clock_.pending_timers() == 2; }, "the sleep once more");
    clock_.Advance(absl::Minutes(1));
    RunRecord run = Ended();
    ASSERT_EQ(run.state, RunState::kSucceeded) << run.error->message;
    EXPECT_EQ(json::parse(*run.answer).at("summary"), began_before ? "old" : "new");
    EXPECT_EQ(run.agent_version, "1") << "a run keeps the version that it began under";
  }
}

TEST_F(RunContextTest, RunOfAnotherVersionThatReplaysOtherwiseSaysSo) {
  Open(OldWay);
  ASSERT_OK(Create());
  Await([&] { return clock_.pending_timers() == 2; }, "the sleep");
  Open(
      [](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        co_await run.Think("something else");
        co_return Answer{};
      },
      nullptr, {}, "2");
  RunRecord run = Ended();
  EXPECT_EQ(run.state, RunState::kFailed);
  EXPECT_EQ(run.error->reason, "AGENT_VERSION_CHANGED");
  EXPECT_EQ(run.error->metadata.at("started_under"), "1");
  EXPECT_EQ(run.error->metadata.at("version"), "2");
  EXPECT_EQ(run.error->metadata.at("place"), "0");
}

TEST_F(RunContextTest, InterruptedRunStandsBeforeItsNextCommandUntilItIsResumed) {
  Open(OldWay);
  ASSERT_OK(Create());
  Await([&] { return clock_.pending_timers() == 2; }, "the sleep");
  Interrupt();
  clock_.Advance(absl::Minutes(1));
  // What was under way goes on.
  Await([&] { return store_->Journal(Get().key)->back().kind == JournalRecord::Kind::kResult; },
        "the end of the sleep");
  Open(OldWay);  // It is held back across a crash.
  Await([&] { return Get().recoveries == 1 && clock_.pending_timers() == 2; }, "the run to stand there again");
  clock_.Advance(absl::Minutes(5));
  Resume();
  RunRecord run = Ended();
  EXPECT_EQ(run.state, RunState::kSucceeded) << (run.error ? run.error->message : "");
  EXPECT_FALSE(run.interrupt_time.has_value());
  EXPECT_EQ(run.timing.interrupted, absl::Minutes(5));
  EXPECT_EQ(run.timing.Total(), *run.end_time - run.create_time);
  EXPECT_THAT(Types(), ElementsAre("run_queued", "agent_started", "agent_thinking", "run_interrupted", "run_recovered",
                                   "run_resumed", "agent_thinking", "agent_completed"));
  EXPECT_THAT(BlockOn(*executor_, store_->For("ada").Resume("run-1", clock_.Now())), HasReason("RUN_NOT_INTERRUPTED"));
  EXPECT_THAT(BlockOn(*executor_, store_->For("ada").Interrupt("run-1", clock_.Now())), HasReason("RUN_ENDED"));
}

TEST_F(RunContextTest, InterruptedRunIsStillCancelledAndTimedOut) {
  for (bool cancel : {true, false}) {
    Forget();
    Open(OldWay);
    ASSERT_OK(Create("run-1", absl::Minutes(2)));
    Await([&] { return clock_.pending_timers() == 2; }, "the sleep");
    Interrupt();
    clock_.Advance(absl::Minutes(1));
    Await([&] { return store_->Journal(Get().key)->back().kind == JournalRecord::Kind::kResult; }, "the sleep's end");
    if (cancel) {
      Cancel();
    } else {
      clock_.Advance(absl::Minutes(1));
    }
    EXPECT_EQ(Ended().state, cancel ? RunState::kCancelled : RunState::kTimedOut);
    Types();
  }
}

}  // namespace
}  // namespace bulkhead::agent
