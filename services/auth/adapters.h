// The gRPC services of auth, each in a file of its own: they validate, call the core and convert.
#ifndef SERVICES_AUTH_ADAPTERS_H_
#define SERVICES_AUTH_ADAPTERS_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/impl/service_type.h"
#include "services/auth/accounts.h"
#include "services/auth/audit_log.h"
#include "services/auth/key_store.h"
#include "services/auth/oidc/provider_sign_ins.h"
#include "services/auth/revocation_log.h"
#include "services/auth/roles.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_exchange.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/macros.h"
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

// Their base.
class Adapter : public rpc::Service {
 protected:
  // `name` as "UserService".
  Adapter(std::string_view name, const Edge& edge)
      : Service(absl::StrCat("bulkhead.auth.v1.", name), edge.calls), edge_(edge) {}

  // Unary for methods that need a token, with one more check: auth holds the sessions, so a revoked one is refused here
  // at once, not only when its access token has expired.
  template <typename Impl, typename Request, typename Response>
  void UnarySignedIn(std::string_view method,
                     Awaitable<absl::StatusOr<Response>> (Impl::*handler)(const rpc::CallContext&, const Request&)) {
    Unary<Request, Response>(
        method,
        [impl = static_cast<Impl*>(this), handler](const rpc::CallContext& call,
                                                   const Request& request) -> Awaitable<absl::StatusOr<Response>> {
          CO_RETURN_IF_ERROR(impl->edge_.sign_ins->RequireLive(*call.user));
          co_return co_await (impl->*handler)(call, request);
        });
  }

  const Edge edge_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_ADAPTERS_H_
