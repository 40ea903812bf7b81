// A clock that stands still until a test moves it.
#ifndef SERVICES_COMMON_TIME_SIMULATED_CLOCK_H_
#define SERVICES_COMMON_TIME_SIMULATED_CLOCK_H_

#include <cstddef>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/common/time/clock.h"

namespace bulkhead {

// Thread-safe. Callbacks run on the thread that calls Advance (or CallAt, when already due), in order of time,
// and without a lock held.
class SimulatedClock : public Clock {
 public:
  explicit SimulatedClock(absl::Time start);

  absl::Time Now() const override;
  TimerId CallAt(absl::Time when, absl::AnyInvocable<void() &&> callback) override;
  bool Cancel(TimerId id) override;

  // Moves the time forward, stopping at each timer on the way.
  void Advance(absl::Duration by);

  // Timers that wait now; for tests that assert that nothing is left.
  size_t pending_timers() const;

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  TimerId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::pair<absl::Time, TimerId>, absl::AnyInvocable<void() &&>> timers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_TIME_SIMULATED_CLOCK_H_
