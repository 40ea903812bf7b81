// The platform's own OAuth 2.0 endpoints: tokens (RFC 6749, RFC 8693), revocation (RFC 7009), introspection (RFC 7662).
#ifndef SERVICES_GATEWAY_OAUTH_ENDPOINT_H_
#define SERVICES_GATEWAY_OAUTH_ENDPOINT_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "services/common/identity/token.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/gateway/backend.h"
#include "services/gateway/http_message.h"
#include "services/gateway/oauth_request.h"

namespace bulkhead::gateway {

// Decides nothing: each request becomes calls of the auth service under the token of whoever asks. Thread-safe.
class OAuthEndpoint {
 public:
  OAuthEndpoint(uint64_t max_body_bytes, std::shared_ptr<Backend> backend)
      : max_body_bytes_(max_body_bytes), backend_(std::move(backend)) {}

  // `call` has no token; refusals are answers, as OAuth writes them.
  Awaitable<HttpResponse> ServeToken(HttpExchange& exchange, rpc::CallContext call);
  Awaitable<HttpResponse> ServeRevoke(HttpExchange& exchange, rpc::CallContext call);
  Awaitable<HttpResponse> ServeIntrospect(HttpExchange& exchange, rpc::CallContext call);

 private:
  Awaitable<absl::StatusOr<OAuthRequest>> Read(HttpExchange& exchange);

  // By grant.
  Awaitable<HttpResponse> Refresh(const rpc::CallContext& call, const OAuthRequest& request);
  Awaitable<HttpResponse> IssueToClient(const rpc::CallContext& call, const OAuthRequest& request);
  Awaitable<HttpResponse> Exchange(const rpc::CallContext& call, const OAuthRequest& request);

  // A token of the client's own. UNAUTHENTICATED `SERVICE_CREDENTIALS_INVALID`.
  struct ClientToken {
    std::shared_ptr<const RawToken> token;
    int64_t expires_in = 0;  // Seconds.
  };
  Awaitable<absl::StatusOr<ClientToken>> Authenticate(const rpc::CallContext& call, const ClientCredentials& client);

  const uint64_t max_body_bytes_;
  const std::shared_ptr<Backend> backend_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_OAUTH_ENDPOINT_H_
