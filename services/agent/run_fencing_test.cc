// A run has one owner at a time: who has lost it writes nothing more.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/agent/engine_test_fixture.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"

namespace bulkhead::agent {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

class FencingTest : public EngineTest {};

TEST_F(FencingTest, OfTwoEnginesOnOneStoreTheSecondGoesOnAlone) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    co_await run.Think("before");
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(1)));
    CO_RETURN_IF_ERROR((co_await run.CallTool("one", json::object())).status());
    co_return Answer{.summary = "done"};
  });
  ASSERT_OK(Create());
  Await([&] { return Get().steps == 2; }, "the sleep");
  // As a process would that does not know of the first.
  const std::unique_ptr<RunEngine> second = RunEngine::Create(
      {},
      {.execution = {.clock = &clock_, .ids = ids_.get(), .store = store_.get(), .tools = &tools_, .events = &events_},
       .executor = executor_.get(),
       .registry = registry_.get(),
       .sealer = sealer_.get()});
  ASSERT_OK(second->Start());
  Await([&] { return Get().recoveries == 1 && second->executing() == 1; }, "the second owner");
  EXPECT_EQ(engine_->executing(), 1) << "the first one does not know yet";

  // Both wake up at the same time.
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Ended().state, RunState::kSucceeded);
  Await([&] { return engine_->executing() == 0 && second->executing() == 0; }, "both to let go");
  EXPECT_THAT(tools_.calls(), ElementsAre(Pair("run-1/2", 1)));
  EXPECT_THAT(Types(), ElementsAre("run_queued", "agent_started", "agent_thinking", "run_recovered", "tool_executing",
                                   "tool_completed", "agent_completed"));
}

TEST_F(FencingTest, EveryKindOfWriteOfAFormerOwnerIsRefusedAndLeavesNothing) {
  Open([](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(1)));
    co_return Answer{};
  });
  ASSERT_OK_AND_ASSIGN(const RunRecord run, Create());
  Await([&] { return Get().steps == 1; }, "the sleep");
  ASSERT_OK_AND_ASSIGN(const TakenUp taken, BlockOn(*executor_, store_->TakeUp(run.key, clock_.Now())));
  const Ownership owner{.key = run.key, .epoch = taken.run.epoch};
  const Ownership former{.key = run.key, .epoch = taken.run.epoch - 1};

  ApprovalRecord question;
  question.id = "approval-1";
  question.run = "run-1";
  question.path = "1";
  question.create_time = question.expire_time = clock_.Now();
  const auto record = [](JournalRecord::Kind kind) {
    return JournalRecord{.path = "1", .step = 2, .kind = kind, .command = "some command", .payload = "{}"};
  };
  const auto write = [&](Ownership as, JournalRecord::Kind kind, std::vector<std::string> events) {
    return BlockOn(*executor_, store_->Write(as, {.records = {record(kind)}, .events = std::move(events), .steps = 9}));
  };
  const std::string event = RunEvents(taken.run).Thinking(clock_.Now(), "too late");
  // In an order in which the owner may do them one after the other.
  const std::vector<std::pair<std::string, std::function<absl::Status(Ownership)>>> kinds = {
      {"intent", [&](Ownership as) { return write(as, JournalRecord::Kind::kIntent, {}); }},
      {"executing", [&](Ownership as) { return write(as, JournalRecord::Kind::kExecuting, {event}); }},
      {"result", [&](Ownership as) { return write(as, JournalRecord::Kind::kResult, {event}); }},
      {"question",
       [&](Ownership as) {
         return BlockOn(*executor_, store_->Ask(as, question, record(JournalRecord::Kind::kIntent), {}, 9));
       }},
      {"expiry", [&](Ownership as) { return BlockOn(*executor_, store_->Expire(as, "1", clock_.Now())).status(); }},
      {"end", [&](Ownership as) { return BlockOn(*executor_, store_->End(as, {.time = clock_.Now()})).status(); }},
  };
  for (const auto& [kind, attempt] : kinds) {
    SCOPED_TRACE(kind);
    const size_t records = store_->Journal(run.key)->size();
    const size_t events = store_->OutboxAcrossUsers(0, 1000)->size();
    const RunRecord before = Get();
    EXPECT_THAT(attempt(former), HasReason("RUN_FENCED"));
    EXPECT_THAT(*store_->Journal(run.key), SizeIs(records));
    EXPECT_THAT(*store_->OutboxAcrossUsers(0, 1000), SizeIs(events));
    EXPECT_EQ(Get().state, before.state);
    EXPECT_EQ(Get().steps, before.steps);
    EXPECT_THAT(attempt(owner), IsOk());
  }
  // And nobody writes to what has ended.
  for (const auto& [kind, attempt] : kinds) {
    EXPECT_THAT(attempt(owner), HasReason("RUN_FENCED")) << kind;
  }
}

}  // namespace
}  // namespace bulkhead::agent
