// Notices that sessions end, wherever that was asked for, and closes their WebSockets.
#ifndef SERVICES_GATEWAY_SESSION_WATCHER_H_
#define SERVICES_GATEWAY_SESSION_WATCHER_H_

#include <memory>
#include <stop_token>

#include "absl/time/time.h"
#include "services/common/rpc/service_token_source.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"
#include "services/gateway/backend.h"
#include "services/gateway/socket_registry.h"

namespace bulkhead::gateway {

// Access tokens are verified without asking anybody, so that a revoked session's would be good for minutes. A socket is
// open for minutes: the tokens of those that are open are introspected all the time, one call a session. While auth is
// away sockets stay open.
class SessionWatcher {
 public:
  // A revocation shows within one second.
  static constexpr absl::Duration kInterval = absl::Milliseconds(500);

  // All of them outlive it.
  SessionWatcher(Backend* backend, rpc::ServiceTokenSource* identity, Clock* clock, SocketRegistry* sockets)
      : backend_(backend), identity_(identity), clock_(clock), sockets_(sockets) {}

  // Until `stop` is requested.
  Awaitable<void> Run(std::stop_token stop);

 private:
  Awaitable<void> CheckAll(std::stop_token stop);

  Backend* const backend_;
  rpc::ServiceTokenSource* const identity_;
  Clock* const clock_;
  SocketRegistry* const sockets_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_SESSION_WATCHER_H_
