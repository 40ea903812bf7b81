#include "services/gateway/session_watcher.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/status/statusor.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::gateway {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(5);

}  // namespace

Awaitable<void> SessionWatcher::Run(std::stop_token stop) {
  while ((co_await SleepUntil(clock_, clock_->Now() + kInterval, stop)).ok()) {
    co_await CheckAll(stop);
  }
}

Awaitable<void> SessionWatcher::CheckAll(std::stop_token stop) {
  for (const SocketRegistry::Session& session : sockets_->Sessions()) {
    absl::StatusOr<rpc::CallContext> call = co_await identity_->ServiceContext(stop);
    if (!call.ok()) {
      ABSL_LOG_EVERY_N_SEC(WARNING, 60) << "Sessions of open sockets cannot be checked: " << call.status();
      co_return;
    }
    auth::v1::IntrospectTokenRequest request;
    request.set_token(std::string(session.token->Reveal()));
    auth::v1::IntrospectTokenResponse response;
    const absl::Status status = co_await backend_->Call(
        *std::move(call), "bulkhead.auth.v1.TokenService/IntrospectToken", kCallTimeout, request, &response);
    if (status.ok() && !response.active()) {
      sockets_->Revoke(session.user, [&session](std::string_view id) { return id == session.id; });
    }
  }
}

}  // namespace bulkhead::gateway
