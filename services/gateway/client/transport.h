// Connections to a gateway, for the files of this folder that include Beast.
#ifndef SERVICES_GATEWAY_CLIENT_TRANSPORT_H_
#define SERVICES_GATEWAY_CLIENT_TRANSPORT_H_

#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "boost/asio/as_tuple.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::gateway::client {

// Completes with (error code, result) instead of throwing.
inline constexpr auto kTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

struct Address {
  std::string host;
  uint16_t port = 0;
  std::string host_header;  // "127.0.0.1:8080"
};

// INVALID_ARGUMENT `BASE_URL_INVALID` unless it is http://host[:port].
absl::StatusOr<Address> ParseBaseUrl(std::string_view base_url);

// An error on the way: UNAVAILABLE `GATEWAY_UNREACHABLE` or DEADLINE_EXCEEDED `GATEWAY_TIMED_OUT`.
absl::Status TransportError(const boost::system::error_code& error, const Address& address);

// Connects within `timeout`.
Awaitable<absl::StatusOr<boost::beast::tcp_stream>> Connect(const Address& address, absl::Duration timeout);

// Runs `task` to its end on the calling thread.
template <typename T>
T RunHere(boost::asio::io_context& context, Awaitable<T> task) {
  T result;
  context.restart();
  boost::asio::co_spawn(context, std::move(task), [&result](std::exception_ptr exception, T value) {
    if (exception != nullptr) {
      std::rethrow_exception(exception);
    }
    result = std::move(value);
  });
  context.run();
  return result;
}

}  // namespace bulkhead::gateway::client

#endif  // SERVICES_GATEWAY_CLIENT_TRANSPORT_H_
