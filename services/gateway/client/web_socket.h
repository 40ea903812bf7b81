// A blocking WebSocket to a gateway, frame by frame: for GatewayClient::WatchRun, and for tests that look at the
// protocol itself.
#ifndef SERVICES_GATEWAY_CLIENT_WEB_SOCKET_H_
#define SERVICES_GATEWAY_CLIENT_WEB_SOCKET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/identity/token.h"

namespace bulkhead::gateway {

// Used by one thread at a time, except Cancel. Answers pings while it receives.
class ClientWebSocket {
 public:
  struct Options {
    std::string base_url;  // "http://127.0.0.1:8080"
    std::string target = "/v1/ws";
    std::string subprotocol = "bulkhead.v1.json";  // "" offers none.
    RawToken token;                                // Sent as a bearer token unless empty.
    std::string ticket;                            // Sent in the query unless empty.
    std::string origin;                            // Sent as a browser would, unless empty.
    std::string user_agent = "bulkhead";
    absl::Duration timeout = absl::Seconds(60);  // Of connecting, and of sending a frame.
  };
  struct Message {
    bool is_text = false;
    std::string data;
  };

  // A refused handshake is the error that the gateway answered with; else the errors of GatewayClient.
  static absl::StatusOr<std::unique_ptr<ClientWebSocket>> Connect(Options options);
  ~ClientWebSocket();

  absl::Status Send(std::string_view data, bool is_text);
  // Waits for a frame. UNAVAILABLE `SOCKET_CLOSED` (metadata `code`, `reason`) when the gateway has closed;
  // DEADLINE_EXCEEDED `GATEWAY_TIMED_OUT`, after which the socket is of no more use.
  absl::StatusOr<Message> Receive(absl::Duration timeout);
  // Closes with `code`, and waits shortly for the answer.
  void Close(uint16_t code);
  // From any thread: makes a Receive that waits, and every later one, fail.
  void Cancel();

  // The code that the gateway closed with; 0 while it has not, or when the connection just broke.
  uint16_t close_code() const;

 private:
  struct State;
  explicit ClientWebSocket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_CLIENT_WEB_SOCKET_H_
