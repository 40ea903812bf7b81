// Pipelines whose ends are real services: records of a table that go to a tool, and the relay of runs' events from the
// agent's outbox to the log.
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/pipeline/pipeline.h"
#include "services/common/pipeline/stores.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/database.h"
#include "services/common/time/simulated_clock.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::Le;

constexpr char kInvokeTool[] = "bulkhead.tool.v1.ToolService/InvokeTool";
constexpr char kPublishEvents[] = "bulkhead.notifier.v1.EventService/PublishEvents";

absl::Status Away() {
  return MakeError(absl::StatusCode::kUnavailable, "away on purpose",
                   {.domain = "bulkhead.testing", .reason = "AWAY_ON_PURPOSE"});
}

// One row of the table, on its way to the tool.
struct Order {
  pipeline::Position position = 0;
  nlohmann::json input;
};

absl::StatusOr<Order> ParseOrder(const pipeline::Record& record) {
  nlohmann::json input = nlohmann::json::parse(record.data, nullptr, /*allow_exceptions=*/false);
  if (input.is_discarded()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "not JSON",
                     {.domain = "bulkhead.testing", .reason = "NOT_JSON"});
  }
  return Order{.position = record.position, .input = std::move(input)};
}

// A table whose rows go through two stages to the tool "store", called as a user, each row under a request id of its
// own.
class OrderPipeline {
 public:
  OrderPipeline() {
    database_ = storage::Database::Open(
                    {.path = "",
                     .migrations = {pipeline::kPipelineTables,
                                    {"orders", "CREATE TABLE orders (id INTEGER PRIMARY KEY, data BLOB NOT NULL);"}}})
                    .value();
    source_ =
        pipeline::CreateSqlSource(database_.get(), "SELECT id, data FROM orders WHERE id > ? ORDER BY id LIMIT ?");
    checkpoints_ = pipeline::CreateSqlCheckpointStore(database_.get());
    dead_letters_ = pipeline::CreateSqlDeadLetterStore(database_.get());
  }

  absl::Status Insert(const std::vector<std::string>& rows) {
    return database_->WriteAndWait([&rows](storage::Connection& connection) {
      for (const std::string& row : rows) {
        RETURN_IF_ERROR(connection.Execute("INSERT INTO orders (data) VALUES (?)", {storage::Blob{row}}).status());
      }
      return absl::OkStatus();
    });
  }

  absl::Status Start(User& user, pipeline::BatchOptions batch = {}, pipeline::Options options = {},
                     pipeline::CheckpointStore* checkpoints = nullptr) {
    options.name = "orders";
    pipeline_ =
        pipeline::From(source_.get(), options,
                       {.executor = executor_.get(),
                        .clock = &clock_,
                        .checkpoints = checkpoints == nullptr ? checkpoints_.get() : checkpoints,
                        .dead_letters = dead_letters_.get()})
            .Then("parse", ParseOrder)
            .Then("tax",
                  [](const Order& order) -> absl::StatusOr<Order> {
                    Order taxed = order;
                    if (taxed.input.contains("n") && taxed.input["n"].is_number()) {
                      taxed.input["n"] = taxed.input["n"].get<int>() * 10;
                    }
                    return taxed;
                  })
            .Into("store", batch,
                  [this, &user](const std::vector<Order>& orders, std::stop_token) -> Awaitable<absl::Status> {
                    for (const Order& order : orders) {
                      const absl::Status stored = co_await RunBlocking(blocking_.get(), [&user, &order] {
                        return user.InvokeTool("store", order.input, absl::StrCat("order-", order.position)).status();
                      });
                      CO_RETURN_IF_ERROR(stored);
                    }
                    co_return absl::OkStatus();
                  });
    return pipeline_->Start();
  }

  // Until the checkpoint has reached `position`; the clock moves meanwhile, for pauses between tries.
  absl::Status AwaitCheckpoint(pipeline::Position position) {
    return WaitFor(
        [&] {
          clock_.Advance(absl::Milliseconds(100));
          return pipeline_->counts().checkpoint >= position;
        },
        absl::StrCat("checkpoint ", position), [&] { return absl::StrCat(pipeline_->counts().checkpoint); });
  }

  void Stop() {
    BlockOn(*executor_, [](pipeline::Pipeline* pipeline) -> Awaitable<bool> {
      co_await pipeline->Stop();
      co_return true;
    }(pipeline_.get()));
  }
  // As near to a crash as one process comes: what is under way is dropped.
  void Kill() { pipeline_.reset(); }

  pipeline::Pipeline& pipeline() { return *pipeline_; }
  pipeline::CheckpointStore* checkpoints() { return checkpoints_.get(); }
  absl::StatusOr<std::vector<pipeline::DeadLetter>> DeadLetters() { return dead_letters_->List("orders", 0, 100); }

 private:
  SimulatedClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  std::unique_ptr<BlockingPool> blocking_ = BlockingPool::Create(2);
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "orders", .threads = 2});
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<pipeline::Source> source_;
  std::unique_ptr<pipeline::CheckpointStore> checkpoints_;
  std::unique_ptr<pipeline::DeadLetterStore> dead_letters_;
  std::unique_ptr<pipeline::Pipeline> pipeline_;
};

std::vector<std::string> Rows(int count) {
  std::vector<std::string> rows;
  for (int i = 1; i <= count; ++i) {
    rows.push_back(absl::StrCat("{\"n\": ", i, "}"));
  }
  return rows;
}

// The numbers that the tool was called with, in order.
std::vector<int> Stored(const CountingTool& tool) {
  std::vector<int> numbers;
  for (const SeenCall& call : tool.calls()) {
    numbers.push_back(call.input.at("n").get<int>());
  }
  return numbers;
}

std::vector<int> Tens(int count) {
  std::vector<int> tens;
  for (int i = 1; i <= count; ++i) {
    tens.push_back(10 * i);
  }
  return tens;
}

TEST(DataPipelineTest, RecordsReachTheToolTransformedAndInOrder) {
  Covers({"DP-1", "TD-2"});
  auto tool = std::make_shared<CountingTool>("store");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  OrderPipeline orders;
  ASSERT_OK(orders.Insert(Rows(20)));
  ASSERT_OK(orders.Start(platform->As("ada"), {.max_records = 4}));
  ASSERT_OK(orders.AwaitCheckpoint(20));
  ASSERT_OK(orders.Insert({R"({"n": 21})"}));
  orders.pipeline().Wake();
  ASSERT_OK(orders.AwaitCheckpoint(21));
  orders.Stop();

  EXPECT_THAT(Stored(*tool), ElementsAreArray(Tens(21)));
  EXPECT_EQ(tool->calls().back().user, platform->As("ada").id());
  EXPECT_EQ(tool->calls().back().request_id, "order-21");
}

TEST(DataPipelineTest, WhatTheToolRefusesIsDeadLetteredWithItsReasonAndTheBatchGoesOnOnce) {
  Covers({"DP-2", "DP-4", "TD-6"});
  auto tool = std::make_shared<CountingTool>(tool::ToolSpec{
      .name = "store",
      .description = "Stores a number.",
      .input_schema = R"({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})",
      .output_schema = R"({"type": "object"})"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  OrderPipeline orders;
  ASSERT_OK(orders.Insert({R"({"n": 1})", "{\"n\": ", R"({"n": "three"})", R"({"n": 4})"}));
  ASSERT_OK(orders.Start(platform->As("ada"), {.max_records = 4, .linger = absl::Seconds(1)}));
  ASSERT_OK(orders.AwaitCheckpoint(4));
  orders.Stop();

  ASSERT_OK_AND_ASSIGN(const std::vector<pipeline::DeadLetter> dead, orders.DeadLetters());
  ASSERT_EQ(dead.size(), 2u);
  EXPECT_EQ(dead[0].position, 2);
  EXPECT_EQ(dead[0].stage, "parse");
  EXPECT_EQ(dead[0].reason, "NOT_JSON");
  EXPECT_EQ(dead[1].position, 3);
  EXPECT_EQ(dead[1].stage, "store");
  EXPECT_EQ(dead[1].reason, "TOOL_INPUT_INVALID");
  EXPECT_EQ(dead[1].record, R"({"n": "three"})");
  // The first was stored before its batch was refused, and again when each went alone: under the same request id that
  // has no effect.
  EXPECT_THAT(Stored(*tool), ElementsAre(10, 40));
}

TEST(DataPipelineTest, ASlowToolHoldsTheReadingWithinTheQueuesBounds) {
  Covers({"DP-3"});
  auto tool = std::make_shared<HoldingTool>("store");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  OrderPipeline orders;
  ASSERT_OK(orders.Insert(Rows(40)));
  ASSERT_OK(orders.Start(platform->As("ada"), {.max_records = 1}, {.queue_size = 3}));
  ASSERT_OK(hold->Wait());
  // Three queues of three, one record in the hands of each stage and of the sink: twelve, and one that waits at the
  // source.
  ASSERT_OK(WaitFor([&] { return orders.pipeline().counts().read == 12; }, "twelve records read",
                    [&] { return absl::StrCat(orders.pipeline().counts().read); }));
  for (const pipeline::QueueDepth& depth : orders.pipeline().depths()) {
    EXPECT_EQ(depth.size, 3u) << depth.stage;
    EXPECT_EQ(depth.capacity, 3u) << depth.stage;
  }
  EXPECT_EQ(tool->runs(), 1);

  hold->Resume();
  ASSERT_OK(orders.AwaitCheckpoint(40));
  orders.Stop();
  EXPECT_THAT(Stored(*tool), ElementsAreArray(Tens(40)));
}

TEST(DataPipelineTest, ALostAnswerIsAskedForAgainAndTheToolRunsOnce) {
  Covers({"DP-4", "DP-6", "TD-4"});
  auto tool = std::make_shared<CountingTool>("store", tool::RepeatPolicy::kAtMostOnce);
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  platform->faults().FailCall(kInvokeTool, Away(), /*nth=*/2);
  platform->faults().LoseResponse(kInvokeTool, Away(), /*nth=*/4);
  OrderPipeline orders;
  ASSERT_OK(orders.Insert(Rows(5)));
  ASSERT_OK(orders.Start(platform->As("ada"), {.max_records = 1}));
  ASSERT_OK(orders.AwaitCheckpoint(5));
  orders.Stop();

  EXPECT_THAT(Stored(*tool), ElementsAreArray(Tens(5)));
  EXPECT_EQ(platform->faults().CallsOf(kInvokeTool), 7);
  EXPECT_EQ(orders.pipeline().counts().retries, 2u);
  EXPECT_THAT(orders.DeadLetters(), IsOkAndHolds(IsEmpty()));
}

// Cannot save any position from `limit` on.
class FullCheckpointStore : public pipeline::CheckpointStore {
 public:
  FullCheckpointStore(pipeline::CheckpointStore* store, pipeline::Position limit) : store_(store), limit_(limit) {}
  absl::StatusOr<pipeline::Position> Load(std::string_view pipeline) override { return store_->Load(pipeline); }
  Awaitable<absl::Status> Save(std::string pipeline, pipeline::Position position) override {
    if (position >= limit_) {
      co_return Away();
    }
    co_return co_await store_->Save(std::move(pipeline), position);
  }

 private:
  pipeline::CheckpointStore* const store_;
  const pipeline::Position limit_;
};

TEST(DataPipelineTest, DeathBetweenEffectAndCheckpointRepeatsNoEffect) {
  Covers({"DP-6"});
  auto tool = std::make_shared<CountingTool>("store");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  OrderPipeline orders;
  ASSERT_OK(orders.Insert(Rows(5)));
  FullCheckpointStore full(orders.checkpoints(), /*limit=*/3);
  ASSERT_OK(orders.Start(platform->As("ada"), {.max_records = 1}, {}, &full));
  ASSERT_OK(WaitFor([&] { return tool->runs() == 3; }, "the third effect"));
  orders.Kill();
  EXPECT_THAT(orders.checkpoints()->Load("orders"), IsOkAndHolds(pipeline::Position{2}));

  ASSERT_OK(platform->Restart());  // The tool service remembers what it has done.
  ASSERT_OK(orders.Start(platform->As("ada"), {.max_records = 1}));
  ASSERT_OK(orders.AwaitCheckpoint(5));
  orders.Stop();
  EXPECT_THAT(Stored(*tool), ElementsAreArray(Tens(5)));
}

// The sequence numbers of a run's events in the log.
absl::StatusOr<std::vector<uint64_t>> SequencesOf(User& user, std::string_view run) {
  ASSIGN_OR_RETURN(const std::vector<notifier::v1::Event> events, user.EventsOf(run));
  std::vector<uint64_t> sequences;
  for (const notifier::v1::Event& event : events) {
    sequences.push_back(event.sequence());
  }
  return sequences;
}

// Waits for the end of a run whose relay pauses between its tries, `pause` at most.
absl::Status AwaitLastEvent(Harness& platform, User& user, std::string_view run, absl::Duration pause) {
  return WaitFor(
      [&] {
        platform.Advance(pause);
        const auto types = user.EventTypesOf(run);
        return types.ok() && !types->empty() && types->back() == "agent_completed";
      },
      "the run's last event");
}

constexpr char kSucceeded[] = "RUN_STATE_SUCCEEDED";
const std::vector<std::string>& ChainEvents() {
  static const auto* const kTypes = new std::vector<std::string>{"run_queued",     "agent_started",  "agent_thinking",
                                                                 "tool_executing", "tool_completed", "agent_completed"};
  return *kTypes;
}

TEST(DataPipelineTest, RunsDoNotWaitForTheLogAndTheirEventsFollowInFewBatches) {
  Covers({"DP-3", "DP-4", "WS-2", "WS-5"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  const std::shared_ptr<Hold> hold = platform->faults().HoldCall(kPublishEvents);
  std::vector<std::pair<User*, std::string>> runs;
  for (const char* login : {"ada", "bob"}) {
    for (int i = 0; i < 3; ++i) {
      User& user = platform->As(login);
      ASSERT_OK_AND_ASSIGN(std::string run, user.StartRun("chain", {{"tools", {"count"}}}));
      runs.emplace_back(&user, std::move(run));
    }
  }
  ASSERT_OK(hold->Wait());
  for (const auto& [user, run] : runs) {
    ASSERT_OK(user->WaitForState(run, kSucceeded));
  }
  EXPECT_EQ(platform->faults().CallsOf(kPublishEvents), 1);

  hold->Resume();
  for (const auto& [user, run] : runs) {
    ASSERT_OK(user->WaitForRun(run));
    EXPECT_THAT(user->EventTypesOf(run), IsOkAndHolds(ElementsAreArray(ChainEvents())));
    EXPECT_THAT(SequencesOf(*user, run), IsOkAndHolds(ElementsAre(1, 2, 3, 4, 5, 6)));
  }
  // 36 events.
  EXPECT_THAT(platform->faults().CallsOf(kPublishEvents), Le(4));
}

TEST(DataPipelineTest, EventsOfWhichTheRelayDoesNotKnowThatTheyArrivedComeOnce) {
  Covers({"DP-6", "WS-5", "WS-2"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  platform->faults().LoseResponse(kPublishEvents, Away(), /*nth=*/1);
  platform->faults().FailCall(kPublishEvents, Away(), /*nth=*/2);
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count"}}}));
  ASSERT_OK(AwaitLastEvent(*platform, ada, run, absl::Milliseconds(100)));

  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(ElementsAreArray(ChainEvents())));
  EXPECT_THAT(SequencesOf(ada, run), IsOkAndHolds(ElementsAre(1, 2, 3, 4, 5, 6)));
  EXPECT_EQ(tool->runs(), 1);
}

TEST(DataPipelineTest, EventsOutliveALogThatCannotWrite) {
  Covers({"DP-6", "WS-1", "WS-2"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  // A disk that fails, a server of another version, a right that was taken away: all of it can be mended.
  int nth = 0;
  for (const absl::StatusCode code :
       {absl::StatusCode::kInternal, absl::StatusCode::kUnknown, absl::StatusCode::kUnimplemented,
        absl::StatusCode::kPermissionDenied, absl::StatusCode::kInternal}) {
    platform->faults().FailCall(
        kPublishEvents, MakeError(code, "not now", {.domain = "bulkhead.storage", .reason = "STORAGE_FAILED"}), ++nth);
  }
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count"}}}));
  ASSERT_OK(AwaitLastEvent(*platform, ada, run, absl::Seconds(2)));
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(ElementsAreArray(ChainEvents())));
  EXPECT_THAT(SequencesOf(ada, run), IsOkAndHolds(ElementsAre(1, 2, 3, 4, 5, 6)));
  EXPECT_THAT(platform->faults().CallsOf(kPublishEvents), Ge(6));
}

TEST(DataPipelineTest, EventsThatHadNotLeftBeforeACrashLeaveAfterIt) {
  Covers({"DP-6", "AE-6"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  const std::shared_ptr<Hold> hold = platform->faults().HoldCall(kPublishEvents);
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count"}}}));
  ASSERT_OK(hold->Wait());
  ASSERT_OK(ada.WaitForState(run, kSucceeded));

  hold->Fail(Away());  // The relay pauses now, and the test's clock stands still.
  platform->Crash();
  ASSERT_OK(platform->Start());

  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED);
  EXPECT_THAT(SequencesOf(ada, run), IsOkAndHolds(ElementsAre(1, 2, 3, 4, 5, 6)));
  EXPECT_EQ(tool->runs(), 1);
}

}  // namespace
}  // namespace bulkhead::testing
