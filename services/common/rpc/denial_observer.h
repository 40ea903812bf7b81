// Hears of calls that are refused before their handler runs, for a service that keeps a record of its decisions.
#ifndef SERVICES_COMMON_RPC_DENIAL_OBSERVER_H_
#define SERVICES_COMMON_RPC_DENIAL_OBSERVER_H_

#include <string_view>

#include "absl/status/status.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::rpc {

// Thread-safe.
class DenialObserver {
 public:
  virtual ~DenialObserver() = default;

  // `call`, whose user is known, may not call `method`. Returns what the caller is told: `denial`, or why it could not be recorded.
  virtual Awaitable<absl::Status> OnDenied(const CallContext& call, std::string_view method, absl::Status denial) = 0;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_DENIAL_OBSERVER_H_
