// Ties the work of one call to the token that it is done under.
#ifndef SERVICES_COMMON_RPC_TOKEN_GUARD_H_
#define SERVICES_COMMON_RPC_TOKEN_GUARD_H_

#include <functional>
#include <stop_token>

#include "services/common/rpc/call_context.h"
#include "services/common/rpc/revocation_set.h"

namespace bulkhead::rpc {

// Puts a stop of its own in the place of the call's: requested when that is, and when the call's token is revoked. Dies with the call.
class TokenGuard {
 public:
  // `call` has a user.
  TokenGuard(RevocationSet& revocations, CallContext& call)
      : caller_gone_(call.stop, [source = source_]() mutable { source.request_stop(); }),
        watch_(revocations.WatchToken(*call.user, [source = source_]() mutable { source.request_stop(); })) {
    call.stop = source_.get_token();
  }

 private:
  std::stop_source source_;
  std::stop_callback<std::function<void()>> caller_gone_;
  RevocationSet::Watch watch_;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_TOKEN_GUARD_H_
