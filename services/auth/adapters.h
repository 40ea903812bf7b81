// The gRPC services of auth, each in a file of its own: they validate, call the core and convert.
#ifndef SERVICES_AUTH_ADAPTERS_H_
#define SERVICES_AUTH_ADAPTERS_H_

#include <memory>

#include "grpcpp/impl/service_type.h"
#include "services/auth/accounts.h"
#include "services/auth/audit_log.h"
#include "services/auth/key_store.h"
#include "services/auth/oidc/provider_sign_ins.h"
#include "services/auth/revocation_log.h"
#include "services/auth/roles.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_exchange.h"
#include "services/common/rpc/server.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// What every adapter has; all of it outlives the adapters.
struct Edge {
  rpc::ServerDependencies calls;
  SignIns* sign_ins = nullptr;
  oidc::ProviderSignIns* providers = nullptr;
};

std::unique_ptr<grpc::Service> NewUserService(Edge edge, Accounts* accounts);
std::unique_ptr<grpc::Service> NewSessionService(Edge edge, TokenExchange* exchange);
std::unique_ptr<grpc::Service> NewTokenService(Edge edge, TokenExchange* exchange, KeyStore* keys);
std::unique_ptr<grpc::Service> NewRoleService(Edge edge, Roles* roles);
std::unique_ptr<grpc::Service> NewRevocationService(Edge edge, RevocationLog* log, Clock* real_clock);
std::unique_ptr<grpc::Service> NewAuditService(Edge edge, AuditLog* audit, BlockingPool* pool);

// rpc::ServeUnary for methods that need a token, with one more check: auth holds the sessions, so a
// revoked one is refused here at once, not only when its access token has expired.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* ServeSignedIn(const Edge& edge, std::string_view method, grpc::CallbackServerContext* context,
                                        const Request* request, Response* response, Handler handler) {
  return rpc::ServeUnary(
      edge.calls, method, context, request, response,
      [sign_ins = edge.sign_ins, handler = std::move(handler)](
          const rpc::CallContext& call, const Request& request) mutable -> Awaitable<absl::StatusOr<Response>> {
        absl::Status live = sign_ins->RequireLive(*call.user);
        if (!live.ok()) {
          co_return live;
        }
        co_return co_await handler(call, request);
      });
}

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_ADAPTERS_H_
