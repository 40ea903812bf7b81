// Roles in the database, and those that come with the platform.
#ifndef SERVICES_AUTH_ROLE_STORE_H_
#define SERVICES_AUTH_ROLE_STORE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "services/common/storage/database.h"

namespace bulkhead::auth {

inline constexpr char kMemberRole[] = "member";
inline constexpr char kAdminRole[] = "admin";

struct Role {
  std::string id;
  std::vector<std::string> permissions;  // Patterns.
  bool built_in = false;
};

// `member`: everything that a user needs for his own things. `admin`: everything.
const std::vector<Role>& BuiltInRoles();

// What a run may do at most, whatever its user may: no sessions, no passwords, no approvals of its
// own requests.
const std::vector<std::string>& RunPermissions();

// The patterns that grant what both sides grant.
std::vector<std::string> IntersectPermissions(absl::Span<const std::string> a, absl::Span<const std::string> b);

// Within one transaction or snapshot: lives as long as `connection` is at hand.
class RoleStore {
 public:
  explicit RoleStore(storage::Connection& connection) : connection_(connection) {}

  // Built-in ones too.
  absl::StatusOr<std::optional<Role>> Find(std::string_view id);
  // By id, after `after`; built-in ones too.
  absl::StatusOr<std::vector<Role>> List(std::string_view after, int limit);
  // All patterns of `roles`, each once. A role that is not there any more grants nothing.
  absl::StatusOr<std::vector<std::string>> PermissionsOf(absl::Span<const std::string> roles);

  // ALREADY_EXISTS `ROLE_EXISTS`.
  absl::Status Insert(const Role& role);
  absl::Status Update(const Role& role);
  absl::Status Delete(std::string_view id);

 private:
  storage::Connection& connection_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_ROLE_STORE_H_
