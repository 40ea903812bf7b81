#include "services/auth/user_store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/auth/errors.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {

absl::Status UserStore::Insert(const Credentials& credentials) {
  const User& user = credentials.user;
  absl::Status inserted = connection_
                              .Execute(
                                  "INSERT INTO users (id, login, display_name, password_hash, disabled, created_at, "
                                  "request_id) "
                                  "VALUES (?,?,?,?,?,?,?)",
                                  {user.id, user.login, user.display_name, credentials.password_hash,
                                   int64_t{user.disabled}, absl::ToUnixMicros(user.created_at), credentials.request_id})
                              .status();
  if (ReasonOf(inserted) == "STORAGE_CONFLICT") {
    return AuthError(absl::StatusCode::kAlreadyExists, absl::StrCat("the login '", user.login, "' is taken"),
                     "LOGIN_TAKEN", {{"login", user.login}});
  }
  RETURN_IF_ERROR(inserted);
  return InsertRoles(user);
}

absl::StatusOr<Credentials> UserStore::Get(std::string_view id) {
  ASSIGN_OR_RETURN(std::vector<Credentials> found, Select("WHERE id = ?", {std::string(id)}));
  if (found.empty()) {
    return UserNotFound(absl::StrCat("users/", id));
  }
  return std::move(found.front());
}

absl::Status UserStore::Update(const User& user) {
  RETURN_IF_ERROR(connection_
                      .Execute("UPDATE users SET display_name = ?, disabled = ? WHERE id = ?",
                               {user.display_name, int64_t{user.disabled}, user.id})
                      .status());
  RETURN_IF_ERROR(connection_.Execute("DELETE FROM user_roles WHERE user_id = ?", {user.id}).status());
  return InsertRoles(user);
}

absl::Status UserStore::SetPasswordHash(std::string_view id, std::string_view password_hash) {
  return connection_
      .Execute("UPDATE users SET password_hash = ? WHERE id = ?", {std::string(password_hash), std::string(id)})
      .status();
}

absl::Status UserStore::Delete(std::string_view id) {
  RETURN_IF_ERROR(connection_.Execute("DELETE FROM identities WHERE user_id = ?", {std::string(id)}).status());
  RETURN_IF_ERROR(connection_.Execute("DELETE FROM user_roles WHERE user_id = ?", {std::string(id)}).status());
  return connection_.Execute("DELETE FROM users WHERE id = ?", {std::string(id)}).status();
}

absl::StatusOr<std::optional<Credentials>> UserStore::FindByLoginAcrossUsers(std::string_view login) {
  ASSIGN_OR_RETURN(std::vector<Credentials> found, Select("WHERE login = ?", {std::string(login)}));
  if (found.empty()) {
    return std::nullopt;
  }
  return std::move(found.front());
}

absl::StatusOr<std::vector<User>> UserStore::ListAcrossUsers(std::string_view after, int limit) {
  ASSIGN_OR_RETURN(std::vector<Credentials> found,
                   Select("WHERE id > ? ORDER BY id LIMIT ?", {std::string(after), int64_t{limit}}));
  std::vector<User> users;
  for (Credentials& credentials : found) {
    users.push_back(std::move(credentials.user));
  }
  return users;
}

absl::StatusOr<bool> UserStore::IsRoleInUseAcrossUsers(std::string_view role) {
  bool used = false;
  RETURN_IF_ERROR(connection_.Query("SELECT 1 FROM user_roles WHERE role = ? LIMIT 1", {std::string(role)},
                                    [&](const storage::Row&) {
                                      used = true;
                                      return absl::OkStatus();
                                    }));
  return used;
}

absl::StatusOr<std::vector<Credentials>> UserStore::Select(std::string_view where, std::vector<storage::Value> values) {
  std::vector<Credentials> found;
  std::string sql = absl::StrCat(
      "SELECT id, login, display_name, disabled, created_at, password_hash, request_id FROM users ", where);
  RETURN_IF_ERROR(connection_.Query(sql, std::move(values), [&](const storage::Row& row) {
    found.push_back({.user = {.id = row.Text(0),
                              .login = row.Text(1),
                              .display_name = row.Text(2),
                              .roles = {},
                              .disabled = row.Int(3) != 0,
                              .created_at = absl::FromUnixMicros(row.Int(4))},
                     .password_hash = row.Text(5),
                     .request_id = row.Text(6)});
    return absl::OkStatus();
  }));
  for (Credentials& credentials : found) {
    RETURN_IF_ERROR(connection_.Query("SELECT role FROM user_roles WHERE user_id = ? ORDER BY role",
                                      {credentials.user.id}, [&](const storage::Row& row) {
                                        credentials.user.roles.push_back(row.Text(0));
                                        return absl::OkStatus();
                                      }));
  }
  return found;
}

absl::Status UserStore::InsertRoles(const User& user) {
  for (const std::string& role : user.roles) {
    RETURN_IF_ERROR(
        connection_.Execute("INSERT OR IGNORE INTO user_roles (user_id, role) VALUES (?,?)", {user.id, role}).status());
  }
  return absl::OkStatus();
}

absl::Status UserNotFound(std::string_view name) {
  return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", name), "USER_NOT_FOUND",
                   {{"user", std::string(name)}});
}

}  // namespace bulkhead::auth
