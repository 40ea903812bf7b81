// Coroutines of Bulkhead are Boost.Asio awaitables.
#ifndef SERVICES_COMMON_RUNTIME_AWAITABLE_H_
#define SERVICES_COMMON_RUNTIME_AWAITABLE_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "boost/asio/any_io_executor.hpp"
#include "boost/asio/associated_executor.hpp"
#include "boost/asio/async_result.hpp"
#include "boost/asio/awaitable.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/use_awaitable.hpp"

namespace bulkhead {

template <typename T>
using Awaitable = boost::asio::awaitable<T>;

// Starts an operation that calls back once, on any thread, and resumes the coroutine on its own executor with the value.
// The bridge from gRPC's callbacks, the storage writer and the clock. The callback may be called before `start` returns, and then the
// coroutine may run on while `start` still does: after handing the callback on, `start` touches neither its captures nor the coroutine's
// variables. A callback that is dropped uncalled destroys the coroutine.
template <typename T>
Awaitable<T> AwaitCallback(absl::AnyInvocable<void(absl::AnyInvocable<void(T)>)> start) {
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
      [start = std::move(start)](auto handler) mutable {
        auto executor = boost::asio::get_associated_executor(handler);
        start([executor, handler = std::move(handler)](T value) mutable {
          boost::asio::post(executor, [handler = std::move(handler), value = std::move(value)]() mutable {
            std::move(handler)(std::move(value));
          });
        });
      },
      boost::asio::use_awaitable);
}

}  // namespace bulkhead

#endif  // SERVICES_COMMON_RUNTIME_AWAITABLE_H_
