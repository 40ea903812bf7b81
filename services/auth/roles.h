// The administration of roles, and the answer to "may I?".
#ifndef SERVICES_AUTH_ROLES_H_
#define SERVICES_AUTH_ROLES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/auth/audit_log.h"
#include "services/auth/role_store.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/database.h"

namespace bulkhead::auth {

// Thread-safe.
class Roles {
 public:
  // Both outlive it.
  Roles(storage::Database* database, AuditLog* audit) : database_(database), audit_(audit) {}

  // By id, after `after`.
  absl::StatusOr<std::vector<Role>> List(std::string_view after, int limit);

  // ALREADY_EXISTS `ROLE_EXISTS`; INVALID_ARGUMENT `PERMISSION_MALFORMED`.
  Awaitable<absl::StatusOr<Role>> Create(const rpc::CallContext& call, Role role);
  // NOT_FOUND `ROLE_NOT_FOUND`; FAILED_PRECONDITION `ROLE_BUILT_IN`; INVALID_ARGUMENT
  // `PERMISSION_MALFORMED`.
  Awaitable<absl::StatusOr<Role>> Update(const rpc::CallContext& call, Role role);
  // NOT_FOUND `ROLE_NOT_FOUND`; FAILED_PRECONDITION `ROLE_IN_USE`, `ROLE_BUILT_IN`.
  Awaitable<absl::Status> Delete(const rpc::CallContext& call, std::string_view id);

  struct Answer {
    bool granted = false;
    std::string pattern;
    std::string explanation;
  };
  // By the permissions in the caller's token: those are what every service goes by. `resource` may
  // be empty. INVALID_ARGUMENT `PERMISSION_MALFORMED`; NOT_FOUND `RESOURCE_NOT_FOUND` for a
  // resource of another user.
  Awaitable<absl::StatusOr<Answer>> Check(const rpc::CallContext& call, std::string_view permission,
                                          std::string_view resource);

 private:
  absl::StatusOr<Answer> Explain(const UserContext& user, std::string_view permission);

  storage::Database* const database_;
  AuditLog* const audit_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_ROLES_H_
