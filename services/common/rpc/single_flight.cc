#include "services/common/rpc/single_flight.h"

#include <utility>

namespace bulkhead::rpc {

Awaitable<absl::Status> SingleFlight::Join(Executor* executor, Work work) {
  co_return co_await AwaitCallback<absl::Status>(
      [self = shared_from_this(), executor, work = std::move(work)](Waiter waiter) mutable {
        {
          absl::MutexLock lock(self->mutex_);
          self->waiters_.push_back(std::move(waiter));
          if (self->flying_) {
            return;
          }
          self->flying_ = true;
        }
        // Nobody resumes this waiter before Fly has ended, so the captures still live.
        executor->Spawn(Fly(self, std::move(work)));
      });
}

Awaitable<void> SingleFlight::Fly(std::shared_ptr<SingleFlight> self, Work work) {
  absl::Status result = co_await work();
  std::vector<Waiter> waiters;
  {
    absl::MutexLock lock(self->mutex_);
    self->flying_ = false;
    waiters.swap(self->waiters_);
  }
  for (Waiter& waiter : waiters) {
    waiter(result);
  }
}

}  // namespace bulkhead::rpc
