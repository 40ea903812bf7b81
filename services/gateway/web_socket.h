// An open WebSocket as its session sees it: no transport.
#ifndef SERVICES_GATEWAY_WEB_SOCKET_H_
#define SERVICES_GATEWAY_WEB_SOCKET_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::gateway {

// Why a socket was closed: RFC 6455 section 7.4, and ours from 4400 on. docs/events.md is the reference.
enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 4400,
  kUnauthenticated = 4401,
  kIdle = 4408,
  kTooSlow = 4409,
};

// All of it is called on the strand of its connection. One Read, one Write, one Ping and one Close may be under way at
// once.
class WebSocket {
 public:
  struct Message {
    bool is_text = false;
    std::string data;
  };

  virtual ~WebSocket() = default;
  // The next message. CANCELLED `CLIENT_GONE` when the socket has been closed, by whomever.
  virtual Awaitable<absl::StatusOr<Message>> Read() = 0;
  virtual Awaitable<absl::Status> Write(Message message) = 0;
  virtual Awaitable<void> Ping() = 0;
  // Messages, pings and pongs that came from the client until now.
  virtual uint64_t heard() const = 0;
  // Says goodbye, and waits a few seconds for the answer.
  virtual Awaitable<void> Close(CloseCode code, std::string reason) = 0;
  // Cuts the connection.
  virtual void Abort() = 0;
};

// What happens on one WebSocket.
class WebSocketHandler {
 public:
  virtual ~WebSocketHandler() = default;
  // Among what the client offered.
  virtual std::string_view subprotocol() const = 0;
  // Returns when the socket is closed. `going_away` is requested when the server wants to end.
  virtual Awaitable<void> Run(WebSocket& socket, std::stop_token going_away) = 0;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_WEB_SOCKET_H_
