#include "services/agent/run_retention.h"

#include <algorithm>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::agent {
namespace {

// Runs that one transaction deletes: others write between.
constexpr int kBatch = 100;
constexpr absl::Duration kCloseLimit = absl::Seconds(5);

}  // namespace

// Shared with the timer, which may come late.
struct RunRetention::State : std::enable_shared_from_this<RunRetention::State> {
  State(absl::Duration r, Clock* c, Executor* e, const RunStore* s) : retention(r), clock(c), executor(e), store(s) {}

  // Begins one sweep, whose end sets the next.
  void Sweep() {
    {
      absl::MutexLock lock(mutex);
      if (closed) {
        return;
      }
      sweeping = true;
    }
    executor->Spawn([](std::shared_ptr<State> state) -> Awaitable<void> {
      co_await Delete(state);
      absl::MutexLock lock(state->mutex);
      state->sweeping = false;
      if (!state->closed) {
        const absl::Duration pause = std::min(state->retention / 10, absl::Hours(1));
        state->timer = state->clock->CallAt(state->clock->Now() + pause, [weak = state->weak_from_this()] {
          if (std::shared_ptr<State> state = weak.lock()) {
            state->Sweep();
          }
        });
      }
    }(shared_from_this()));
  }

  static Awaitable<void> Delete(std::shared_ptr<State> state) {
    int deleted = kBatch;
    while (deleted == kBatch) {
      {
        absl::MutexLock lock(state->mutex);
        if (state->closed) {
          co_return;
        }
      }
      absl::StatusOr<int> count =
          co_await state->store->DeleteEndedAcrossUsers(state->clock->Now() - state->retention, kBatch);
      if (!count.ok()) {
        ABSL_LOG(ERROR) << "runs that ended long ago could not be deleted: " << count.status();
        co_return;
      }
      deleted = *count;
    }
  }

  const absl::Duration retention;
  Clock* const clock;
  Executor* const executor;
  const RunStore* const store;
  absl::Mutex mutex;
  bool closed ABSL_GUARDED_BY(mutex) = false;
  bool sweeping ABSL_GUARDED_BY(mutex) = false;
  Clock::TimerId timer ABSL_GUARDED_BY(mutex) = 0;
};

RunRetention::RunRetention(absl::Duration retention, Clock* clock, Executor* executor, const RunStore* store)
    : state_(std::make_shared<State>(retention, clock, executor, store)) {}

RunRetention::~RunRetention() {
  Clock::TimerId timer = 0;
  {
    absl::MutexLock lock(state_->mutex);
    state_->closed = true;
    timer = state_->timer;
    State* state = state_.get();
    auto idle = [state]() ABSL_SHARED_LOCKS_REQUIRED(state->mutex) { return !state->sweeping; };
    if (!state_->mutex.AwaitWithTimeout(absl::Condition(&idle), kCloseLimit)) {
      ABSL_LOG(ERROR) << "a deletion of old runs did not end in time";
    }
  }
  state_->clock->Cancel(timer);
}

void RunRetention::Start() {
  if (state_->retention > absl::ZeroDuration()) {
    state_->Sweep();
  }
}

}  // namespace bulkhead::agent
