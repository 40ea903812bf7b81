// From names to addresses.
#ifndef SERVICES_COMMON_HTTP_RESOLVER_H_
#define SERVICES_COMMON_HTTP_RESOLVER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "boost/asio/ip/tcp.hpp"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::http {

// The addresses of `host`, which may be one itself or "localhost", with `port`; at least one. By c-ares: the C library's resolver loads
// plug-ins, which a static executable has not. Takes at most `timeout` of real time.
//
// UNAVAILABLE `HOST_UNKNOWN` (metadata `host`), also when no name server answers.
Awaitable<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>> Resolve(std::string host, uint16_t port,
                                                                               absl::Duration timeout);

}  // namespace bulkhead::http

#endif  // SERVICES_COMMON_HTTP_RESOLVER_H_
