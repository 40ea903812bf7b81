// What the gateway does with each request.
#ifndef SERVICES_GATEWAY_API_H_
#define SERVICES_GATEWAY_API_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/remote_key_source.h"
#include "services/common/rpc/revocation_feed.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"
#include "services/gateway/backend.h"
#include "services/gateway/http_message.h"
#include "services/gateway/http_server.h"
#include "services/gateway/oauth_endpoint.h"
#include "services/gateway/router.h"
#include "services/gateway/routes.h"
#include "services/gateway/socket_registry.h"
#include "services/gateway/ticket_store.h"
#include "services/gateway/transcoder.h"
#include "services/gateway/ws_session.h"

namespace bulkhead::tool::v1 {
class UploadFileResponse;
}

namespace bulkhead::gateway {

// Thread-safe.
class Api final : public HttpHandler {
 public:
  struct Options {
    std::string issuer;  // Of the platform's tokens.
    std::vector<std::string> allowed_origins;
    uint64_t max_body_bytes = 0;
    uint64_t max_upload_bytes = 0;
    int max_sockets_per_user = 0;
    WsLimits ws;
  };
  // All pointers outlive it.
  struct Dependencies {
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    const TokenVerifier* verifier = nullptr;
    rpc::RemoteKeySource* key_refresher = nullptr;
    rpc::RevocationFeed* revocations = nullptr;  // Null where nothing can be revoked.
    std::shared_ptr<Backend> backend;
  };

  // INTERNAL `ROUTE_INVALID`.
  static absl::StatusOr<std::shared_ptr<Api>> Create(Options options, Dependencies dependencies);

  Awaitable<void> Handle(HttpExchange& exchange) override;
  Awaitable<absl::StatusOr<std::unique_ptr<WebSocketHandler>>> Upgrade(const HttpRequest& request) override;

  // Where browsers reach the gateway: "https://bulkhead.example". Never taken from what a request says of itself.
  void SetBaseUrl(std::string url);
  std::string base_url() const;

 private:
  // A request with its route.
  struct Asked {
    HttpExchange& exchange;
    const Route& route;
    const RpcShape& shape;
    std::map<std::string, std::string> variables;  // Of the path, and "me".
    rpc::CallContext call;
  };

  Api(Options options, Dependencies dependencies, std::vector<RpcShape> shapes);

  // The context for calls on behalf of who sent `request`. UNAUTHENTICATED with a `TOKEN_...` reason.
  Awaitable<absl::StatusOr<rpc::CallContext>> Identify(const HttpRequest& request,
                                                       std::shared_ptr<const RawToken> token);
  rpc::CallContext AnonymousCall(const HttpRequest& request);

  // Each answers, or returns an error that is still to be answered.
  Awaitable<absl::Status> Dispatch(HttpExchange& exchange);
  Awaitable<absl::Status> ServeRpc(Asked asked);
  Awaitable<absl::Status> ServeInvokeTool(Asked asked);
  Awaitable<absl::Status> ServeUpload(Asked asked);
  // The body, piece by piece.
  Awaitable<absl::Status> SendUpload(const Asked& asked, const std::string& upload_id,
                                     tool::v1::UploadFileResponse* response);
  Awaitable<absl::Status> ServeDownload(Asked asked);
  Awaitable<absl::Status> ServeEventStream(Asked asked);
  Awaitable<absl::Status> ServeTicket(Asked asked);
  Awaitable<absl::Status> ServeReady(Asked asked);
  Awaitable<absl::Status> ServePage(HttpExchange& exchange);
  // The OAuth 2.0 endpoints and what leads to them.
  Awaitable<absl::Status> ServeOAuth(RouteKind kind, HttpExchange& exchange);
  Awaitable<absl::Status> ServeProviderStart(Asked asked);
  Awaitable<absl::Status> ServeProviderCallback(Asked asked);

  // The whole body, which must be JSON.
  Awaitable<absl::StatusOr<std::string>> ReadJson(HttpExchange& exchange);
  // Of a WebSocket or an event stream. RESOURCE_EXHAUSTED `TOO_MANY_CONNECTIONS`.
  absl::StatusOr<std::unique_ptr<SocketRegistry::Entry>> TakePlace(const std::string& user);
  absl::Status CheckOrigin(const HttpRequest& request, bool by_ticket) const;
  rpc::RevocationSet* revoked() const {
    return dependencies_.revocations == nullptr ? nullptr : &dependencies_.revocations->set();
  }

  const Options options_;
  const Dependencies dependencies_;
  const std::vector<RpcShape> shapes_;
  const Router router_;
  OAuthEndpoint oauth_;
  TicketStore tickets_;
  SocketRegistry sockets_;
  mutable absl::Mutex mutex_;
  std::string base_url_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_API_H_
