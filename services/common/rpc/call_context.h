// What one call brings: identity, deadline, cancellation, trace. Handed from the server's edge of a service to its core and on to the next call.
#ifndef SERVICES_COMMON_RPC_CALL_CONTEXT_H_
#define SERVICES_COMMON_RPC_CALL_CONTEXT_H_

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/time/time.h"
#include "services/common/identity/token.h"
#include "services/common/identity/user_context.h"

namespace bulkhead::rpc {

// Copyable and cheap; thread-safe for reading.
struct CallContext {
  // Absent in calls of methods that are declared `anonymous`, and for calls that a service makes before it has an identity.
  std::optional<UserContext> user;
  // Sent with outgoing calls made under this context; null sends none. In a call of an `anonymous` method: as it came, verified by nobody.
  std::shared_ptr<const RawToken> token;
  std::string request_id;
  std::string traceparent;
  std::string client;  // The caller's program, for audit.
  std::string peer_address;
  // Real time, not a domain clock: it bounds how long anybody waits.
  absl::Time deadline = absl::InfiniteFuture();
  // Requested when the caller has gone, or the deadline has passed.
  std::stop_token stop;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_CALL_CONTEXT_H_
