// Threads that run coroutines, and threads that may block.
#ifndef SERVICES_COMMON_RUNTIME_EXECUTOR_H_
#define SERVICES_COMMON_RUNTIME_EXECUTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"

namespace bulkhead {

// Threads that run coroutines and short functions: a fixed number, and some more for those that are held. A thread is held by a coroutine that
// computes and never awaits: it cannot be interrupted. Thread-safe.
class Executor {
 public:
  struct Options {
    std::string name;  // For messages.
    int threads = 2;
  };

  static std::unique_ptr<Executor> Create(Options options);
  // Call Drain first for an orderly end. Coroutines that are still suspended never resume; what they hold is kept for ever, so that a
  // callback that comes late does no harm. That is logged as an error, and so are threads that are still held after two seconds: they are left
  // behind with all that they hold, and end when they are free or with the process.
  ~Executor();

  boost::asio::any_io_executor get() const;

  // Runs `coroutine` to its end. An exception that leaves it is logged and ends the process: agents' own are caught before.
  void Spawn(Awaitable<void> coroutine);
  void Post(absl::AnyInvocable<void() &&> function);

  // One thread more, for one that is held. False when there are 32 of these: so many held threads want a restart, and better coroutines.
  bool AddThread();
  // Takes an AddThread back, for a held thread that is free again: one of the added threads ends as soon as it has nothing to do.
  void RemoveThread();

  // Blocks until no spawned coroutine is left but `held` ones, which will not end; at most `limit` of real time. DEADLINE_EXCEEDED
  // `EXECUTOR_BUSY` names how many are.
  absl::Status Drain(absl::Duration limit, size_t held = 0);

  // Coroutines that were spawned and have not ended.
  size_t active() const;

  // Short functions, and steps of coroutines between two waits, that have been run. While every thread is held the number stands still; of a
  // busy executor it grows.
  uint64_t steps() const;

 private:
  struct State;
  explicit Executor(std::shared_ptr<State> state);
  const std::shared_ptr<State> state_;
};

// Threads for work that blocks: long SQL, files, password hashing. Thread-safe.
class BlockingPool {
 public:
  static std::unique_ptr<BlockingPool> Create(int threads);
  ~BlockingPool();  // Finishes what is queued.
  void Post(absl::AnyInvocable<void() &&> function);
  // In a lane: of one lane half of the threads work at most, and lanes that wait take turns.
  void PostIn(std::string_view lane, absl::AnyInvocable<void() &&> function);

 private:
  struct State;
  explicit BlockingPool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A pool as one of those who share it sees it, such as a user. Thread-safe; the pool outlives it.
class BlockingLane {
 public:
  BlockingLane(BlockingPool* pool, std::string name) : pool_(pool), name_(std::move(name)) {}
  void Post(absl::AnyInvocable<void() &&> function) { pool_->PostIn(name_, std::move(function)); }

 private:
  BlockingPool* const pool_;
  const std::string name_;
};

// Runs `function` on `pool`, a BlockingPool or a lane of one, and resumes the coroutine on its own executor with the result (not void).
template <typename Pool, typename F>
Awaitable<std::invoke_result_t<F&>> RunBlocking(Pool* pool, F function) {
  using Result = std::invoke_result_t<F&>;
  co_return co_await AwaitCallback<Result>(
      [pool, function = std::move(function)](absl::AnyInvocable<void(Result)> done) mutable {
        pool->Post([function = std::move(function), done = std::move(done)]() mutable { done(function()); });
      });
}

// Waits until `clock` reaches `when`. CANCELLED `WAIT_CANCELLED` when `stop` is requested before.
Awaitable<absl::Status> SleepUntil(Clock* clock, absl::Time when, std::stop_token stop);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_RUNTIME_EXECUTOR_H_
