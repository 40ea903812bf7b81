// The commands about roles and permissions.
#ifndef SERVICES_BULKHEAD_CLI_ROLES_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_ROLES_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

absl::Status ListRoles(const RemoteContext& context);
absl::Status CreateRole(const RemoteContext& context, const std::string& role,
                        const std::vector<std::string>& permissions);
// Replaces what the role grants.
absl::Status UpdateRole(const RemoteContext& context, const std::string& role,
                        const std::vector<std::string>& permissions);
absl::Status DeleteRole(const RemoteContext& context, const std::string& role);
// Whether the caller may; PERMISSION_DENIED `PERMISSION_NOT_GRANTED` when not. `resource` may be empty.
absl::Status CheckPermission(const RemoteContext& context, const std::string& permission, const std::string& resource);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_ROLES_COMMANDS_H_
