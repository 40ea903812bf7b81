#include "services/gateway/client/web_socket.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/beast/core/buffers_to_string.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/http/string_body.hpp"
#include "boost/beast/websocket.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/client/answer.h"
#include "services/gateway/client/transport.h"

namespace bulkhead::gateway {
namespace {

namespace asio = ::boost::asio;
namespace beast = ::boost::beast;
namespace http = ::boost::beast::http;
namespace websocket = ::boost::beast::websocket;
using client::kTuple;
using Stream = websocket::stream<beast::tcp_stream>;

constexpr absl::Duration kCloseTimeout = absl::Seconds(5);

// Cuts the connection when the operation that it stands beside takes too long.
class Limit {
 public:
  Limit(Stream& stream, absl::Duration timeout) : timer_(stream.get_executor()) {
    timer_.expires_after(absl::ToChronoMilliseconds(timeout));
    timer_.async_wait([this, &stream](const boost::system::error_code& error) {
      if (!error) {
        passed_ = true;
        beast::get_lowest_layer(stream).close();
      }
    });
  }
  // Whether it was passed. To be called when the operation has ended, before the limit dies.
  bool Passed() {
    timer_.cancel();
    return passed_;
  }

 private:
  asio::steady_timer timer_;
  bool passed_ = false;
};

}  // namespace

struct ClientWebSocket::State {
  asio::io_context context;
  client::Address address;
  Options options;
  std::optional<Stream> stream;

  absl::Status ErrorOf(const boost::system::error_code& error, bool timed_out) const {
    if (timed_out) {
      return client::TransportError(beast::error::timeout, address);
    }
    const websocket::close_reason& reason = stream->reason();
    // The goodbye counts, however the connection ended after it.
    if (error == websocket::error::closed || reason.code != websocket::close_code::none) {
      return MakeError(
          absl::StatusCode::kUnavailable,
          absl::StrCat("the gateway has closed the socket: ", reason.code, " ", std::string_view(reason.reason)),
          {.domain = "bulkhead.gateway",
           .reason = "SOCKET_CLOSED",
           .metadata = {{"code", absl::StrCat(reason.code)},
                        {"reason", std::string(std::string_view(reason.reason))}}});
    }
    return client::TransportError(error, address);
  }

  Awaitable<absl::Status> Connect() {
    CO_ASSIGN_OR_RETURN(beast::tcp_stream connected, co_await client::Connect(address, options.timeout));
    stream.emplace(std::move(connected));
    stream->read_message_max(16 << 20);
    stream->set_option(websocket::stream_base::decorator([this](websocket::request_type& request) {
      request.set(http::field::user_agent, options.user_agent);
      if (!options.subprotocol.empty()) {
        request.set(http::field::sec_websocket_protocol, options.subprotocol);
      }
      if (!options.token.empty()) {
        request.set(http::field::authorization, absl::StrCat("Bearer ", options.token.Reveal()));
      }
      if (!options.origin.empty()) {
        request.set(http::field::origin, options.origin);
      }
    }));
    const std::string target =
        options.ticket.empty() ? options.target : absl::StrCat(options.target, "?ticket=", options.ticket);
    websocket::response_type response;
    auto [error] = co_await stream->async_handshake(response, address.host_header, target, kTuple);
    if (error == websocket::error::upgrade_declined) {
      co_return StatusOfAnswer(static_cast<int>(response.result_int()), response.body());
    }
    beast::get_lowest_layer(*stream).expires_never();
    co_return error ? client::TransportError(error, address) : absl::OkStatus();
  }

  Awaitable<absl::Status> Send(std::string_view data, bool is_text) {
    stream->text(is_text);
    Limit limit(*stream, options.timeout);
    auto [error, bytes] = co_await stream->async_write(asio::buffer(data), kTuple);
    const bool timed_out = limit.Passed();
    co_return error ? ErrorOf(error, timed_out) : absl::OkStatus();
  }

  Awaitable<absl::StatusOr<Message>> Receive(absl::Duration timeout) {
    beast::flat_buffer buffer;
    Limit limit(*stream, timeout);
    auto [error, bytes] = co_await stream->async_read(buffer, kTuple);
    const bool timed_out = limit.Passed();
    if (error) {
      co_return ErrorOf(error, timed_out);
    }
    co_return Message{.is_text = stream->got_text(), .data = beast::buffers_to_string(buffer.data())};
  }

  Awaitable<absl::Status> Close(uint16_t code) {
    Limit limit(*stream, kCloseTimeout);
    auto [error] = co_await stream->async_close(static_cast<websocket::close_code>(code), kTuple);
    const bool timed_out = limit.Passed();
    co_return error ? ErrorOf(error, timed_out) : absl::OkStatus();
  }
};

ClientWebSocket::ClientWebSocket(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClientWebSocket::~ClientWebSocket() = default;

absl::StatusOr<std::unique_ptr<ClientWebSocket>> ClientWebSocket::Connect(Options options) {
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(state->address, client::ParseBaseUrl(options.base_url));
  state->options = std::move(options);
  RETURN_IF_ERROR(client::RunHere(state->context, state->Connect()));
  return std::unique_ptr<ClientWebSocket>(new ClientWebSocket(std::move(state)));
}

absl::Status ClientWebSocket::Send(std::string_view data, bool is_text) {
  return client::RunHere(state_->context, state_->Send(data, is_text));
}

absl::StatusOr<ClientWebSocket::Message> ClientWebSocket::Receive(absl::Duration timeout) {
  return client::RunHere(state_->context, state_->Receive(timeout));
}

void ClientWebSocket::Close(uint16_t code) {
  // Whether the gateway says goodbye too changes nothing here.
  static_cast<void>(client::RunHere(state_->context, state_->Close(code)));
}

void ClientWebSocket::Cancel() {
  asio::post(state_->context, [state = state_.get()] { beast::get_lowest_layer(*state->stream).close(); });
}

uint16_t ClientWebSocket::close_code() const { return static_cast<uint16_t>(state_->stream->reason().code); }

}  // namespace bulkhead::gateway
