// Time as a dependency. Nothing else in Bulkhead asks the operating system for the time or sleeps.
#ifndef SERVICES_COMMON_TIME_CLOCK_H_
#define SERVICES_COMMON_TIME_CLOCK_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace bulkhead {

// Tells the time and calls back at a time. Thread-safe.
class Clock {
 public:
  using TimerId = uint64_t;

  virtual ~Clock() = default;

  virtual absl::Time Now() const = 0;

  // Calls `callback` once, soon after Now() reaches `when` (at once when it already has), on a thread of the
  // clock; it must be short and must not block.
  virtual TimerId CallAt(absl::Time when, absl::AnyInvocable<void() &&> callback) = 0;

  // True when the callback had not begun and now never will. False: it ran, runs now, or is unknown. Does not wait.
  virtual bool Cancel(TimerId id) = 0;
};

// The machine's clock, with one timer thread. The destructor drops timers that are still pending.
std::unique_ptr<Clock> CreateSystemClock();

}  // namespace bulkhead

#endif  // SERVICES_COMMON_TIME_CLOCK_H_
