#include "services/gateway/http_server.h"

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/read.hpp"
#include "boost/asio/write.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/identity/token.h"
#include "services/common/runtime/channel.h"
#include "services/common/runtime/executor.h"
#include "services/gateway/client/gateway_client.h"
#include "services/gateway/client/web_socket.h"
#include "services/gateway/http_message.h"
#include "services/gateway/web_socket.h"
#include "testing/base/matchers.h"

namespace bulkhead::gateway {
namespace {

using ::bulkhead::testing::HasReason;
namespace asio = ::boost::asio;
using ::testing::HasSubstr;

constexpr uint64_t kBodyLimit = 1000;

// Sends back what comes; "bye" makes it close. Takes no notice of a server that goes.
class EchoSocket final : public WebSocketHandler {
 public:
  std::string_view subprotocol() const override { return "echo"; }
  Awaitable<void> Run(WebSocket& socket, std::stop_token) override {
    while (true) {
      absl::StatusOr<WebSocket::Message> message = co_await socket.Read();
      if (!message.ok()) {
        co_return;
      }
      if (message->data == "bye") {
        co_await socket.Close(CloseCode::kIdle, "as asked");
        co_return;
      }
      if (!(co_await socket.Write(*std::move(message))).ok()) {
        co_return;
      }
    }
  }
};

// /echo answers with the body, /early without reading it, /stream in pieces, /break without an end, /wait when the
// server goes.
class TestHandler final : public HttpHandler {
 public:
  Awaitable<void> Handle(HttpExchange& exchange) override {
    const std::string& path = exchange.request().path;
    if (path == "/echo") {
      co_await Echo(exchange);
    } else if (path == "/early") {
      co_await exchange.Respond({.body = "early"});
    } else if (path == "/wait") {
      Channel<bool> gone(1);
      std::stop_callback on_going_away(exchange.going_away(), [&] { gone.Close(); });
      waiting.Notify();
      co_await gone.Receive();
      co_await exchange.Respond({.body = "gone"});
    } else {
      static_cast<void>(co_await exchange.BeginStream({.content_type = "text/plain"}));
      static_cast<void>(co_await exchange.WriteStream("one,"));
      static_cast<void>(co_await exchange.WriteStream("two"));
      if (path == "/stream") {
        co_await exchange.EndStream();
      }
    }
  }

  Awaitable<absl::StatusOr<std::unique_ptr<WebSocketHandler>>> Upgrade(const HttpRequest& request) override {
    if (request.path != "/v1/ws") {
      co_return GatewayError(absl::StatusCode::kPermissionDenied, "ORIGIN_REFUSED", "not here");
    }
    co_return std::make_unique<EchoSocket>();
  }

  absl::Notification waiting;

 private:
  static Awaitable<void> Echo(HttpExchange& exchange) {
    std::string body;
    while (true) {
      absl::StatusOr<std::string> piece = co_await exchange.ReadBody(64, kBodyLimit);
      if (!piece.ok()) {
        co_await exchange.Respond(ErrorResponse(piece.status()));
        co_return;
      }
      if (piece->empty()) {
        break;
      }
      body += *piece;
    }
    co_await exchange.Respond({.content_type = "text/plain", .body = body});
  }
};

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(port_, server_.Start());
    url_ = absl::StrCat("http://127.0.0.1:", port_);
    ASSERT_OK_AND_ASSIGN(client_, GatewayClient::Create({.base_url = url_}));
  }
  ~HttpServerTest() override {
    server_.Shutdown();
    EXPECT_OK(executor_->Drain(absl::Seconds(10)));
  }

  absl::StatusOr<RawResponse> Get(std::string path) { return client_->Send({.path = std::move(path)}, RawToken()); }
  absl::StatusOr<RawResponse> Post(std::string path, std::string body) {
    return client_->Send({.method = "POST", .path = std::move(path), .body = std::move(body)}, RawToken());
  }
  // Sends these bytes; all that comes back until the server closes.
  std::string SendRaw(const std::string& bytes) {
    asio::io_context context;
    asio::ip::tcp::socket socket(context);
    socket.connect({asio::ip::address_v4::loopback(), port_});
    asio::write(socket, asio::buffer(bytes));
    std::string answer;
    boost::system::error_code end;
    asio::read(socket, asio::dynamic_buffer(answer), end);
    return answer;
  }
  absl::StatusOr<std::unique_ptr<ClientWebSocket>> OpenSocket(std::string target = "/v1/ws") {
    return ClientWebSocket::Connect({.base_url = url_, .target = std::move(target), .subprotocol = "echo"});
  }

  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test"});
  std::shared_ptr<TestHandler> handler_ = std::make_shared<TestHandler>();
  HttpServer server_{{.max_header_bytes = 4096, .max_frame_bytes = 1000, .shutdown_grace = absl::Milliseconds(200)},
                     executor_.get(),
                     handler_};
  uint16_t port_ = 0;
  std::string url_;
  std::unique_ptr<GatewayClient> client_;
};

TEST_F(HttpServerTest, BodyComesInPiecesAndGoesBackWhole) {
  const std::string body(kBodyLimit, 'x');
  ASSERT_OK_AND_ASSIGN(RawResponse answer, Post("/echo", body));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, body);
  EXPECT_EQ(answer.headers["x-content-type-options"], "nosniff");
}

TEST_F(HttpServerTest, TooLargeABodyIsRefused) {
  ASSERT_OK_AND_ASSIGN(RawResponse answer, Post("/echo", std::string(2 << 20, 'x')));
  EXPECT_EQ(answer.status, 413);
  EXPECT_THAT(answer.body, HasSubstr("BODY_TOO_LARGE"));
}

TEST_F(HttpServerTest, TooLargeABodyIsRefusedThatDoesNotSayItsSize) {
  const std::string chunk = absl::StrCat("80\r\n", std::string(0x80, 'x'), "\r\n");
  const auto post = [&](int chunks) {
    std::string request = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < chunks; ++i) {
      request += chunk;
    }
    return SendRaw(request + "0\r\n\r\n");
  };
  EXPECT_THAT(post(7), HasSubstr("200 OK"));
  const std::string refused = post(8);
  EXPECT_THAT(refused, HasSubstr("413"));
  EXPECT_THAT(refused, HasSubstr("BODY_TOO_LARGE"));
}

TEST_F(HttpServerTest, AnswerBeforeTheBodyIsReadArrives) {
  ASSERT_OK_AND_ASSIGN(RawResponse answer, Post("/early", std::string(500000, 'x')));
  EXPECT_EQ(answer.body, "early");
}

TEST_F(HttpServerTest, TooLargeAHeadIsRefused) {
  ASSERT_OK_AND_ASSIGN(RawResponse answer,
                       client_->Send({.path = "/echo", .headers = {{"X-Long", std::string(8000, 'x')}}}, RawToken()));
  EXPECT_EQ(answer.status, 431);
}

TEST_F(HttpServerTest, MalformedRequestIsToldSo) {
  ASSERT_OK_AND_ASSIGN(RawResponse line, client_->Send({.method = "GE T", .path = "/"}, RawToken()));
  EXPECT_EQ(line.status, 400);
  EXPECT_THAT(line.body, HasSubstr("REQUEST_MALFORMED"));
  ASSERT_OK_AND_ASSIGN(RawResponse target, Get("/echo?a=%zz"));
  EXPECT_EQ(target.status, 400);
  EXPECT_THAT(target.body, HasSubstr("TARGET_INVALID"));
}

TEST_F(HttpServerTest, StreamedAnswerHasAnEndOrIsSeenToHaveNone) {
  ASSERT_OK_AND_ASSIGN(RawResponse whole, Get("/stream"));
  EXPECT_EQ(whole.body, "one,two");
  EXPECT_THAT(Get("/break"), HasReason(absl::StatusCode::kUnavailable, "GATEWAY_UNREACHABLE"));
}

TEST_F(HttpServerTest, SocketEchoesAndClosesWithACode) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<ClientWebSocket> socket, OpenSocket());
  ASSERT_OK(socket->Send("hello", /*is_text=*/true));
  ASSERT_OK_AND_ASSIGN(ClientWebSocket::Message text, socket->Receive(absl::Seconds(30)));
  EXPECT_TRUE(text.is_text);
  EXPECT_EQ(text.data, "hello");
  ASSERT_OK(socket->Send("\x01\x02", /*is_text=*/false));
  ASSERT_OK_AND_ASSIGN(ClientWebSocket::Message binary, socket->Receive(absl::Seconds(30)));
  EXPECT_FALSE(binary.is_text);

  ASSERT_OK(socket->Send("bye", /*is_text=*/true));
  EXPECT_THAT(socket->Receive(absl::Seconds(30)), HasReason(absl::StatusCode::kUnavailable, "SOCKET_CLOSED"));
  EXPECT_EQ(socket->close_code(), 4408);
}

TEST_F(HttpServerTest, TooLargeAMessageClosesTheSocket) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<ClientWebSocket> socket, OpenSocket());
  ASSERT_OK(socket->Send(std::string(2000, 'x'), /*is_text=*/true));
  EXPECT_THAT(socket->Receive(absl::Seconds(30)), HasReason("SOCKET_CLOSED"));
  EXPECT_EQ(socket->close_code(), 1009);
}

TEST_F(HttpServerTest, RefusedUpgradeSaysWhy) {
  EXPECT_THAT(OpenSocket("/elsewhere"), HasReason(absl::StatusCode::kPermissionDenied, "ORIGIN_REFUSED"));
}

TEST_F(HttpServerTest, ShutdownEndsWhatWaitsAndRefusesWhatComes) {
  absl::StatusOr<RawResponse> answer;
  std::thread waiting([&] { answer = Get("/wait"); });
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<ClientWebSocket> socket, OpenSocket());
  handler_->waiting.WaitForNotification();
  server_.Shutdown();
  waiting.join();
  ASSERT_OK(answer);
  EXPECT_EQ(answer->body, "gone");
  EXPECT_FALSE(socket->Receive(absl::Seconds(30)).ok());
  EXPECT_THAT(Get("/echo"), HasReason(absl::StatusCode::kUnavailable, "GATEWAY_UNREACHABLE"));
}

}  // namespace
}  // namespace bulkhead::gateway
