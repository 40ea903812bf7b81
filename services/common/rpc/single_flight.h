// Many who ask at once, one who goes.
#ifndef SERVICES_COMMON_RPC_SINGLE_FLIGHT_H_
#define SERVICES_COMMON_RPC_SINGLE_FLIGHT_H_

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::rpc {

// Runs at most one piece of work at a time and gives its result to all who asked meanwhile. Thread-safe; held by shared_ptr, since the
// work may outlast its askers.
class SingleFlight : public std::enable_shared_from_this<SingleFlight> {
 public:
  using Work = absl::AnyInvocable<Awaitable<absl::Status>()>;

  // `work` is dropped when another piece is under way; that one's result is returned.
  Awaitable<absl::Status> Join(Executor* executor, Work work);

 private:
  using Waiter = absl::AnyInvocable<void(absl::Status)>;
  static Awaitable<void> Fly(std::shared_ptr<SingleFlight> self, Work work);

  absl::Mutex mutex_;
  bool flying_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_SINGLE_FLIGHT_H_
