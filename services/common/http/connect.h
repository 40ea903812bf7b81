// TCP connections by host and port, for whoever speaks HTTP or WebSocket over them.
#ifndef SERVICES_COMMON_HTTP_CONNECT_H_
#define SERVICES_COMMON_HTTP_CONNECT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "boost/beast/core/tcp_stream.hpp"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::http {

// A connection made within `timeout` of real time, on the coroutine's executor. What is left of `timeout` goes on holding for what is
// then read and written, until another is set.
//
// UNAVAILABLE `HOST_UNKNOWN`, `HTTP_UNREACHABLE`; DEADLINE_EXCEEDED `HTTP_TIMED_OUT`; each with metadata `host`.
Awaitable<absl::StatusOr<boost::beast::tcp_stream>> Connect(std::string host, uint16_t port, absl::Duration timeout);

}  // namespace bulkhead::http

#endif  // SERVICES_COMMON_HTTP_CONNECT_H_
