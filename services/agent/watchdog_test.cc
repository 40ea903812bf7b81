#include "services/agent/watchdog.h"

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "boost/asio/post.hpp"
#include "boost/asio/strand.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/real_time.h"

namespace bulkhead::agent {
namespace {

constexpr absl::Duration kLimit = absl::Milliseconds(20);
constexpr absl::Duration kGuard = absl::Seconds(30);

class WatchdogTest : public ::testing::Test {
 protected:
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
};

// Fills an executor with far more than it gets done within the watchdog's limit, and sees which threads do it.
class Load {
 public:
  Load(Executor* executor, int functions, int times)
      : executor_(executor), posted_(functions), left_(functions * times) {
    for (int i = 0; i < functions; ++i) {
      Post();
    }
  }
  void Await() { done_.WaitForNotification(); }
  size_t threads() {
    absl::MutexLock lock(mutex_);
    return threads_.size();
  }

 private:
  void Post() {
    executor_->Post([this] {
      {
        absl::MutexLock lock(mutex_);
        threads_.insert(std::this_thread::get_id());
      }
      for (const absl::Time until = RealNow() + absl::Microseconds(500); RealNow() < until;) {
      }
      if (--left_ > 0) {
        Post();
      } else if (--posted_ == 0) {
        done_.Notify();
      }
    });
  }

  Executor* const executor_;
  std::atomic<int> posted_;  // That have not come to their end.
  std::atomic<int> left_;
  absl::Notification done_;
  absl::Mutex mutex_;
  std::set<std::thread::id> threads_;
};

TEST_F(WatchdogTest, BusyExecutorGetsNoThreadsAndNobodyIsReported) {
  std::atomic<int> reports = 0;
  Watchdog watchdog(kLimit, executor_.get());
  const Watchdog::Watched watched = watchdog.Watch(boost::asio::make_strand(executor_->get()), "run",
                                                   [&reports](const Watchdog::Report&) { ++reports; });
  Load load(executor_.get(), /*functions=*/400, /*times=*/10);
  load.Await();
  EXPECT_EQ(load.threads(), 2u);
  EXPECT_EQ(reports, 0);
}

TEST_F(WatchdogTest, ExecutorAllOfWhoseThreadsAreHeldGetsOthersAndTheHoldersAreReported) {
  absl::Mutex mutex;
  std::set<std::string> reported;
  absl::Notification released;
  absl::BlockingCounter holders(2);
  Watchdog watchdog(kLimit, executor_.get());
  std::vector<Watchdog::Watched> watched;
  for (const char* run : {"first", "second", "idle"}) {
    const auto strand = boost::asio::make_strand(executor_->get());
    watched.push_back(watchdog.Watch(strand, run, [&, run](const Watchdog::Report&) {
      absl::MutexLock lock(mutex);
      reported.insert(run);
    }));
    if (std::string(run) != "idle") {
      boost::asio::post(strand, [&released, &holders] {
        released.WaitForNotification();
        holders.DecrementCount();
      });
    }
  }
  const auto both = [&] { return reported.size() == 2; };
  {
    absl::MutexLock lock(mutex);
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&both), kGuard));
    EXPECT_THAT(reported, ::testing::ElementsAre("first", "second"));
  }
  absl::Notification worked;
  executor_->Post([&worked] { worked.Notify(); });
  EXPECT_TRUE(worked.WaitForNotificationWithTimeout(kGuard));
  released.Notify();
  holders.Wait();
}

}  // namespace
}  // namespace bulkhead::agent
