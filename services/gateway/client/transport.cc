#include "services/gateway/client/transport.h"

#include "absl/strings/str_cat.h"
#include "boost/beast/core/error.hpp"
#include "services/common/http/connect.h"
#include "services/common/http/url.h"
#include "services/common/status/error.h"

namespace bulkhead::gateway::client {
namespace {

absl::Status Unreachable(const Address& address, bool timed_out, std::string_view why) {
  return MakeError(timed_out ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kUnavailable,
                   absl::StrCat("the gateway at http://", address.host_header, " ",
                                timed_out ? "did not answer in time" : absl::StrCat("cannot be reached: ", why)),
                   {.domain = "bulkhead.gateway",
                    .reason = timed_out ? "GATEWAY_TIMED_OUT" : "GATEWAY_UNREACHABLE",
                    .metadata = {{"address", address.host_header}}});
}

}  // namespace

absl::StatusOr<Address> ParseBaseUrl(std::string_view base_url) {
  const absl::StatusOr<http::Url> url = http::ParseUrl(base_url);
  if (!url.ok() || url->https || url->target != "/") {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("'", base_url, "' is no address of a gateway: that is http://host:port"),
        {.domain = "bulkhead.gateway", .reason = "BASE_URL_INVALID", .metadata = {{"url", std::string(base_url)}}});
  }
  return Address{.host = url->host, .port = url->port, .host_header = url->authority};
}

absl::Status TransportError(const boost::system::error_code& error, const Address& address) {
  return Unreachable(address, error == boost::beast::error::timeout, error.message());
}

Awaitable<absl::StatusOr<boost::beast::tcp_stream>> Connect(const Address& address, absl::Duration timeout) {
  absl::StatusOr<boost::beast::tcp_stream> stream = co_await http::Connect(address.host, address.port, timeout);
  if (!stream.ok()) {
    const bool timed_out = stream.status().code() == absl::StatusCode::kDeadlineExceeded;
    co_return Unreachable(address, timed_out, stream.status().message());
  }
  co_return stream;
}

}  // namespace bulkhead::gateway::client
