#include "services/auth/roles.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/auth/errors.h"
#include "services/auth/user_store.h"
#include "services/common/identity/permission.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

absl::Status RoleError(absl::StatusCode code, std::string_view reason, std::string_view id, std::string_view what) {
  return AuthError(code, absl::StrCat("the role '", id, "' ", what), reason, {{"role", std::string(id)}});
}

absl::Status ValidatePatterns(const Role& role) {
  for (const std::string& pattern : role.permissions) {
    RETURN_IF_ERROR(ValidatePermissionPattern(pattern));
  }
  return absl::OkStatus();
}

// OK when there is such a role and it may be changed.
absl::Status RequireChangeable(storage::Connection& connection, std::string_view id) {
  ASSIGN_OR_RETURN(std::optional<Role> role, RoleStore(connection).Find(id));
  if (!role.has_value()) {
    return RoleError(absl::StatusCode::kNotFound, "ROLE_NOT_FOUND", id, "does not exist");
  }
  if (role->built_in) {
    return RoleError(absl::StatusCode::kFailedPrecondition, "ROLE_BUILT_IN", id, "comes with the platform and stays");
  }
  return absl::OkStatus();
}

std::string DescribeRole(const Role& role) {
  return absl::StrCat("roles/", role.id, " ", absl::StrJoin(role.permissions, " "));
}

// "users/<id>" and whatever lies below it belong to that user; what has no owner belongs to all.
bool BelongsToAnother(const UserContext& user, std::string_view resource) {
  return absl::StartsWith(resource, "users/") && resource != user.user_name() &&
         !absl::StartsWith(resource, absl::StrCat(user.user_name(), "/"));
}

}  // namespace

absl::StatusOr<std::vector<Role>> Roles::List(std::string_view after, int limit) {
  std::vector<Role> roles;
  RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(roles, RoleStore(connection).List(after, limit));
    return absl::OkStatus();
  }));
  return roles;
}

Awaitable<absl::StatusOr<Role>> Roles::Create(const rpc::CallContext& call, Role role) {
  CO_RETURN_IF_ERROR(ValidatePatterns(role));
  const AuditEntry entry = AuditLog::Describe(call, "role.create", DescribeRole(role));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<Role> existing, RoleStore(connection).Find(role.id));
    if (existing.has_value()) {
      return RoleError(absl::StatusCode::kAlreadyExists, "ROLE_EXISTS", role.id, "exists already");
    }
    RETURN_IF_ERROR(RoleStore(connection).Insert(role));
    return audit_->Append(connection, entry);
  };
  CO_RETURN_IF_ERROR(co_await database_->Write(std::move(write)));
  co_return role;
}

Awaitable<absl::StatusOr<Role>> Roles::Update(const rpc::CallContext& call, Role role) {
  CO_RETURN_IF_ERROR(ValidatePatterns(role));
  const AuditEntry entry = AuditLog::Describe(call, "role.update", DescribeRole(role));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(RequireChangeable(connection, role.id));
    RETURN_IF_ERROR(RoleStore(connection).Update(role));
    return audit_->Append(connection, entry);
  };
  CO_RETURN_IF_ERROR(co_await database_->Write(std::move(write)));
  co_return role;
}

Awaitable<absl::Status> Roles::Delete(const rpc::CallContext& call, std::string_view id) {
  const AuditEntry entry = AuditLog::Describe(call, "role.delete", absl::StrCat("roles/", id));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(RequireChangeable(connection, id));
    ASSIGN_OR_RETURN(bool used, UserStore(connection).IsRoleInUseAcrossUsers(id));
    if (used) {
      return RoleError(absl::StatusCode::kFailedPrecondition, "ROLE_IN_USE", id,
                       "is given to users: take it from them");
    }
    RETURN_IF_ERROR(RoleStore(connection).Delete(id));
    return audit_->Append(connection, entry);
  };
  co_return co_await database_->Write(std::move(write));
}

Awaitable<absl::StatusOr<Roles::Answer>> Roles::Check(const rpc::CallContext& call, std::string_view permission,
                                                      std::string_view resource) {
  CO_RETURN_IF_ERROR(ValidatePermissionPattern(permission));
  if (absl::StrContains(permission, '*')) {
    co_return AuthError(absl::StatusCode::kInvalidArgument, "ask for one permission, without '*'",
                        "PERMISSION_MALFORMED", {{"permission", std::string(permission)}});
  }
  AuditEntry entry = AuditLog::Describe(
      call, "permission.check", resource.empty() ? std::string(permission) : absl::StrCat(permission, " ", resource));
  if (BelongsToAnother(*call.user, resource)) {
    co_return co_await audit_->Refuse(std::move(entry),
                                      AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", resource),
                                                "RESOURCE_NOT_FOUND", {{"resource", std::string(resource)}}));
  }
  CO_ASSIGN_OR_RETURN(Answer answer, Explain(*call.user, permission));
  entry.allowed = answer.granted;
  if (!answer.granted) {
    entry.reason = "PERMISSION_MISSING";
  }
  CO_RETURN_IF_ERROR(co_await audit_->Record(std::move(entry)));
  co_return answer;
}

absl::StatusOr<Roles::Answer> Roles::Explain(const UserContext& user, std::string_view permission) {
  Answer answer;
  for (const std::string& pattern : user.permissions()) {
    if (IsGranted({pattern}, permission)) {
      answer = {.granted = true, .pattern = pattern, .explanation = absl::StrCat("this token grants `", pattern, "`")};
      break;
    }
  }
  const std::string roles = absl::StrJoin(user.roles(), ", ");
  if (!answer.granted) {
    answer.explanation = user.run().empty() ? absl::StrCat("no role of yours grants it: ", roles)
                                            : absl::StrCat("the token of ", user.run(), " does not grant it");
    return answer;
  }
  RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) -> absl::Status {
    for (const std::string& id : user.roles()) {
      ASSIGN_OR_RETURN(std::optional<Role> role, RoleStore(connection).Find(id));
      if (role.has_value() && IsGranted(role->permissions, permission)) {
        answer.explanation = absl::StrCat("role `", id, "` grants `", answer.pattern, "`");
        break;
      }
    }
    return absl::OkStatus();
  }));
  return answer;
}

}  // namespace bulkhead::auth
