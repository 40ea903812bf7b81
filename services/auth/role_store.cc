#include "services/auth/role_store.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "services/auth/errors.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

// One pattern that grants what both grant; nullopt when they have nothing in common.
std::optional<std::string> Intersect(std::string_view a, std::string_view b) {
  std::vector<std::string_view> left = absl::StrSplit(a, ':');
  std::vector<std::string_view> right = absl::StrSplit(b, ':');
  if (left.size() != right.size()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i] == "*") {
      left[i] = right[i];
    } else if (right[i] != "*" && right[i] != left[i]) {
      return std::nullopt;
    }
  }
  return absl::StrJoin(left, ":");
}

void AddOnce(std::vector<std::string>& list, std::string value) {
  if (!absl::c_linear_search(list, value)) {
    list.push_back(std::move(value));
  }
}

Role ReadRole(const storage::Row& row) {
  return {.id = row.Text(0), .permissions = absl::StrSplit(row.Text(1), ' ', absl::SkipEmpty()), .built_in = false};
}

}  // namespace

const std::vector<Role>& BuiltInRoles() {
  static const auto* const kRoles = new std::vector<Role>{
      {.id = kAdminRole, .permissions = {"*:*:*"}, .built_in = true},
      {.id = kMemberRole,
       // Verb by verb, so that a new method is open to nobody until somebody decides.
       .permissions = {"agent:own:create",  "agent:own:delete",     "agent:own:read",   "agent:own:update",
                       "approval:own:read", "approval:own:resolve", "event:own:read",   "file:own:read",
                       "file:own:write",    "permission:own:check", "run:own:cancel",   "run:own:create",
                       "run:own:delete",    "run:own:read",         "session:own:read", "session:own:revoke",
                       "thread:own:create", "thread:own:delete",    "thread:own:read",  "thread:own:update",
                       "tool:*:invoke",     "tool:own:read",        "tool:own:register", "user:own:read",
                       "user:own:update"},
       .built_in = true},
  };
  return *kRoles;
}

const std::vector<std::string>& RunPermissions() {
  static const auto* const kPermissions = new std::vector<std::string>{
      "agent:own:read", "event:own:read", "file:own:read",   "file:own:write", "permission:own:check", "run:own:cancel",
      "run:own:create", "run:own:read",   "thread:own:read", "tool:*:invoke",  "tool:own:read",
  };
  return *kPermissions;
}

std::vector<std::string> IntersectPermissions(absl::Span<const std::string> a, absl::Span<const std::string> b) {
  std::vector<std::string> both;
  for (const std::string& left : a) {
    for (const std::string& right : b) {
      if (std::optional<std::string> pattern = Intersect(left, right); pattern.has_value()) {
        AddOnce(both, *std::move(pattern));
      }
    }
  }
  return both;
}

absl::StatusOr<std::optional<Role>> RoleStore::Find(std::string_view id) {
  for (const Role& role : BuiltInRoles()) {
    if (role.id == id) {
      return role;
    }
  }
  std::optional<Role> found;
  RETURN_IF_ERROR(connection_.Query("SELECT id, permissions FROM roles WHERE id = ?", {std::string(id)},
                                    [&](const storage::Row& row) {
                                      found = ReadRole(row);
                                      return absl::OkStatus();
                                    }));
  return found;
}

absl::StatusOr<std::vector<Role>> RoleStore::List(std::string_view after, int limit) {
  std::vector<Role> roles;
  absl::c_copy_if(BuiltInRoles(), std::back_inserter(roles), [&](const Role& role) { return role.id > after; });
  RETURN_IF_ERROR(connection_.Query("SELECT id, permissions FROM roles WHERE id > ? ORDER BY id LIMIT ?",
                                    {std::string(after), int64_t{limit}}, [&](const storage::Row& row) {
                                      roles.push_back(ReadRole(row));
                                      return absl::OkStatus();
                                    }));
  absl::c_sort(roles, [](const Role& a, const Role& b) { return a.id < b.id; });
  if (roles.size() > static_cast<size_t>(limit)) {
    roles.resize(limit);
  }
  return roles;
}

absl::StatusOr<std::vector<std::string>> RoleStore::PermissionsOf(absl::Span<const std::string> roles) {
  std::vector<std::string> permissions;
  for (const std::string& id : roles) {
    ASSIGN_OR_RETURN(std::optional<Role> role, Find(id));
    if (role.has_value()) {
      for (std::string& permission : role->permissions) {
        AddOnce(permissions, std::move(permission));
      }
    }
  }
  return permissions;
}

absl::Status RoleStore::Insert(const Role& role) {
  absl::Status inserted =
      connection_
          .Execute("INSERT INTO roles (id, permissions) VALUES (?,?)", {role.id, absl::StrJoin(role.permissions, " ")})
          .status();
  if (ReasonOf(inserted) == "STORAGE_CONFLICT") {
    return AuthError(absl::StatusCode::kAlreadyExists, absl::StrCat("there is a role '", role.id, "' already"),
                     "ROLE_EXISTS", {{"role", role.id}});
  }
  return inserted;
}

absl::Status RoleStore::Update(const Role& role) {
  return connection_
      .Execute("UPDATE roles SET permissions = ? WHERE id = ?", {absl::StrJoin(role.permissions, " "), role.id})
      .status();
}

absl::Status RoleStore::Delete(std::string_view id) {
  return connection_.Execute("DELETE FROM roles WHERE id = ?", {std::string(id)}).status();
}

}  // namespace bulkhead::auth
