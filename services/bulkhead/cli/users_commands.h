// The commands about users: for administrators, but for what each user may see of himself.
#ifndef SERVICES_BULKHEAD_CLI_USERS_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_USERS_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

struct CreateUserOptions {
  std::string login;
  std::string display_name;        // The login when empty.
  std::vector<std::string> roles;  // What every new user gets when empty.
  bool password_stdin = false;
};

// "/v1/users/{id}" of a user named by his login, by "users/{id}", or "me". NOT_FOUND `USER_NOT_FOUND`. A login is looked
// for in the list of users, which only an administrator gets.
absl::StatusOr<std::string> UserPath(Session& session, const std::string& user);

absl::Status ListUsers(const RemoteContext& context, int limit);
absl::Status ShowUser(const RemoteContext& context, const std::string& user);
absl::Status CreateUser(const RemoteContext& context, const CreateUserOptions& options);
absl::Status SetUserDisabled(const RemoteContext& context, const std::string& user, bool disabled);
absl::Status SetUserRoles(const RemoteContext& context, const std::string& user, const std::vector<std::string>& roles);
absl::Status ResetUserPassword(const RemoteContext& context, const std::string& user, bool password_stdin);
absl::Status DeleteUser(const RemoteContext& context, const std::string& user);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_USERS_COMMANDS_H_
