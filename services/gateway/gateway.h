// The edge of the platform: HTTP/JSON, server-sent events, WebSocket and the web console on one port. docs/http.md and docs/events.md are the reference.
#ifndef SERVICES_GATEWAY_GATEWAY_H_
#define SERVICES_GATEWAY_GATEWAY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/remote_key_source.h"
#include "services/common/rpc/revocation_feed.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Channel;
}

namespace bulkhead::gateway {

// Speaks to the services by their stubs alone, always with the token of whoever asks: the gateway itself may do nothing.
//
// Create, Start and Shutdown are for one thread, none of the executor's.
class Gateway {
 public:
  struct Options {
    std::string listen = "127.0.0.1:0";  // `address:port`; port 0 takes a free one.
    std::string issuer = "bulkhead";     // Of the platform's tokens, for the discovery documents.
    // Where browsers reach it: "https://bulkhead.example". Empty: the address that it listens on.
    std::string public_url;
    // Origins ("https://console.example.org") that WebSockets may come from, besides the gateway's own.
    std::vector<std::string> allowed_origins;
    uint64_t max_body_bytes = 1 << 20;              // Of a request, uploads excepted.
    uint64_t max_upload_bytes = uint64_t{4} << 30;  // Of a file.
    int max_connections = 2048;                     // Of all users; more wait to be accepted.
    int max_connections_per_user = 16;              // WebSockets and event streams.
    int max_subscriptions = 64;                     // Of a WebSocket.
    absl::Duration idle_timeout =
        absl::Seconds(60);  // A WebSocket from which nothing came for so long, pongs neither, is closed.
    absl::Duration heartbeat = absl::Seconds(20);  // How often an idle WebSocket is pinged.
  };
  // All pointers outlive the gateway.
  struct Dependencies {
    Executor* executor = nullptr;
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    const TokenVerifier* verifier = nullptr;
    rpc::RemoteKeySource* key_refresher =
        nullptr;  // Asked when a token names a key that the verifier does not know; may be null.
    rpc::RevocationFeed* revocations = nullptr;  // Null where nothing can be revoked.
    std::shared_ptr<grpc::Channel> auth;
    std::shared_ptr<grpc::Channel> agent;
    std::shared_ptr<grpc::Channel> tool;
    std::shared_ptr<grpc::Channel> notifier;
  };

  // INVALID_ARGUMENT `GATEWAY_OPTIONS_INVALID` (metadata `field`).
  static absl::StatusOr<std::unique_ptr<Gateway>> Create(Options options, Dependencies dependencies);
  ~Gateway();  // Shuts down.

  // Listens, and returns the port. UNAVAILABLE `ADDRESS_IN_USE`, INVALID_ARGUMENT `ADDRESS_INVALID`.
  absl::StatusOr<uint16_t> Start();

  // Stops accepting, tells WebSockets to go (1001), lets requests end for a few seconds, and cuts off what is left. Blocks; idempotent.
  void Shutdown();

 private:
  struct State;
  explicit Gateway(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_GATEWAY_H_
