#include "services/common/time/simulated_clock.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bulkhead {

SimulatedClock::SimulatedClock(absl::Time start) : now_(start) {}

absl::Time SimulatedClock::Now() const {
  absl::MutexLock lock(mutex_);
  return now_;
}

Clock::TimerId SimulatedClock::CallAt(absl::Time when, absl::AnyInvocable<void() &&> callback) {
  TimerId id;
  {
    absl::MutexLock lock(mutex_);
    id = next_id_++;
    if (when > now_) {
      timers_.emplace(std::pair(when, id), std::move(callback));
      return id;
    }
  }
  std::move(callback)();
  return id;
}

bool SimulatedClock::Cancel(TimerId id) {
  // Destroyed after the lock is released: it may own something whose destructor comes back here.
  absl::AnyInvocable<void() &&> callback;
  absl::MutexLock lock(mutex_);
  for (auto timer = timers_.begin(); timer != timers_.end(); ++timer) {
    if (timer->first.second == id) {
      callback = std::move(timer->second);
      timers_.erase(timer);
      return true;
    }
  }
  return false;
}

void SimulatedClock::Advance(absl::Duration by) {
  absl::Time target;
  {
    absl::MutexLock lock(mutex_);
    target = now_ + by;
  }
  while (true) {
    absl::AnyInvocable<void() &&> callback;
    {
      absl::MutexLock lock(mutex_);
      const auto first = timers_.begin();
      if (first == timers_.end() || first->first.first > target) {
        // Another thread may have advanced further meanwhile.
        now_ = std::max(now_, target);
        return;
      }
      now_ = std::max(now_, first->first.first);
      callback = std::move(first->second);
      timers_.erase(first);
    }
    std::move(callback)();
  }
}

size_t SimulatedClock::pending_timers() const {
  absl::MutexLock lock(mutex_);
  return timers_.size();
}

}  // namespace bulkhead
