#include "services/auth/permission_denials.h"

#include <optional>
#include <utility>

#include "services/common/status/error.h"

namespace bulkhead::auth {

Awaitable<absl::Status> PermissionDenials::OnDenied(const rpc::CallContext& call, std::string_view method,
                                                    absl::Status denial) {
  AuditEntry entry = AuditLog::Describe(call, "permission.require", method);
  if (const std::optional<ErrorInfo> info = ErrorInfoOf(denial); info.has_value()) {
    entry.details = info->metadata;
  }
  co_return co_await audit_->Refuse(std::move(entry), std::move(denial));
}

}  // namespace bulkhead::auth
