#include "services/agent/plans/gate.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::agent {

// One suspended branch, which it owns until it is woken.
class Gate::Waiter {
 public:
  void Start(absl::AnyInvocable<void(bool)> resume) {
    {
      absl::MutexLock lock(mutex_);
      if (!woken_) {
        resume_ = std::move(resume);
        return;
      }
    }
    resume(true);
  }

  void Wake() {
    absl::AnyInvocable<void(bool)> resume;
    {
      absl::MutexLock lock(mutex_);
      woken_ = true;
      resume = std::exchange(resume_, nullptr);
    }
    if (resume) {
      resume(true);
    }
  }

 private:
  absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  absl::AnyInvocable<void(bool)> resume_ ABSL_GUARDED_BY(mutex_);
};

Awaitable<void> Gate::Wait(std::stop_token stop) {
  if (open_) {
    co_return;
  }
  auto waiter = std::make_shared<Waiter>();
  waiters_.push_back(waiter);
  std::stop_callback on_stop(stop, [waiting = std::weak_ptr<Waiter>(waiter)] {
    if (std::shared_ptr<Waiter> waiter = waiting.lock()) {
      waiter->Wake();
    }
  });
  co_await AwaitCallback<bool>([waiter = std::move(waiter)](absl::AnyInvocable<void(bool)> resume) mutable {
    const std::shared_ptr<Waiter> own = std::move(waiter);
    own->Start(std::move(resume));
  });
}

void Gate::Open() {
  open_ = true;
  for (const std::shared_ptr<Waiter>& waiter : std::exchange(waiters_, {})) {
    waiter->Wake();
  }
}

}  // namespace bulkhead::agent
