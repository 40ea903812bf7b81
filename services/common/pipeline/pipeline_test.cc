#include "services/common/pipeline/pipeline.h"

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/channel.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/storage/database.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"

namespace bulkhead::pipeline {
namespace {

using ::bulkhead::testing::IsOk;
using ::bulkhead::testing::TempDir;
using ::bulkhead::testing::WaitFor;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::Status Error(absl::StatusCode code, std::string reason) {
  return MakeError(code, reason, {.domain = "bulkhead.test", .reason = reason});
}

// The record as a number; what is none is refused.
absl::StatusOr<int> ParseNumber(const Record& record) {
  int number = 0;
  if (!absl::SimpleAtoi(record.data, &number)) {
    return Error(absl::StatusCode::kInvalidArgument, "NOT_A_NUMBER");
  }
  return number;
}

// Rows of an outbox table, through `ParseNumber`, into batches that the test sees.
class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() { OpenDatabase(); }

  void OpenDatabase() {
    database_ =
        storage::Database::Open(
            {.path = folder_.File("service.db"),
             .migrations = {kPipelineTables,
                            {"outbox", "CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, data BLOB NOT NULL);"}}})
            .value();
    source_ = CreateSqlSource(database_.get(),
                              "SELECT sequence, data FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT ?");
    checkpoints_ = CreateSqlCheckpointStore(database_.get());
    dead_letters_ = CreateSqlDeadLetterStore(database_.get());
  }

  void Insert(const std::vector<std::string>& rows) {
    ASSERT_OK(database_->WriteAndWait([&rows](storage::Connection& connection) {
      for (const std::string& row : rows) {
        absl::Status inserted =
            connection.Execute("INSERT INTO outbox (data) VALUES (?)", {storage::Blob{row}}).status();
        if (!inserted.ok()) {
          return inserted;
        }
      }
      return absl::OkStatus();
    }));
  }

  void Start(BatchOptions batch = {}, Options options = {}) {
    options.name = "relay";
    pipeline_ = From(source_.get(), options,
                     {.executor = executor_.get(),
                      .clock = &clock_,
                      .checkpoints = checkpoints_.get(),
                      .dead_letters = dead_letters_.get()})
                    .Then("parse", ParseNumber)
                    .Into("publish", batch, [this](const std::vector<int>& numbers, std::stop_token stop) {
                      return Sink(numbers, std::move(stop));
                    });
    ASSERT_OK(pipeline_->Start());
  }

  // What the sink answers; by default it takes all.
  std::function<absl::Status(const std::vector<int>&)> answer_ = [](const std::vector<int>&) {
    return absl::OkStatus();
  };

  Awaitable<absl::Status> Sink(std::vector<int> numbers, std::stop_token) {
    if (gate_ != nullptr) {
      co_await gate_->Receive();
    }
    absl::Status answered = answer_(numbers);
    absl::MutexLock lock(mutex_);
    ++attempts_;
    if (answered.ok()) {
      batches_.push_back(std::move(numbers));
    }
    co_return answered;
  }

  std::vector<std::vector<int>> batches() {
    absl::MutexLock lock(mutex_);
    return batches_;
  }
  void Forget() {
    absl::MutexLock lock(mutex_);
    batches_.clear();
  }
  std::vector<int> delivered() {
    std::vector<int> all;
    for (const std::vector<int>& batch : batches()) {
      all.insert(all.end(), batch.begin(), batch.end());
    }
    return all;
  }
  void AwaitDelivered(size_t count) {
    ASSERT_OK(WaitFor([&] { return delivered().size() >= count; }, absl::StrCat(count, " delivered"),
                      [&] { return absl::StrCat(delivered().size()); }));
  }
  void AwaitTimer() {
    ASSERT_OK(WaitFor([&] { return clock_.pending_timers() > 0; }, "a timer"));
  }
  void Stop() {
    BlockOn(*executor_, [](Pipeline* pipeline) -> Awaitable<bool> {
      co_await pipeline->Stop();
      co_return true;
    }(pipeline_.get()));
  }

  TempDir folder_;
  SimulatedClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<CheckpointStore> checkpoints_;
  std::unique_ptr<DeadLetterStore> dead_letters_;
  std::unique_ptr<Channel<bool>> gate_;  // When set, each batch waits for a value in it.
  absl::Mutex mutex_;
  std::vector<std::vector<int>> batches_ ABSL_GUARDED_BY(mutex_);
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Pipeline> pipeline_;
};

TEST_F(PipelineTest, RecordsArriveInOrderAlsoThoseThatComeLater) {
  std::vector<std::string> rows;
  std::vector<int> expected;
  for (int i = 0; i < 1000; ++i) {
    rows.push_back(absl::StrCat(i));
    expected.push_back(i);
  }
  Insert(rows);
  Start({.max_records = 7}, {.queue_size = 3, .read_limit = 10});
  AwaitDelivered(1000);
  Insert({"1000"});
  pipeline_->Wake();
  expected.push_back(1000);
  AwaitDelivered(1001);
  EXPECT_EQ(delivered(), expected);
  Stop();
  EXPECT_EQ(pipeline_->counts().checkpoint, 1001);
  EXPECT_OK(executor_->Drain(absl::Seconds(30)));
}

TEST_F(PipelineTest, SlowSinkStopsTheReadingAtTheQueuesBounds) {
  gate_ = std::make_unique<Channel<bool>>(1000);
  Insert(std::vector<std::string>(100, "1"));
  Start({.max_records = 1}, {.queue_size = 2, .read_limit = 100});
  // Two in each queue, one in the stage's hands, one in the sink's, one that the source cannot place.
  auto full = [&] {
    std::vector<QueueDepth> depths = pipeline_->depths();
    return depths.size() == 2 && depths[0].size == 2 && depths[1].size == 2 && pipeline_->counts().read == 6;
  };
  ASSERT_OK(WaitFor(full, "full queues"));
  EXPECT_EQ(pipeline_->depths()[0].stage, "parse");
  EXPECT_EQ(pipeline_->depths()[1].stage, "publish");
  EXPECT_EQ(pipeline_->depths()[1].capacity, 2u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(gate_->TrySend(true));
  }
  AwaitDelivered(100);
  Stop();
}

TEST_F(PipelineTest, BatchesEndByCountAndByBytes) {
  Insert({"1", "2", "3", "4", "5"});
  Start({.max_records = 2, .linger = absl::Hours(1)});
  AwaitDelivered(4);
  EXPECT_THAT(batches(), ElementsAre(ElementsAre(1, 2), ElementsAre(3, 4)));
  Stop();  // The rest does not wait for its hour.
  EXPECT_THAT(batches().back(), ElementsAre(5));

  Forget();
  Insert({"10000", "20000", "30000", "4000000000", "7"});  // 5, 5, 5, 10 and 1 bytes; the fourth is no int.
  Start({.max_bytes = 10, .linger = absl::Hours(1)});
  AwaitDelivered(2);
  Stop();
  EXPECT_THAT(batches(), ElementsAre(ElementsAre(10000, 20000), ElementsAre(30000), ElementsAre(7)));
}

TEST_F(PipelineTest, BatchEndsWhenItsFirstRecordHasWaitedLongEnough) {
  Insert({"1", "2"});
  Start({.linger = absl::Seconds(10)});
  AwaitTimer();
  EXPECT_THAT(batches(), IsEmpty());
  ASSERT_OK(WaitFor([&] { return pipeline_->depths()[1].size == 0 && pipeline_->counts().read == 2; }, "both taken"));
  clock_.Advance(absl::Seconds(10));
  AwaitDelivered(1);
  Stop();
  EXPECT_THAT(delivered(), ElementsAre(1, 2));
  EXPECT_EQ(clock_.pending_timers(), 0u);
}

TEST_F(PipelineTest, RefusedRecordsAreBuriedWithTheirReasonAndTheOthersGoOn) {
  answer_ = [](const std::vector<int>& numbers) {
    for (int number : numbers) {
      if (number == 3) {
        return Error(absl::StatusCode::kFailedPrecondition, "THREE_REFUSED");
      }
    }
    return absl::OkStatus();
  };
  Insert({"1", "two", "3", "4"});
  Start({.max_records = 3, .linger = absl::Hours(1)});
  AwaitDelivered(1);
  Stop();
  EXPECT_THAT(delivered(), ElementsAre(1, 4));
  ASSERT_OK_AND_ASSIGN(std::vector<DeadLetter> dead, dead_letters_->List("relay", 0, 10));
  ASSERT_EQ(dead.size(), 2u);
  EXPECT_EQ(dead[0].position, 2);
  EXPECT_EQ(dead[0].stage, "parse");
  EXPECT_EQ(dead[0].record, "two");
  EXPECT_EQ(dead[0].code, "INVALID_ARGUMENT");
  EXPECT_EQ(dead[0].reason, "NOT_A_NUMBER");
  EXPECT_EQ(dead[0].time, clock_.Now());
  EXPECT_EQ(dead[1].position, 3);
  EXPECT_EQ(dead[1].stage, "publish");
  EXPECT_EQ(dead[1].reason, "THREE_REFUSED");
  EXPECT_EQ(pipeline_->counts().dead, 2u);
  EXPECT_EQ(pipeline_->counts().checkpoint, 4);
}

TEST_F(PipelineTest, PassingErrorsAreRetriedWithGrowingPauses) {
  int failures = 2;
  answer_ = [&failures](const std::vector<int>&) {
    return failures-- > 0 ? Error(absl::StatusCode::kUnavailable, "AWAY") : absl::OkStatus();
  };
  Insert({"1"});
  Start({}, {.min_backoff = absl::Seconds(1), .max_backoff = absl::Seconds(60)});
  AwaitTimer();
  clock_.Advance(absl::Seconds(1));
  AwaitTimer();
  clock_.Advance(absl::Milliseconds(1999));
  EXPECT_EQ(clock_.pending_timers(), 1u);
  clock_.Advance(absl::Milliseconds(1));
  AwaitDelivered(1);
  Stop();
  EXPECT_THAT(delivered(), ElementsAre(1));
  EXPECT_EQ(pipeline_->counts().retries, 2u);
  EXPECT_EQ(pipeline_->counts().dead, 0u);
}

TEST_F(PipelineTest, RestartResumesAtTheCheckpointAndDeliversOnce) {
  bool away = false;
  answer_ = [&away](const std::vector<int>& numbers) {
    return away || numbers[0] > 3 ? Error(absl::StatusCode::kUnavailable, "AWAY") : absl::OkStatus();
  };
  Insert({"1", "2", "3", "4", "5"});
  Start({.max_records = 1});
  AwaitDelivered(3);
  AwaitTimer();  // The fourth waits for another try.
  Stop();
  EXPECT_EQ(pipeline_->counts().checkpoint, 3);
  pipeline_.reset();

  OpenDatabase();
  answer_ = [](const std::vector<int>&) { return absl::OkStatus(); };
  Start({.max_records = 1});
  AwaitDelivered(5);
  Stop();
  EXPECT_THAT(delivered(), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(PipelineTest, DestructionEndsEverythingAtOnceAndLosesNothing) {
  gate_ = std::make_unique<Channel<bool>>(1);
  Insert({"1", "2", "3"});
  Start({.max_records = 1}, {.queue_size = 1});
  ASSERT_OK(WaitFor([&] { return pipeline_->counts().read >= 1; }, "reading"));
  gate_->Close();  // The sink takes what it holds.
  pipeline_.reset();
  EXPECT_OK(executor_->Drain(absl::Seconds(30)));
  gate_ = nullptr;
  Start();
  ASSERT_OK(WaitFor([&] { return !delivered().empty() && delivered().back() == 3; }, "the last record"));
  Stop();
  EXPECT_THAT(delivered(), ::testing::IsSupersetOf({1, 2, 3}));
}

}  // namespace
}  // namespace bulkhead::pipeline
