// Users and roles in the database. No decisions: those are made by Accounts and SignIns, inside one
// transaction each.
#ifndef SERVICES_AUTH_USER_STORE_H_
#define SERVICES_AUTH_USER_STORE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/storage/database.h"

namespace bulkhead::auth {

struct User {
  std::string id;
  std::string login;
  std::string display_name;
  std::vector<std::string> roles;  // Ids, sorted.
  bool disabled = false;
  absl::Time created_at;
};

// What a password sign-in and a repeated registration look at.
struct Credentials {
  User user;
  std::string password_hash;
  std::string request_id;  // Of the registration.
};

// Within one transaction or snapshot: lives as long as `connection` is at hand. A user is the owner
// of his own row, so methods take his id.
class UserStore {
 public:
  explicit UserStore(storage::Connection& connection) : connection_(connection) {}

  // ALREADY_EXISTS `LOGIN_TAKEN`.
  absl::Status Insert(const Credentials& credentials);
  // NOT_FOUND `USER_NOT_FOUND`.
  absl::StatusOr<Credentials> Get(std::string_view id);
  // Writes display name, disabled and roles.
  absl::Status Update(const User& user);
  absl::Status SetPasswordHash(std::string_view id, std::string_view password_hash);
  absl::Status Delete(std::string_view id);

  absl::StatusOr<std::optional<Credentials>> FindByLoginAcrossUsers(std::string_view login);
  // By id, after `after`.
  absl::StatusOr<std::vector<User>> ListAcrossUsers(std::string_view after, int limit);
  absl::StatusOr<bool> IsRoleInUseAcrossUsers(std::string_view role);

 private:
  absl::StatusOr<std::vector<Credentials>> Select(std::string_view where, std::vector<storage::Value> values);
  absl::Status InsertRoles(const User& user);

  storage::Connection& connection_;
};

// NOT_FOUND `USER_NOT_FOUND` that names `name`: for one who is not there, and for one whom the
// caller may not see.
absl::Status UserNotFound(std::string_view name);

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_USER_STORE_H_
