// What happens on one WebSocket: subscriptions and commands of frame.proto.
#ifndef SERVICES_GATEWAY_WS_SESSION_H_
#define SERVICES_GATEWAY_WS_SESSION_H_

#include <memory>

#include "absl/time/time.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/time/clock.h"
#include "services/gateway/backend.h"
#include "services/gateway/frame_codec.h"
#include "services/gateway/socket_registry.h"
#include "services/gateway/web_socket.h"

namespace bulkhead::gateway {

struct WsLimits {
  int subscriptions = 64;
  int commands = 8;        // Under way at once; more wait to be read.
  int queued_frames = 64;  // On their way out; then the subscriptions wait.
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration heartbeat = absl::Seconds(20);
};

// All pointers outlive the session.
struct WsDependencies {
  Backend* backend = nullptr;
  Clock* clock = nullptr;
  rpc::RevocationSet* revocations = nullptr;  // Null where nothing can be revoked.
  IdGenerator* ids = nullptr;
};

// `call` is who opened it, and the token under which everything on it is done: when that expires, the socket is closed
// (4401).
std::unique_ptr<WebSocketHandler> NewWsSession(WsDependencies dependencies, WsLimits limits, FrameFormat format,
                                               rpc::CallContext call, std::unique_ptr<SocketRegistry::Entry> entry);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_WS_SESSION_H_
