#include "services/gateway/http_server.h"

#include <chrono>
#include <exception>
#include <list>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "boost/asio/as_tuple.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/core.hpp"
#include "boost/beast/http.hpp"
#include "boost/beast/websocket.hpp"

namespace bulkhead::gateway {
namespace {

namespace asio = ::boost::asio;
namespace beast = ::boost::beast;
namespace http = ::boost::beast::http;
namespace websocket = ::boost::beast::websocket;
using Tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// Completes with (error code, result) instead of throwing.
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// What is read and thrown away of a body that nobody wanted, so that its sender gets to see the answer.
constexpr size_t kMaxLinger = 1 << 20;
constexpr absl::Duration kLingerTimeout = absl::Seconds(2);
constexpr absl::Duration kCloseTimeout = absl::Seconds(3);

absl::Status ClientGone(const ErrorCode& error) {
  return GatewayError(absl::StatusCode::kCancelled, "CLIENT_GONE",
                      absl::StrCat("the connection has ended: ", error.message()));
}

// Sent with every answer: none of them is to be sniffed, framed, or told of in a Referer.
void SetSecurityHeaders(http::fields& fields) {
  fields.set("X-Content-Type-Options", "nosniff");
  fields.set("Referrer-Policy", "no-referrer");
  fields.set("X-Frame-Options", "DENY");
  if (fields.find(http::field::cache_control) == fields.end()) {
    fields.set(http::field::cache_control, "no-store");
  }
}

void SetHead(const HttpResponse& from, http::fields& fields) {
  fields.set(http::field::server, "bulkhead");
  if (!from.content_type.empty()) {
    fields.set(http::field::content_type, from.content_type);
  }
  for (const auto& [name, value] : from.headers) {
    fields.set(name, value);
  }
  SetSecurityHeaders(fields);
}

using Parser = http::request_parser<http::buffer_body>;

absl::StatusOr<HttpRequest> ToRequest(const Parser& parser, std::string peer_address) {
  HttpRequest request;
  request.method = std::string(parser.get().method_string());
  request.peer_address = std::move(peer_address);
  for (const auto& field : parser.get()) {
    std::string& value = request.headers[absl::AsciiStrToLower(std::string_view(field.name_string()))];
    // Equal names make one list, RFC 9110 section 5.3.
    absl::StrAppend(&value, value.empty() ? "" : ", ", std::string_view(field.value()));
  }
  if (absl::Status parsed = ParseTarget(std::string_view(parser.get().target()), &request); !parsed.ok()) {
    return parsed;
  }
  return request;
}

// An open WebSocket on a connection that an upgrade has taken over.
class BeastWebSocket final : public WebSocket {
 public:
  BeastWebSocket(beast::tcp_stream stream, size_t max_message_bytes) : stream_(std::move(stream)) {
    websocket::stream_base::timeout timeout;
    timeout.handshake_timeout = absl::ToChronoSeconds(kCloseTimeout);
    timeout.idle_timeout = websocket::stream_base::none();  // The session's own, on its clock.
    timeout.keep_alive_pings = false;
    stream_.set_option(timeout);
    stream_.read_message_max(max_message_bytes);
    stream_.control_callback([this](websocket::frame_type, boost::beast::string_view) { ++heard_; });
  }

  Awaitable<absl::Status> Accept(const http::request<http::buffer_body>& request, std::string_view subprotocol) {
    stream_.set_option(websocket::stream_base::decorator([subprotocol](websocket::response_type& response) {
      response.set(http::field::sec_websocket_protocol, subprotocol);
      response.set(http::field::server, "bulkhead");
    }));
    auto [error] = co_await stream_.async_accept(request, kTuple);
    co_return error ? ClientGone(error) : absl::OkStatus();
  }

  Awaitable<absl::StatusOr<Message>> Read() override {
    beast::flat_buffer buffer;
    auto [error, bytes] = co_await stream_.async_read(buffer, kTuple);
    if (error) {
      co_return ClientGone(error);
    }
    ++heard_;
    co_return Message{.is_text = stream_.got_text(), .data = beast::buffers_to_string(buffer.data())};
  }

  Awaitable<absl::Status> Write(Message message) override {
    stream_.text(message.is_text);
    auto [error, bytes] = co_await stream_.async_write(asio::buffer(message.data), kTuple);
    co_return error ? ClientGone(error) : absl::OkStatus();
  }

  Awaitable<void> Ping() override { co_await stream_.async_ping({}, kTuple); }

  uint64_t heard() const override { return heard_; }

  Awaitable<void> Close(CloseCode code, std::string reason) override {
    // Waits for a message that is being written, which a client that does not read holds up: hence the limit.
    asio::steady_timer limit(co_await asio::this_coro::executor, absl::ToChronoSeconds(kCloseTimeout));
    limit.async_wait([this](const ErrorCode& error) {
      if (!error) {
        Abort();
      }
    });
    co_await stream_.async_close(
        websocket::close_reason(static_cast<websocket::close_code>(code), beast::string_view(reason)), kTuple);
    limit.cancel();
  }

  void Abort() override { beast::get_lowest_layer(stream_).close(); }

 private:
  websocket::stream<beast::tcp_stream> stream_;
  uint64_t heard_ = 0;
};

// One TCP connection. Everything runs on its strand, except where said otherwise.
class Connection final : public HttpExchange, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Tcp::socket socket, const HttpServer::Options& options, std::shared_ptr<HttpHandler> handler)
      : options_(options), handler_(std::move(handler)), stream_(std::move(socket)) {
    ErrorCode ignored;
    peer_address_ = stream_.socket().remote_endpoint(ignored).address().to_string();
    stream_.socket().set_option(Tcp::no_delay(true), ignored);
  }

  asio::any_io_executor strand() { return stream_.get_executor(); }

  Awaitable<void> Run() {
    while (!going_away_.stop_requested() && co_await ServeOne()) {
    }
    ErrorCode ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

  // Thread-safe: asks for an orderly end.
  void GoAway() {
    asio::post(strand(), [self = shared_from_this()] {
      self->going_away_.request_stop();
      if (self->idle_) {
        self->stream_.close();
      }
    });
  }

  // Thread-safe: the end.
  void CutOff() {
    asio::post(strand(), [self = shared_from_this()] {
      self->going_away_.request_stop();
      self->Cut();
    });
  }

  const HttpRequest& request() const override { return request_; }
  std::stop_token stop() const override { return stop_.get_token(); }
  std::stop_token going_away() const override { return going_away_.get_token(); }

  Awaitable<absl::StatusOr<std::string>> ReadBody(size_t max_bytes, uint64_t limit) override {
    const auto too_large = [limit] {
      return GatewayError(absl::StatusCode::kInvalidArgument, "BODY_TOO_LARGE",
                          absl::StrCat("the body may have at most ", limit, " bytes"),
                          {{"limit", absl::StrCat(limit)}});
    };
    if (parser_->content_length().has_value() && *parser_->content_length() > limit) {
      co_return too_large();
    }
    if (absl::EqualsIgnoreCase(request_.header("expect"), "100-continue") && !continued_ && !parser_->is_done()) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      stream_.expires_after(absl::ToChronoSeconds(options_.transfer_timeout));
      co_await asio::async_write(stream_, asio::buffer(kContinue), kTuple);
    }
    continued_ = true;
    std::string piece(max_bytes, '\0');
    size_t filled = 0;
    while (filled < max_bytes && !parser_->is_done()) {
      parser_->get().body().data = piece.data() + filled;
      parser_->get().body().size = max_bytes - filled;
      stream_.expires_after(absl::ToChronoSeconds(options_.transfer_timeout));
      auto [error, bytes] = co_await http::async_read(stream_, buffer_, *parser_, kTuple);
      filled = max_bytes - parser_->get().body().size;
      if (error && error != http::error::need_buffer) {
        broken_ = true;
        co_return ClientGone(error);
      }
    }
    // A chunked body does not say before how large it is.
    body_bytes_ += filled;
    if (body_bytes_ > limit) {
      co_return too_large();
    }
    piece.resize(filled);
    co_return piece;
  }

  Awaitable<void> Respond(HttpResponse response) override {
    // What is left of the body would be taken for the next request.
    const bool unread = !parser_->is_done();
    http::response<http::string_body> message(static_cast<http::status>(response.status), version());
    SetHead(response, message);
    message.body() = std::move(response.body);
    message.prepare_payload();
    if (request_.method == "HEAD") {
      message.body().clear();
    }
    keep_alive_ = keep_alive_ && !unread && !going_away_.stop_requested();
    message.keep_alive(keep_alive_);
    answered_ = true;
    stream_.expires_after(absl::ToChronoSeconds(options_.transfer_timeout));
    auto [error, bytes] = co_await http::async_write(stream_, message, kTuple);
    broken_ = broken_ || error;
    if (unread && !broken_) {
      co_await Linger();
    }
  }

  Awaitable<absl::Status> BeginStream(HttpResponse head) override {
    http::response<http::empty_body> message(static_cast<http::status>(head.status), version());
    SetHead(head, message);
    chunked_ = version() >= 11;
    message.chunked(chunked_);
    keep_alive_ = false;
    message.keep_alive(false);
    answered_ = true;
    http::response_serializer<http::empty_body> serializer(message);
    stream_.expires_never();  // Replaced by the watchdog: a read is pending all the while.
    co_await Watched(http::async_write_header(stream_, serializer, kTuple));
    if (!broken_) {
      asio::co_spawn(strand(), WatchForEnd(shared_from_this()), Rethrow);
    }
    co_return broken_ ? ClientGone(asio::error::eof) : absl::OkStatus();
  }

  Awaitable<absl::Status> WriteStream(std::string piece) override {
    if (!piece.empty() && !broken_) {
      if (chunked_) {
        co_await Watched(asio::async_write(stream_, http::make_chunk(asio::buffer(piece)), kTuple));
      } else {
        co_await Watched(asio::async_write(stream_, asio::buffer(piece), kTuple));
      }
    }
    co_return broken_ || stop_.stop_requested() ? ClientGone(asio::error::eof) : absl::OkStatus();
  }

  Awaitable<void> EndStream() override {
    if (chunked_ && !broken_) {
      co_await Watched(asio::async_write(stream_, http::make_chunk_last(), kTuple));
    }
  }

 private:
  static void Rethrow(std::exception_ptr exception) {
    if (exception != nullptr) {
      std::rethrow_exception(exception);
    }
  }

  unsigned version() const { return parser_->get().version(); }

  // Serves one request; whether the connection can have another.
  Awaitable<bool> ServeOne() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(options_.max_header_bytes));
    parser_->body_limit(boost::none);  // Known when the route is, and counted by ReadBody.
    body_bytes_ = 0;
    request_ = HttpRequest();
    continued_ = answered_ = false;
    idle_ = true;
    stream_.expires_after(absl::ToChronoSeconds(options_.read_timeout));
    auto [error, bytes] = co_await http::async_read_header(stream_, buffer_, *parser_, kTuple);
    idle_ = false;
    keep_alive_ = !error && parser_->get().keep_alive();
    if (error) {
      co_await AnswerUnreadable(error);
      co_return false;
    }
    absl::StatusOr<HttpRequest> request = ToRequest(*parser_, peer_address_);
    if (!request.ok()) {
      co_await Respond(ErrorResponse(request.status()));
      co_return keep_alive_ && !broken_;
    }
    request_ = *std::move(request);
    if (websocket::is_upgrade(parser_->get())) {
      co_await ServeWebSocket();
      co_return false;
    }
    co_await handler_->Handle(*this);
    co_return answered_ && keep_alive_ && !broken_;
  }

  Awaitable<void> AnswerUnreadable(const ErrorCode& error) {
    // Silence, and connections that end between requests, are nobody's fault.
    if (error == http::error::end_of_stream || error == beast::error::timeout ||
        error.category() != make_error_code(http::error::bad_version).category() ||
        error == http::error::partial_message) {
      co_return;
    }
    co_await Respond(ErrorResponse(
        error == http::error::header_limit
            ? GatewayError(absl::StatusCode::kInvalidArgument, "HEADER_TOO_LARGE",
                           absl::StrCat("the request's head may have at most ", options_.max_header_bytes, " bytes"))
            : GatewayError(absl::StatusCode::kInvalidArgument, "REQUEST_MALFORMED",
                           absl::StrCat("this is no HTTP/1.1 request: ", error.message()))));
  }

  Awaitable<void> ServeWebSocket() {
    absl::StatusOr<std::unique_ptr<WebSocketHandler>> handler = co_await handler_->Upgrade(request_);
    if (!handler.ok()) {
      keep_alive_ = false;
      co_await Respond(ErrorResponse(handler.status()));
      co_return;
    }
    stream_.expires_never();
    BeastWebSocket socket(std::move(stream_), options_.max_frame_bytes);
    socket_ = &socket;
    if ((co_await socket.Accept(parser_->get(), (*handler)->subprotocol())).ok()) {
      co_await (*handler)->Run(socket, going_away_.get_token());
    }
    socket.Abort();
    socket_ = nullptr;
  }

  // Reads on while an answer is streamed, to see the client go. A client has nothing to send then.
  static Awaitable<void> WatchForEnd(std::shared_ptr<Connection> self) {
    char byte;
    co_await self->stream_.async_read_some(asio::buffer(&byte, 1), kTuple);
    self->Cut();
  }

  // Does one write; when it takes too long the connection is cut.
  template <typename Write>
  Awaitable<void> Watched(Write write) {
    asio::steady_timer limit(strand(), absl::ToChronoSeconds(options_.transfer_timeout));
    limit.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (!error) {
        self->Cut();
      }
    });
    auto [error, bytes] = co_await std::move(write);
    limit.cancel();
    broken_ = broken_ || error;
  }

  // Lets the client read the answer before the connection is reset because of what it went on sending.
  Awaitable<void> Linger() {
    ErrorCode ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
    std::string scratch(16 * 1024, '\0');
    stream_.expires_after(absl::ToChronoSeconds(kLingerTimeout));
    for (size_t total = 0; total < kMaxLinger;) {
      auto [error, bytes] = co_await stream_.async_read_some(asio::buffer(scratch), kTuple);
      if (error) {
        break;
      }
      total += bytes;
    }
  }

  void Cut() {
    broken_ = true;
    stop_.request_stop();
    if (socket_ != nullptr) {
      socket_->Abort();
    } else {
      stream_.close();
    }
  }

  const HttpServer::Options options_;
  const std::shared_ptr<HttpHandler> handler_;
  beast::tcp_stream stream_;
  std::string peer_address_;
  beast::flat_buffer buffer_;
  std::stop_source stop_;
  std::stop_source going_away_;
  BeastWebSocket* socket_ = nullptr;  // While it is one.
  bool idle_ = false;
  bool broken_ = false;

  // Of the request under way.
  std::optional<Parser> parser_;
  HttpRequest request_;
  uint64_t body_bytes_ = 0;  // Read until now.
  bool continued_ = false;
  bool answered_ = false;
  bool keep_alive_ = false;
  bool chunked_ = false;
};

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(Options o, Executor* e, std::shared_ptr<HttpHandler> h)
      : options(std::move(o)),
        executor(e),
        handler(std::move(h)),
        acceptor(asio::make_strand(e->get())),
        pause(acceptor.get_executor()) {}

  Awaitable<void> Accept() {
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(asio::make_strand(executor->get()), kTuple);
      if (error == asio::error::operation_aborted || !acceptor.is_open()) {
        break;
      }
      if (error) {
        // Out of descriptors, mostly: what is open must end first.
        ABSL_LOG(ERROR) << "Accepting a connection failed: " << error.message();
        pause.expires_after(std::chrono::milliseconds(100));
        co_await pause.async_wait(kTuple);
        continue;
      }
      executor->Spawn(Serve(shared_from_this(), std::make_shared<Connection>(std::move(socket), options, handler)));
      while (acceptor.is_open() && Full()) {
        pause.expires_after(std::chrono::milliseconds(20));
        co_await pause.async_wait(kTuple);
      }
    }
  }

  static Awaitable<void> Serve(std::shared_ptr<State> state, std::shared_ptr<Connection> connection) {
    std::list<std::shared_ptr<Connection>>::iterator mine;
    bool closing = false;
    {
      absl::MutexLock lock(state->mutex);
      mine = state->connections.insert(state->connections.end(), connection);
      closing = state->closing;
    }
    if (closing) {
      connection->GoAway();
    }
    co_await asio::co_spawn(connection->strand(), connection->Run(), asio::use_awaitable);
    absl::MutexLock lock(state->mutex);
    state->connections.erase(mine);
  }

  bool Full() {
    absl::MutexLock lock(mutex);
    return connections.size() >= static_cast<size_t>(options.max_connections);
  }

  // Calls `function` for each connection that is open now.
  template <typename F>
  void ForEach(F function) {
    std::list<std::shared_ptr<Connection>> open;
    {
      absl::MutexLock lock(mutex);
      open = connections;
    }
    for (const std::shared_ptr<Connection>& connection : open) {
      function(*connection);
    }
  }

  // Whether all ended in time.
  bool AwaitEnd(absl::Duration limit) {
    absl::MutexLock lock(mutex);
    auto ended = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return connections.empty() && !accepting; };
    return mutex.AwaitWithTimeout(absl::Condition(&ended), limit);
  }

  const Options options;
  Executor* const executor;
  const std::shared_ptr<HttpHandler> handler;
  Tcp::acceptor acceptor;  // Of its strand, once it listens.
  asio::steady_timer pause;

  absl::Mutex mutex;
  bool closing ABSL_GUARDED_BY(mutex) = false;
  bool accepting ABSL_GUARDED_BY(mutex) = false;
  std::list<std::shared_ptr<Connection>> connections ABSL_GUARDED_BY(mutex);
};

HttpServer::HttpServer(Options options, Executor* executor, std::shared_ptr<HttpHandler> handler)
    : state_(std::make_shared<State>(std::move(options), executor, std::move(handler))) {}

HttpServer::~HttpServer() { Shutdown(); }

absl::StatusOr<uint16_t> HttpServer::Start() {
  const Options& options = state_->options;
  ErrorCode error;
  const asio::ip::address address = asio::ip::make_address(options.address, error);
  if (error) {
    return GatewayError(absl::StatusCode::kInvalidArgument, "ADDRESS_INVALID",
                        absl::StrCat("'", options.address, "' is no IP address: ", error.message()));
  }
  const Tcp::endpoint endpoint(address, options.port);
  Tcp::acceptor& acceptor = state_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) {
    acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  }
  if (!error) {
    acceptor.bind(endpoint, error);
  }
  if (!error) {
    acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    ErrorCode ignored;
    acceptor.close(ignored);
    return GatewayError(absl::StatusCode::kUnavailable, "ADDRESS_IN_USE",
                        absl::StrCat("cannot listen on ", options.address, ":", options.port, ": ", error.message()),
                        {{"address", absl::StrCat(options.address, ":", options.port)}});
  }
  const uint16_t port = acceptor.local_endpoint().port();
  {
    absl::MutexLock lock(state_->mutex);
    state_->accepting = true;
  }
  state_->executor->Spawn([](std::shared_ptr<State> state) -> Awaitable<void> {
    co_await asio::co_spawn(state->acceptor.get_executor(), state->Accept(), asio::use_awaitable);
    absl::MutexLock lock(state->mutex);
    state->accepting = false;
  }(state_));
  return port;
}

void HttpServer::Shutdown() {
  {
    absl::MutexLock lock(state_->mutex);
    state_->closing = true;
  }
  asio::post(state_->acceptor.get_executor(), [state = state_] {
    ErrorCode ignored;
    state->acceptor.close(ignored);
    state->pause.cancel();
  });
  state_->ForEach([](Connection& connection) { connection.GoAway(); });
  if (state_->AwaitEnd(state_->options.shutdown_grace)) {
    return;
  }
  state_->ForEach([](Connection& connection) { connection.CutOff(); });
  if (!state_->AwaitEnd(kCloseTimeout)) {
    ABSL_LOG(ERROR) << "Connections of the gateway did not end";
  }
}

}  // namespace bulkhead::gateway
