#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/time/clock.h"

namespace bulkhead {
namespace {

class SystemClock : public Clock {
 public:
  SystemClock() : thread_([this] { RunTimers(); }) {}

  ~SystemClock() override {
    {
      absl::MutexLock lock(mutex_);
      stopping_ = true;
      changed_.Signal();
    }
    thread_.join();
  }

  absl::Time Now() const override { return absl::Now(); }

  TimerId CallAt(absl::Time when, absl::AnyInvocable<void() &&> callback) override {
    absl::MutexLock lock(mutex_);
    const TimerId id = next_id_++;
    times_.emplace(id, when);
    timers_.emplace(std::pair(when, id), std::move(callback));
    changed_.Signal();
    return id;
  }

  bool Cancel(TimerId id) override {
    // Destroyed after the lock is released: it may own something whose destructor comes back here.
    absl::AnyInvocable<void() &&> callback;
    absl::MutexLock lock(mutex_);
    const auto time = times_.find(id);
    if (time == times_.end()) {
      return false;
    }
    const auto timer = timers_.find({time->second, id});
    callback = std::move(timer->second);
    timers_.erase(timer);
    times_.erase(time);
    return true;
  }

 private:
  void RunTimers() {
    while (true) {
      absl::AnyInvocable<void() &&> callback = NextDue();
      if (callback == nullptr) {
        return;
      }
      std::move(callback)();
    }
  }

  // Waits for the first timer to come due and takes it; null when the clock stops.
  absl::AnyInvocable<void() &&> NextDue() {
    absl::MutexLock lock(mutex_);
    while (!stopping_) {
      if (timers_.empty()) {
        changed_.Wait(&mutex_);
      } else if (const absl::Time first = timers_.begin()->first.first; first > absl::Now()) {
        changed_.WaitWithDeadline(&mutex_, first);
      } else {
        const auto timer = timers_.begin();
        absl::AnyInvocable<void() &&> callback = std::move(timer->second);
        times_.erase(timer->first.second);
        timers_.erase(timer);
        return callback;
      }
    }
    return nullptr;
  }

  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  TimerId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<TimerId, absl::Time> times_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<absl::Time, TimerId>, absl::AnyInvocable<void() &&>> timers_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // Last, so that it starts when the rest exists.
};

}  // namespace

std::unique_ptr<Clock> CreateSystemClock() { return std::make_unique<SystemClock>(); }

}  // namespace bulkhead
