// HTTP/1.1 and WebSocket over TCP: accepts, reads requests, and hands them on.
#ifndef SERVICES_GATEWAY_HTTP_SERVER_H_
#define SERVICES_GATEWAY_HTTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/gateway/http_message.h"
#include "services/gateway/web_socket.h"

namespace bulkhead::gateway {

// Thread-safe: connections call it at once.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Answers one request, with Respond or with the streaming methods.
  virtual Awaitable<void> Handle(HttpExchange& exchange) = 0;
  // Decides about a request to become a WebSocket; an error is answered over HTTP.
  virtual Awaitable<absl::StatusOr<std::unique_ptr<WebSocketHandler>>> Upgrade(const HttpRequest& request) = 0;
};

// Start and Shutdown are for one thread, none of the executor's.
class HttpServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;  // 0 takes a free one.
    int max_connections = 2048;
    size_t max_header_bytes = 16 * 1024;
    size_t max_frame_bytes = 1 << 20;  // A WebSocket message.
    // Real time: how long the network may be silent when it is its turn. Between requests, and for the head of one.
    absl::Duration read_timeout = absl::Seconds(60);
    // For each piece of a body and of an answer.
    absl::Duration transfer_timeout = absl::Seconds(60);
    // For requests that are under way at Shutdown.
    absl::Duration shutdown_grace = absl::Seconds(3);
  };

  // `executor` outlives the server.
  HttpServer(Options options, Executor* executor, std::shared_ptr<HttpHandler> handler);
  ~HttpServer();  // Shuts down.

  // Listens; returns the port. UNAVAILABLE `ADDRESS_IN_USE`, INVALID_ARGUMENT `ADDRESS_INVALID`.
  absl::StatusOr<uint16_t> Start();
  // Stops accepting, asks sockets and streams to end, gives requests the grace, cuts off the rest, and waits for all of
  // it. Idempotent.
  void Shutdown();

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_HTTP_SERVER_H_
