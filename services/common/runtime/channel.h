// A bounded queue between coroutines: a full one makes the sender wait, which is how back-pressure travels.
#ifndef SERVICES_COMMON_RUNTIME_CHANNEL_H_
#define SERVICES_COMMON_RUNTIME_CHANNEL_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/log/absl_check.h"
#include "absl/synchronization/mutex.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead {

// First in, first out. Thread-safe: any number of senders and receivers. Waiters must be gone (Close, then let them finish) before it dies.
template <typename T>
class Channel {
 public:
  // `capacity` is at least 1.
  explicit Channel(size_t capacity) : capacity_(capacity) { ABSL_CHECK_GE(capacity, 1u); }

  // Waits for room. False when the channel is closed; then `value` was not taken.
  Awaitable<bool> Send(T value);
  // False when full or closed; never waits.
  bool TrySend(T value);
  // Waits for a value; nullopt when closed and empty.
  Awaitable<std::optional<T>> Receive();
  // A value if one is there; never waits.
  std::optional<T> TryReceive();
  // No more values; those inside can still be received. Wakes all waiters. Idempotent.
  void Close();
  size_t size() const;
  size_t capacity() const { return capacity_; }

 private:
  // Tells a waiter to look again; the argument means nothing.
  using Waker = absl::AnyInvocable<void(bool)>;
  enum class Attempt { kDone, kWait, kClosed };

  // Each tries once, and on success wakes one waiter of the other side. TryPut moves from `value` only on kDone.
  Attempt TryPut(T& value);
  Attempt TryTake(std::optional<T>& value);

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<T> values_ ABSL_GUARDED_BY(mutex_);
  std::deque<Waker> senders_ ABSL_GUARDED_BY(mutex_);
  std::deque<Waker> receivers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead

#include "services/common/runtime/channel_impl.h"

#endif  // SERVICES_COMMON_RUNTIME_CHANNEL_H_
