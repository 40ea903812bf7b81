// Records the calls of auth's own methods that were refused because a permission was missing.
#ifndef SERVICES_AUTH_PERMISSION_DENIALS_H_
#define SERVICES_AUTH_PERMISSION_DENIALS_H_

#include <string_view>

#include "absl/status/status.h"
#include "services/auth/audit_log.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/denial_observer.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::auth {

// Thread-safe.
class PermissionDenials final : public rpc::DenialObserver {
 public:
  // `audit` outlives it.
  explicit PermissionDenials(AuditLog* audit) : audit_(audit) {}

  // As "permission.require" on the method, with the permission among the details.
  Awaitable<absl::Status> OnDenied(const rpc::CallContext& call, std::string_view method, absl::Status denial) override;

 private:
  AuditLog* const audit_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_PERMISSION_DENIALS_H_
