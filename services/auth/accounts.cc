#include "services/auth/accounts.h"

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
#include "absl/time/time.h"
#include "services/auth/caller.h"
#include "services/auth/errors.h"
#include "services/auth/logins.h"
#include "services/auth/role_store.h"
#include "services/auth/session_store.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kMaxPasswordBytes = 1024;
constexpr size_t kMaxDisplayNameBytes = 200;

absl::Status ValidateDisplayName(std::string_view name) {
  if (name.empty() || name.size() > kMaxDisplayNameBytes) {
    return AuthError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("a display name has 1 to ", kMaxDisplayNameBytes, " bytes"), "DISPLAY_NAME_INVALID");
  }
  return absl::OkStatus();
}

absl::Status ValidateRoles(storage::Connection& connection, const std::vector<std::string>& roles) {
  for (const std::string& id : roles) {
    ASSIGN_OR_RETURN(std::optional<Role> role, RoleStore(connection).Find(id));
    if (!role.has_value()) {
      return AuthError(absl::StatusCode::kInvalidArgument, absl::StrCat("there is no role '", id, "'"), "ROLE_UNKNOWN",
                       {{"role", id}});
    }
  }
  return absl::OkStatus();
}

// What a change does, for the audit log: "users/user-7 disabled=true roles=admin,member".
std::string DescribeChange(std::string_view id, const Accounts::Change& change) {
  std::string text = absl::StrCat("users/", id);
  if (change.disabled.has_value()) {
    absl::StrAppend(&text, " disabled=", *change.disabled ? "true" : "false");
  }
  if (change.roles.has_value()) {
    absl::StrAppend(&text, " roles=", absl::StrJoin(*change.roles, ","));
  }
  return text;
}

}  // namespace

Awaitable<absl::StatusOr<User>> Accounts::Register(const rpc::CallContext& call, const Registration& registration) {
  rpc::CallContext caller = call;
  const bool becomes_administrator = !options_.admin_login.empty() && registration.login == options_.admin_login;
  // Where registration is closed too, somebody has to be the first.
  if (!options_.open_registration && !becomes_administrator) {
    absl::StatusOr<UserContext> administrator = RequireAdministrator(call);
    if (!administrator.ok()) {
      co_return co_await dependencies_.audit->Refuse(
          AuditLog::Describe(call, "user.create", absl::StrCat("logins/", registration.login)), administrator.status());
    }
    caller.user = *std::move(administrator);
  }
  CO_RETURN_IF_ERROR(ValidateNames(registration));
  CO_RETURN_IF_ERROR(co_await ValidatePassword(registration.login, registration.password));

  Credentials credentials{
      .user = {.id = dependencies_.ids->NewId("user"),
               .login = registration.login,
               .display_name = registration.display_name.empty() ? registration.login : registration.display_name,
               .roles = {kMemberRole},
               .disabled = false,
               // As it is stored, so that it is answered the same now and later.
               .created_at = absl::FromUnixMicros(absl::ToUnixMicros(dependencies_.clock->Now()))},
      .password_hash = "",
      .request_id = registration.request_id};
  if (becomes_administrator) {
    credentials.user.roles = {kAdminRole, kMemberRole};
  }
  CO_ASSIGN_OR_RETURN(credentials.password_hash, co_await dependencies_.hasher->Hash(registration.password));
  AuditEntry entry = AuditLog::Describe(caller, "user.create", "");
  entry.user = absl::StrCat("users/", credentials.user.id);
  entry.resource = absl::StrCat(entry.user, " roles=", absl::StrJoin(credentials.user.roles, ","));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(UserStore(connection).Insert(credentials));
    return dependencies_.audit->Append(connection, entry);
  };
  absl::Status inserted = co_await dependencies_.database->Write(std::move(write));
  if (ReasonOf(inserted) == "LOGIN_TAKEN") {
    co_return co_await AnswerAgain(registration, std::move(inserted));
  }
  CO_RETURN_IF_ERROR(inserted);
  co_return std::move(credentials.user);
}

absl::StatusOr<User> Accounts::Get(const rpc::CallContext& call, std::string_view id) {
  if (id != call.user->user() && !call.user->May("user:all:read")) {
    return UserNotFound(absl::StrCat("users/", id));
  }
  ASSIGN_OR_RETURN(Credentials credentials, Find(id));
  return std::move(credentials.user);
}

absl::StatusOr<std::vector<User>> Accounts::ListAcrossUsers(std::string_view after, int limit) {
  std::vector<User> users;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(users, UserStore(connection).ListAcrossUsers(after, limit));
    return absl::OkStatus();
  }));
  return users;
}

Awaitable<absl::StatusOr<User>> Accounts::Update(const rpc::CallContext& call, std::string_view id,
                                                 const Change& change) {
  if (change.display_name.has_value()) {
    CO_RETURN_IF_ERROR(ValidateDisplayName(*change.display_name));
  }
  AuditEntry entry = AuditLog::Describe(call, "user.update", DescribeChange(id, change));
  entry.user = absl::StrCat("users/", id);
  User user;
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(Credentials credentials, UserStore(connection).Get(id));
    user = std::move(credentials.user);
    user.display_name = change.display_name.value_or(user.display_name);
    user.disabled = change.disabled.value_or(user.disabled);
    if (change.roles.has_value()) {
      RETURN_IF_ERROR(ValidateRoles(connection, *change.roles));
      user.roles = *change.roles;
      absl::c_sort(user.roles);
    }
    RETURN_IF_ERROR(UserStore(connection).Update(user));
    if (user.disabled) {
      RETURN_IF_ERROR(
          SessionStore(connection).For(id).RevokeAll(/*keep=*/"", "USER_DISABLED", *dependencies_.revocations));
    }
    return dependencies_.audit->Append(connection, entry);
  };
  CO_RETURN_IF_ERROR(co_await dependencies_.database->Write(std::move(write)));
  co_return user;
}

Awaitable<absl::Status> Accounts::Delete(const rpc::CallContext& call, std::string_view id) {
  AuditEntry entry = AuditLog::Describe(call, "user.delete", absl::StrCat("users/", id));
  entry.user = absl::StrCat("users/", id);
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(UserStore(connection).Get(id).status());
    RETURN_IF_ERROR(SessionStore(connection).For(id).DeleteAll("USER_DELETED", *dependencies_.revocations));
    RETURN_IF_ERROR(UserStore(connection).Delete(id));
    return dependencies_.audit->Append(connection, entry);
  };
  co_return co_await dependencies_.database->Write(std::move(write));
}

Awaitable<absl::Status> Accounts::ChangePassword(const rpc::CallContext& call, const Secret& current,
                                                 const Secret& next) {
  const std::string& id = call.user->user();
  const std::string address = ThrottledAddressOf(call);
  AuditEntry entry = AuditLog::Describe(call, "user.change_password", call.user->user_name());
  CO_ASSIGN_OR_RETURN(const Credentials credentials, Find(id));
  const std::string& login = credentials.user.login;
  CO_RETURN_IF_ERROR(co_await ValidatePassword(login, next));
  absl::Status admitted = dependencies_.throttle->Begin(login, address);
  if (!admitted.ok()) {
    const int refused = dependencies_.throttle->Refused(login, address);
    if (!SignInThrottle::IsWorthRecording(refused)) {
      co_return admitted;
    }
    entry.details["attempts"] = absl::StrCat(refused);
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(admitted));
  }
  storage::Database::WriteFunction save = [&](storage::Connection& connection) {
    return dependencies_.throttle->Save(connection, login, address);
  };
  const std::optional<std::string> stored = credentials.password_hash;
  CO_ASSIGN_OR_RETURN(bool matches, co_await dependencies_.hasher->Verify(current, stored));
  if (!matches) {
    absl::Status wrong =
        AuthError(absl::StatusCode::kUnauthenticated, "the current password is wrong", "CREDENTIALS_INVALID");
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(wrong), std::move(save));
  }
  dependencies_.throttle->Succeed(login, address);
  CO_ASSIGN_OR_RETURN(std::string hash, co_await dependencies_.hasher->Hash(next));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    UserStore users(connection);
    ASSIGN_OR_RETURN(Credentials now, users.Get(id));
    if (now.password_hash != *stored) {
      return AuthError(absl::StatusCode::kAborted, "the password was changed by another request meanwhile",
                       "PASSWORD_CHANGED_MEANWHILE");
    }
    RETURN_IF_ERROR(users.SetPasswordHash(id, hash));
    RETURN_IF_ERROR(dependencies_.throttle->Save(connection, login, address));
    RETURN_IF_ERROR(SessionStore(connection)
                        .For(id)
                        .RevokeAll(call.user->session(), "PASSWORD_CHANGED", *dependencies_.revocations));
    return dependencies_.audit->Append(connection, entry);
  };
  co_return co_await dependencies_.database->Write(std::move(write));
}

Awaitable<absl::Status> Accounts::ResetPassword(const rpc::CallContext& call, std::string_view id, const Secret& next) {
  AuditEntry entry = AuditLog::Describe(call, "user.reset_password", absl::StrCat("users/", id));
  entry.user = entry.resource;
  CO_ASSIGN_OR_RETURN(const Credentials credentials, Find(id));
  const std::string& login = credentials.user.login;
  CO_RETURN_IF_ERROR(co_await ValidatePassword(login, next));
  CO_ASSIGN_OR_RETURN(std::string hash, co_await dependencies_.hasher->Hash(next));
  // What he, or somebody else, failed at was another password.
  dependencies_.throttle->Succeed(login, /*address=*/"");
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    UserStore users(connection);
    RETURN_IF_ERROR(users.Get(id).status());
    RETURN_IF_ERROR(users.SetPasswordHash(id, hash));
    RETURN_IF_ERROR(dependencies_.throttle->Save(connection, login, /*address=*/""));
    RETURN_IF_ERROR(
        SessionStore(connection).For(id).RevokeAll(/*keep=*/"", "PASSWORD_CHANGED", *dependencies_.revocations));
    return dependencies_.audit->Append(connection, entry);
  };
  co_return co_await dependencies_.database->Write(std::move(write));
}

absl::Status Accounts::ValidateNames(const Registration& registration) {
  if (!IsLogin(registration.login)) {
    return AuthError(absl::StatusCode::kInvalidArgument, "a login has 3 to 64 characters of a-z, 0-9 and ._@+-",
                     "LOGIN_INVALID");
  }
  return registration.display_name.empty() ? absl::OkStatus() : ValidateDisplayName(registration.display_name);
}

absl::StatusOr<Credentials> Accounts::Find(std::string_view id) {
  std::optional<Credentials> credentials;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(credentials, UserStore(connection).Get(id));
    return absl::OkStatus();
  }));
  return *std::move(credentials);
}

Awaitable<absl::Status> Accounts::ValidatePassword(const std::string& login, const Secret& password) const {
  const size_t bytes = password.Reveal().size();
  if (bytes < static_cast<size_t>(options_.min_password_length)) {
    co_return AuthError(absl::StatusCode::kInvalidArgument,
                        absl::StrCat("a password has at least ", options_.min_password_length, " bytes"),
                        "PASSWORD_TOO_SHORT", {{"min_bytes", absl::StrCat(options_.min_password_length)}});
  }
  if (bytes > kMaxPasswordBytes) {
    co_return AuthError(absl::StatusCode::kInvalidArgument,
                        absl::StrCat("a password has at most ", kMaxPasswordBytes, " bytes"), "PASSWORD_TOO_LONG",
                        {{"max_bytes", absl::StrCat(kMaxPasswordBytes)}});
  }
  co_return co_await RunBlocking(dependencies_.pool, [breached = dependencies_.breached, login,
                                                      copy = password.Copy()] { return breached->Check(login, copy); });
}

absl::StatusOr<UserContext> Accounts::RequireAdministrator(const rpc::CallContext& call) const {
  absl::Status closed = AuthError(absl::StatusCode::kPermissionDenied,
                                  "registration is closed: an administrator creates users", "REGISTRATION_CLOSED");
  if (call.token == nullptr) {
    return closed;
  }
  ASSIGN_OR_RETURN(VerifiedToken token, dependencies_.verifier->Verify(*call.token));
  ASSIGN_OR_RETURN(UserContext user, UserContext::FromToken(token, {.request_id = call.request_id}));
  if (!user.May("user:all:create")) {
    return closed;
  }
  RETURN_IF_ERROR(dependencies_.sign_ins->RequireLive(user));
  return user;
}

Awaitable<absl::StatusOr<User>> Accounts::AnswerAgain(const Registration& registration, absl::Status taken) {
  if (registration.request_id.empty()) {
    co_return taken;
  }
  std::optional<Credentials> credentials;
  CO_RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(credentials, UserStore(connection).FindByLoginAcrossUsers(registration.login));
    return absl::OkStatus();
  }));
  if (!credentials.has_value() || credentials->request_id != registration.request_id) {
    co_return taken;
  }
  const std::optional<std::string> stored = credentials->password_hash;
  // A request id is no secret: only who knows the password gets the answer.
  CO_ASSIGN_OR_RETURN(bool matches, co_await dependencies_.hasher->Verify(registration.password, stored));
  if (!matches) {
    co_return taken;
  }
  co_return std::move(credentials->user);
}

}  // namespace bulkhead::auth
