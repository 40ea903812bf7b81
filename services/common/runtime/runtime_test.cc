#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/channel.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/time/simulated_clock.h"

namespace bulkhead {
namespace {

constexpr absl::Duration kGuard = absl::Seconds(30);

class RuntimeTest : public ::testing::Test {
 protected:
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
};

Awaitable<std::thread::id> ThreadAfterCallbackFrom(std::thread::id* caller) {
  int value = co_await AwaitCallback<int>([caller](absl::AnyInvocable<void(int)> done) {
    std::thread([done = std::move(done), caller]() mutable {
      *caller = std::this_thread::get_id();
      done(7);
    }).detach();
  });
  EXPECT_EQ(value, 7);
  co_return std::this_thread::get_id();
}

TEST_F(RuntimeTest, CallbackFromAnotherThreadResumesOnTheExecutor) {
  std::thread::id caller;
  std::thread::id resumed = BlockOn(*executor_, ThreadAfterCallbackFrom(&caller));
  EXPECT_NE(resumed, caller);
}

Awaitable<std::unique_ptr<int>> MoveOnlyValue() {
  co_return co_await AwaitCallback<std::unique_ptr<int>>(
      [](absl::AnyInvocable<void(std::unique_ptr<int>)> done) { done(std::make_unique<int>(5)); });
}

TEST_F(RuntimeTest, CallbackInsideStartAndMoveOnlyValuesWork) { EXPECT_EQ(*BlockOn(*executor_, MoveOnlyValue()), 5); }

TEST_F(RuntimeTest, DroppedCallbackDestroysTheCoroutine) {
  auto held = std::make_shared<int>();
  std::weak_ptr<int> watch = held;
  executor_->Spawn([](std::shared_ptr<int> held) -> Awaitable<void> {
    co_await AwaitCallback<int>([](absl::AnyInvocable<void(int)>) {});
    ADD_FAILURE() << "resumed without its callback; " << *held;
  }(std::move(held)));
  EXPECT_TRUE(executor_->Drain(kGuard).ok());
  EXPECT_TRUE(watch.expired());
}

TEST_F(RuntimeTest, DrainNamesHowManyAreLeft) {
  absl::Notification started;
  absl::AnyInvocable<void(int)> resume;
  executor_->Spawn([](absl::AnyInvocable<void(int)>* resume, absl::Notification* started) -> Awaitable<void> {
    co_await AwaitCallback<int>([resume, started](absl::AnyInvocable<void(int)> done) {
      *resume = std::move(done);
      started->Notify();
    });
  }(&resume, &started));
  started.WaitForNotification();

  absl::Status busy = executor_->Drain(absl::ZeroDuration());
  EXPECT_EQ(busy.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrorInfoOf(busy)->reason, "EXECUTOR_BUSY");
  EXPECT_EQ(ErrorInfoOf(busy)->metadata.at("coroutines"), "1");

  resume(1);
  EXPECT_TRUE(executor_->Drain(kGuard).ok());
}

// Holds its thread until it is told to let go.
Awaitable<void> Holder(absl::Notification* begun, std::shared_ptr<absl::Notification> released, std::shared_ptr<int>) {
  begun->Notify();
  released->WaitForNotification();
  co_return;
}

TEST_F(RuntimeTest, AddedThreadWorksForOneThatIsHeldAndCanBeTakenBack) {
  auto executor = Executor::Create({.name = "one", .threads = 1});
  auto released = std::make_shared<absl::Notification>();
  absl::Notification begun;
  executor->Spawn(Holder(&begun, released, nullptr));
  begun.WaitForNotification();

  for (int round = 0; round < 40; ++round) {  // More often than threads can be added at once.
    ASSERT_TRUE(executor->AddThread()) << round;
    absl::Notification worked;
    executor->Post([&worked] { worked.Notify(); });
    ASSERT_TRUE(worked.WaitForNotificationWithTimeout(kGuard));
    executor->RemoveThread();
  }
  EXPECT_TRUE(executor->Drain(kGuard, /*held=*/1).ok());
  EXPECT_EQ(ErrorInfoOf(executor->Drain(absl::ZeroDuration()))->reason, "EXECUTOR_BUSY");
  released->Notify();
  EXPECT_TRUE(executor->Drain(kGuard).ok());
}

TEST_F(RuntimeTest, NoMoreThanAFewThreadsAreAdded) {
  int added = 0;
  while (added < 1000 && executor_->AddThread()) {
    ++added;
  }
  EXPECT_EQ(added, 32);
  executor_->RemoveThread();
  EXPECT_TRUE(executor_->AddThread());
}

TEST_F(RuntimeTest, HeldThreadDoesNotHoldTheEndOfItsExecutor) {
  auto released = std::make_shared<absl::Notification>();
  auto kept = std::make_shared<int>();
  std::weak_ptr<int> watch = kept;
  absl::Notification begun;
  executor_->Spawn(Holder(&begun, released, std::move(kept)));
  begun.WaitForNotification();
  executor_.reset();
  EXPECT_FALSE(watch.expired()) << "what a held thread uses was taken from it";
  released->Notify();
}

TEST_F(RuntimeTest, BlockingWorkRunsOnThePool) {
  auto pool = BlockingPool::Create(1);
  std::thread::id worker = BlockOn(*executor_, RunBlocking(pool.get(), [] { return std::this_thread::get_id(); }));
  std::thread::id other = BlockOn(*executor_, RunBlocking(pool.get(), [] { return std::this_thread::get_id(); }));
  EXPECT_EQ(worker, other);
  EXPECT_NE(worker, std::this_thread::get_id());
}

TEST_F(RuntimeTest, LaneThatIsFullLeavesThreadsToOthers) {
  auto pool = BlockingPool::Create(2);
  absl::Notification released;
  std::atomic<int> begun = 0;
  for (int i = 0; i < 3; ++i) {
    pool->PostIn("ada", [&] {
      ++begun;
      released.WaitForNotification();
    });
  }
  BlockingLane bob(pool.get(), "bob");
  EXPECT_TRUE(BlockOn(*executor_, RunBlocking(&bob, [] { return true; })));
  EXPECT_LE(begun, 1) << "more than half of the threads";
  released.Notify();
  pool.reset();
  EXPECT_EQ(begun, 3) << "what waits comes to its turn";
}

TEST_F(RuntimeTest, LanesThatWaitTakeTurns) {
  auto pool = BlockingPool::Create(1);
  absl::Notification released;
  std::string order;
  pool->PostIn("ada", [&] { released.WaitForNotification(); });
  for (const char* lane : {"ada", "ada", "ada", "bob", "bob", "eve"}) {
    pool->PostIn(lane, [&order, lane] { order += lane[0]; });
  }
  released.Notify();
  pool.reset();
  EXPECT_EQ(order, "beabaa");
}

using RuntimeDeathTest = RuntimeTest;

TEST_F(RuntimeDeathTest, ExceptionThatLeavesACoroutineEndsTheProcess) {
  EXPECT_DEATH(
      {
        auto executor = Executor::Create({.name = "doomed", .threads = 1});
        executor->Spawn([]() -> Awaitable<void> {
          throw std::runtime_error("out of cheese");
          co_return;
        }());
        (void)executor->Drain(kGuard);
      },
      "out of cheese");
}

class SleepTest : public RuntimeTest {
 protected:
  // Starts a sleep of a minute and returns once its timer stands.
  void StartSleep() {
    executor_->Spawn([](SleepTest* test) -> Awaitable<void> {
      test->result_ =
          co_await SleepUntil(&test->clock_, test->clock_.Now() + absl::Minutes(1), test->stop_.get_token());
      test->ended_.Notify();
    }(this));
    while (clock_.pending_timers() == 0) {
      std::this_thread::yield();
    }
  }

  SimulatedClock clock_{absl::UnixEpoch()};
  std::stop_source stop_;
  absl::Status result_;
  absl::Notification ended_;
};

TEST_F(SleepTest, EndsWhenTheClockReachesTheTime) {
  StartSleep();
  clock_.Advance(absl::Seconds(59));
  EXPECT_FALSE(ended_.HasBeenNotified());
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(kGuard));
  EXPECT_TRUE(result_.ok()) << result_;
  stop_.request_stop();  // Too late to matter.
}

TEST_F(SleepTest, StopEndsItAndRemovesTheTimer) {
  StartSleep();
  stop_.request_stop();
  ASSERT_TRUE(ended_.WaitForNotificationWithTimeout(kGuard));
  EXPECT_EQ(ReasonOf(result_), "WAIT_CANCELLED");
  EXPECT_TRUE(executor_->Drain(kGuard).ok());
  EXPECT_EQ(clock_.pending_timers(), 0u);
}

TEST_F(SleepTest, TimerAndStopAtTheSameTimeResumeOnce) {
  for (int i = 0; i < 200; ++i) {
    SimulatedClock clock(absl::UnixEpoch());
    std::stop_source stop;
    int resumed = 0;
    executor_->Spawn([](Clock* clock, std::stop_token stop, int* resumed) -> Awaitable<void> {
      (void)co_await SleepUntil(clock, absl::UnixEpoch() + absl::Seconds(1), stop);
      ++*resumed;
    }(&clock, stop.get_token(), &resumed));
    std::thread stopper([&] { stop.request_stop(); });
    clock.Advance(absl::Seconds(1));
    stopper.join();
    ASSERT_TRUE(executor_->Drain(kGuard).ok());
    ASSERT_EQ(resumed, 1);
  }
}

TEST_F(SleepTest, ClockThatDiesLetsTheCoroutineGo) {
  auto clock = std::make_unique<SimulatedClock>(absl::UnixEpoch());
  executor_->Spawn([](Clock* clock, std::stop_token stop) -> Awaitable<void> {
    (void)co_await SleepUntil(clock, absl::InfiniteFuture(), stop);
    ADD_FAILURE() << "resumed";
  }(clock.get(), stop_.get_token()));
  while (clock->pending_timers() == 0) {
    std::this_thread::yield();
  }
  clock.reset();
  EXPECT_TRUE(executor_->Drain(kGuard).ok());
}

Awaitable<void> SendAll(Channel<int>* channel, int count, int* sent) {
  for (int i = 0; i < count; ++i) {
    if (!co_await channel->Send(i)) {
      co_return;
    }
    ++*sent;
  }
  channel->Close();
}

TEST_F(RuntimeTest, ChannelKeepsOrderAndItsBound) {
  Channel<int> channel(2);
  int sent = 0;
  executor_->Spawn(SendAll(&channel, 1000, &sent));
  bool bounded = true;
  std::vector<int> received =
      BlockOn(*executor_, [](Channel<int>* channel, bool* bounded) -> Awaitable<std::vector<int>> {
        std::vector<int> values;
        while (std::optional<int> value = co_await channel->Receive()) {
          *bounded &= channel->size() <= channel->capacity();
          values.push_back(*value);
        }
        co_return values;
      }(&channel, &bounded));
  ASSERT_EQ(received.size(), 1000u);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(received[i], i);
  }
  EXPECT_TRUE(bounded);
  EXPECT_TRUE(executor_->Drain(kGuard).ok());
}

TEST_F(RuntimeTest, EachValueOfAChannelReachesOneOfManyReceivers) {
  Channel<int> channel(1);
  int sent = 0;
  std::vector<int> counts(4);
  for (int& count : counts) {
    executor_->Spawn([](Channel<int>* channel, int* count) -> Awaitable<void> {
      while (co_await channel->Receive()) {
        ++*count;
      }
    }(&channel, &count));
  }
  executor_->Spawn(SendAll(&channel, 2000, &sent));
  ASSERT_TRUE(executor_->Drain(kGuard).ok());
  EXPECT_EQ(counts[0] + counts[1] + counts[2] + counts[3], 2000);
}

TEST_F(RuntimeTest, ClosedChannelRefusesSendersAndGivesWhatIsInside) {
  Channel<std::string> channel(2);
  EXPECT_TRUE(channel.TrySend("a"));
  EXPECT_TRUE(channel.TrySend("b"));
  EXPECT_FALSE(channel.TrySend("full"));
  absl::Notification refused;
  executor_->Spawn([](Channel<std::string>* channel, absl::Notification* refused) -> Awaitable<void> {
    EXPECT_FALSE(co_await channel->Send("c"));
    refused->Notify();
  }(&channel, &refused));
  channel.Close();
  channel.Close();
  ASSERT_TRUE(refused.WaitForNotificationWithTimeout(kGuard));
  EXPECT_FALSE(channel.TrySend("late"));
  EXPECT_EQ(BlockOn(*executor_, channel.Receive()), "a");
  EXPECT_EQ(BlockOn(*executor_, channel.Receive()), "b");
  EXPECT_EQ(BlockOn(*executor_, channel.Receive()), std::nullopt);
  EXPECT_TRUE(executor_->Drain(kGuard).ok());
}

}  // namespace
}  // namespace bulkhead
