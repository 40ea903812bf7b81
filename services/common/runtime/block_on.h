// The way from a thread that may block into a coroutine: main functions and tests.
#ifndef SERVICES_COMMON_RUNTIME_BLOCK_ON_H_
#define SERVICES_COMMON_RUNTIME_BLOCK_ON_H_

#include <optional>
#include <utility>

#include "absl/synchronization/notification.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"

namespace bulkhead {

// Runs `coroutine` on `executor` and blocks the calling thread, which is none of the executor's, until it has ended.
template <typename T>
T BlockOn(Executor& executor, Awaitable<T> coroutine) {
  std::optional<T> result;
  absl::Notification ended;
  executor.Spawn([](Awaitable<T> coroutine, std::optional<T>* result, absl::Notification* ended) -> Awaitable<void> {
    result->emplace(co_await std::move(coroutine));
    ended->Notify();
  }(std::move(coroutine), &result, &ended));
  ended.WaitForNotification();
  return *std::move(result);
}

}  // namespace bulkhead

#endif  // SERVICES_COMMON_RUNTIME_BLOCK_ON_H_
