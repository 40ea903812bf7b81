// A call that a service makes for itself.
#ifndef SERVICES_COMMON_RPC_CALL_AS_SERVICE_H_
#define SERVICES_COMMON_RPC_CALL_AS_SERVICE_H_

#include <stop_token>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/service_token_source.h"
#include "services/common/status/error.h"

namespace bulkhead::rpc {
namespace internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace internal

// Calls `call` (CallContext -> Awaitable of absl::Status or absl::StatusOr) under the service's token; when the key that signed that one has been
// withdrawn in the meantime, once more with a new one. `tokens` lives until it has ended.
template <typename Call>
std::invoke_result_t<Call&, CallContext> CallAsService(ServiceTokenSource& tokens, std::stop_token stop, Call call) {
  for (bool again = false;; again = true) {
    absl::StatusOr<CallContext> context = co_await tokens.ServiceContext(stop);
    if (!context.ok()) {
      co_return context.status();
    }
    auto result = co_await call(*std::move(context));
    if (again || ReasonOf(internal::StatusOf(result)) != "TOKEN_KEY_REVOKED") {
      co_return result;
    }
    tokens.Discard();
  }
}

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_CALL_AS_SERVICE_H_
