// Coroutines that share a strand and an end.
#ifndef SERVICES_GATEWAY_TASK_GROUP_H_
#define SERVICES_GATEWAY_TASK_GROUP_H_

#include <exception>
#include <utility>

#include "boost/asio/co_spawn.hpp"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/channel.h"

namespace bulkhead::gateway {

// Used on one strand. Join before it dies.
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor strand) : strand_(std::move(strand)) {}

  void Spawn(Awaitable<void> task) {
    ++running_;
    boost::asio::co_spawn(strand_, std::move(task), [this](std::exception_ptr exception) {
      if (exception != nullptr) {
        std::rethrow_exception(exception);
      }
      --running_;
      ended_.TrySend(true);
    });
  }

  // Waits until no task is left.
  Awaitable<void> Join() {
    while (running_ > 0) {
      co_await ended_.Receive();
    }
  }

 private:
  const boost::asio::any_io_executor strand_;
  int running_ = 0;
  Channel<bool> ended_{1};
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_TASK_GROUP_H_
