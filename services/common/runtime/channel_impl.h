// The implementation of channel.h, which alone includes it.
// IWYU pragma: private, include "services/common/runtime/channel.h"
#ifndef SERVICES_COMMON_RUNTIME_CHANNEL_IMPL_H_
#define SERVICES_COMMON_RUNTIME_CHANNEL_IMPL_H_

#include "services/common/runtime/channel.h"

namespace bulkhead {

// A waiter is only told to look again: a value stays in the queue until a receiver that runs takes it, so one that is destroyed
// while it waits loses nothing. Wakers are called without the lock.

template <typename T>
typename Channel<T>::Attempt Channel<T>::TryPut(T& value) {
  Waker receiver;
  {
    absl::MutexLock lock(mutex_);
    if (closed_) {
      return Attempt::kClosed;
    }
    if (values_.size() >= capacity_) {
      return Attempt::kWait;
    }
    values_.push_back(std::move(value));
    if (!receivers_.empty()) {
      receiver = std::move(receivers_.front());
      receivers_.pop_front();
    }
  }
  if (receiver) {
    receiver(true);
  }
  return Attempt::kDone;
}

template <typename T>
typename Channel<T>::Attempt Channel<T>::TryTake(std::optional<T>& value) {
  Waker sender;
  {
    absl::MutexLock lock(mutex_);
    if (values_.empty()) {
      return closed_ ? Attempt::kClosed : Attempt::kWait;
    }
    value.emplace(std::move(values_.front()));
    values_.pop_front();
    if (!senders_.empty()) {
      sender = std::move(senders_.front());
      senders_.pop_front();
    }
  }
  if (sender) {
    sender(true);
  }
  return Attempt::kDone;
}

template <typename T>
Awaitable<bool> Channel<T>::Send(T value) {
  while (true) {
    Attempt attempt = TryPut(value);
    if (attempt != Attempt::kWait) {
      co_return attempt == Attempt::kDone;
    }
    co_await AwaitCallback<bool>([this](Waker waker) {
      {
        absl::MutexLock lock(mutex_);
        if (!closed_ && values_.size() >= capacity_) {
          senders_.push_back(std::move(waker));
          return;
        }
      }
      waker(true);  // Room came in between.
    });
  }
}

template <typename T>
bool Channel<T>::TrySend(T value) {
  return TryPut(value) == Attempt::kDone;
}

template <typename T>
Awaitable<std::optional<T>> Channel<T>::Receive() {
  while (true) {
    std::optional<T> value;
    if (TryTake(value) != Attempt::kWait) {
      co_return value;
    }
    co_await AwaitCallback<bool>([this](Waker waker) {
      {
        absl::MutexLock lock(mutex_);
        if (!closed_ && values_.empty()) {
          receivers_.push_back(std::move(waker));
          return;
        }
      }
      waker(true);  // A value came in between.
    });
  }
}

template <typename T>
std::optional<T> Channel<T>::TryReceive() {
  std::optional<T> value;
  TryTake(value);
  return value;
}

template <typename T>
void Channel<T>::Close() {
  std::deque<Waker> waiters;
  {
    absl::MutexLock lock(mutex_);
    closed_ = true;
    waiters.swap(receivers_);
    for (Waker& sender : senders_) {
      waiters.push_back(std::move(sender));
    }
    senders_.clear();
  }
  for (Waker& waiter : waiters) {
    waiter(true);
  }
}

template <typename T>
size_t Channel<T>::size() const {
  absl::MutexLock lock(mutex_);
  return values_.size();
}

}  // namespace bulkhead

#endif  // SERVICES_COMMON_RUNTIME_CHANNEL_IMPL_H_
