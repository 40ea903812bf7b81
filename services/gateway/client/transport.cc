#include "services/gateway/client/transport.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/this_coro.hpp"
#include "boost/beast/core/error.hpp"
#include "services/common/status/error.h"

namespace bulkhead::gateway::client {
namespace {

using Tcp = boost::asio::ip::tcp;

}  // namespace

absl::StatusOr<Address> ParseBaseUrl(std::string_view base_url) {
  const absl::Status invalid = MakeError(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("'", base_url, "' is no address of a gateway: that is http://host:port"),
      {.domain = "bulkhead.gateway", .reason = "BASE_URL_INVALID", .metadata = {{"url", std::string(base_url)}}});
  std::string_view rest = base_url;
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return invalid;
  }
  absl::ConsumeSuffix(&rest, "/");
  Address address{.port = "80", .host_header = std::string(rest)};
  const size_t bracket = rest.rfind(']');
  const size_t colon = rest.rfind(':');
  std::string_view host = rest;
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    uint32_t port = 0;
    host = rest.substr(0, colon);
    if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port == 0 || port > 65535) {
      return invalid;
    }
    address.port = absl::StrCat(port);
  }
  if (absl::ConsumePrefix(&host, "[")) {
    absl::ConsumeSuffix(&host, "]");
  }
  if (host.empty() || host.find_first_of("/?#@ \t\r\n") != std::string_view::npos) {
    return invalid;
  }
  address.host = std::string(host);
  return address;
}

absl::Status TransportError(const boost::system::error_code& error, const Address& address) {
  const bool timed_out = error == boost::beast::error::timeout;
  return MakeError(
      timed_out ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kUnavailable,
      absl::StrCat("the gateway at http://", address.host_header, " ",
                   timed_out ? "did not answer in time" : absl::StrCat("cannot be reached: ", error.message())),
      {.domain = "bulkhead.gateway",
       .reason = timed_out ? "GATEWAY_TIMED_OUT" : "GATEWAY_UNREACHABLE",
       .metadata = {{"address", address.host_header}}});
}

Awaitable<absl::StatusOr<boost::beast::tcp_stream>> Connect(const Address& address, absl::Duration timeout) {
  const auto executor = co_await boost::asio::this_coro::executor;
  boost::beast::tcp_stream stream(executor);
  stream.expires_after(absl::ToChronoSeconds(timeout));
  // Addresses, and the one name that everybody has, need no resolver: a statically linked program may be without one.
  boost::system::error_code error;
  const auto literal = boost::asio::ip::make_address(address.host == "localhost" ? "127.0.0.1" : address.host, error);
  if (!error) {
    const Tcp::endpoint endpoint(literal, static_cast<uint16_t>(std::stoi(address.port)));
    std::tie(error) = co_await stream.async_connect(endpoint, kTuple);
  } else {
    Tcp::resolver resolver(executor);
    auto [unresolved, endpoints] = co_await resolver.async_resolve(address.host, address.port, kTuple);
    error = unresolved;
    if (!error) {
      std::tie(error, std::ignore) = co_await stream.async_connect(endpoints, kTuple);
    }
  }
  if (error) {
    co_return TransportError(error, address);
  }
  boost::system::error_code ignored;
  stream.socket().set_option(Tcp::no_delay(true), ignored);
  co_return stream;
}

}  // namespace bulkhead::gateway::client
