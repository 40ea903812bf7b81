#include "services/common/http/connect.h"

#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/as_tuple.hpp"
#include "boost/asio/this_coro.hpp"
#include "boost/beast/core/error.hpp"
#include "services/common/http/resolver.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::http {

using Tcp = boost::asio::ip::tcp;

Awaitable<absl::StatusOr<boost::beast::tcp_stream>> Connect(std::string host, uint16_t port, absl::Duration timeout) {
  boost::beast::tcp_stream stream(co_await boost::asio::this_coro::executor);
  stream.expires_after(absl::ToChronoMilliseconds(timeout));
  CO_ASSIGN_OR_RETURN(const std::vector<Tcp::endpoint> endpoints, co_await Resolve(host, port, timeout));
  boost::system::error_code error;
  std::tie(error, std::ignore) =
      co_await stream.async_connect(endpoints, boost::asio::as_tuple(boost::asio::use_awaitable));
  if (error) {
    const bool timed_out = error == boost::beast::error::timeout;
    co_return MakeError(
        timed_out ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kUnavailable,
        absl::StrCat(host, " at port ", port,
                     timed_out ? " did not answer in time" : " cannot be reached: ", timed_out ? "" : error.message()),
        {.domain = "bulkhead.http",
         .reason = timed_out ? "HTTP_TIMED_OUT" : "HTTP_UNREACHABLE",
         .metadata = {{"host", host}}});
  }
  boost::system::error_code ignored;
  stream.socket().set_option(Tcp::no_delay(true), ignored);
  co_return stream;
}

}  // namespace bulkhead::http
