#include "services/auth/sign_ins.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/auth/caller.h"
#include "services/auth/errors.h"
#include "services/auth/logins.h"
#include "services/auth/role_store.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kRefreshTokenBytes = 32;
constexpr size_t kMaxDeviceCharacters = 100;

absl::Status Unauthenticated(std::string_view message, std::string_view reason) {
  return AuthError(absl::StatusCode::kUnauthenticated, message, reason);
}

absl::Status CredentialsInvalid() { return Unauthenticated("login or password is wrong", "CREDENTIALS_INVALID"); }

absl::Status SessionRevoked() {
  return Unauthenticated("the session has been revoked: sign in again", "SESSION_REVOKED");
}

std::string SessionName(std::string_view user, std::string_view session) {
  return absl::StrCat("users/", user, "/sessions/", session);
}

Secret NewRefreshToken() {
  return Secret(absl::WebSafeBase64Escape(crypto::RandomSecret(kRefreshTokenBytes).Reveal()));
}

// Those who type anything but a login into the field may have typed a password: it is not written
// down.
std::string LoginForAudit(std::string_view login) {
  return IsLogin(login) ? absl::StrCat("logins/", login) : "logins/";
}

// What the audit log keeps of how a session begins.
std::map<std::string, std::string> DetailsOf(std::string_view method, std::string_view device) {
  std::map<std::string, std::string> details = {{"method", std::string(method)}};
  if (!device.empty()) {
    details["device"] = std::string(device);
  }
  return details;
}

absl::StatusOr<TokenClaims> ClaimsOf(storage::Connection& connection, const User& user, std::string_view session) {
  TokenClaims claims;
  claims.subject = user.id;
  claims.session = std::string(session);
  claims.roles = user.roles;
  ASSIGN_OR_RETURN(claims.permissions, RoleStore(connection).PermissionsOf(user.roles));
  return claims;
}

}  // namespace

absl::Status ValidateDevice(std::string_view device) {
  size_t characters = 0;
  bool printable = true;
  for (const char c : device) {
    characters +=
        (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;  // UTF-8, of which each character begins once.
    printable = printable && !absl::ascii_iscntrl(static_cast<unsigned char>(c));
  }
  return characters <= kMaxDeviceCharacters && printable
             ? absl::OkStatus()
             : AuthError(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("a device's name has at most ", kMaxDeviceCharacters,
                                      " characters, and no control characters"),
                         "DEVICE_INVALID");
}

Awaitable<absl::StatusOr<SignedIn>> SignIns::SignIn(const rpc::CallContext& call, std::string login,
                                                    const Secret& password, std::string device) {
  CO_RETURN_IF_ERROR(ValidateDevice(device));
  absl::AsciiStrToLower(&login);
  // Whatever else was typed has one counter in common: there is no login to protect.
  const std::string throttle_key = IsLogin(login) ? login : "";
  const std::string address = ThrottledAddressOf(call);
  AuditEntry entry = AuditLog::Describe(call, "session.sign_in", LoginForAudit(login));
  entry.details = DetailsOf(kPasswordMethod, device);

  absl::Status admitted = dependencies_.throttle->Begin(throttle_key, address);
  if (!admitted.ok()) {
    const int refused = dependencies_.throttle->Refused(throttle_key, address);
    if (!SignInThrottle::IsWorthRecording(refused)) {
      co_return admitted;
    }
    entry.details["attempts"] = absl::StrCat(refused);
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(admitted));
  }

  std::optional<Credentials> credentials;
  CO_RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(credentials, UserStore(connection).FindByLoginAcrossUsers(login));
    return absl::OkStatus();
  }));
  std::optional<std::string> stored;
  if (credentials.has_value()) {
    stored = credentials->password_hash;
    entry.user = absl::StrCat("users/", credentials->user.id);
  }
  CO_ASSIGN_OR_RETURN(bool matches, co_await dependencies_.hasher->Verify(password, stored));
  storage::Database::WriteFunction save = [&](storage::Connection& connection) {
    return dependencies_.throttle->Save(connection, throttle_key, address);
  };
  if (!matches || credentials->user.disabled) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), CredentialsInvalid(), std::move(save));
  }
  dependencies_.throttle->Succeed(throttle_key, address);

  std::optional<std::string> stronger_hash;
  if (dependencies_.hasher->NeedsRehash(*stored)) {
    CO_ASSIGN_OR_RETURN(stronger_hash, co_await dependencies_.hasher->Hash(password));
  }

  const std::string user = credentials->user.id;
  Authenticate authenticate = [&](storage::Connection& connection) -> absl::StatusOr<std::string> {
    UserStore users(connection);
    absl::StatusOr<Credentials> current = users.Get(user);
    // Hashing took a while: the user may be gone, or have another password by now.
    if (!current.ok() || current->password_hash != *stored) {
      return CredentialsInvalid();
    }
    if (stronger_hash.has_value()) {
      RETURN_IF_ERROR(users.SetPasswordHash(user, *stronger_hash));
    }
    RETURN_IF_ERROR(dependencies_.throttle->Save(connection, throttle_key, address));
    return user;
  };
  co_return co_await Begin(call, std::move(entry),
                           {.method = std::string(kPasswordMethod), .device = std::move(device)},
                           std::move(authenticate));
}

Awaitable<absl::StatusOr<SignedIn>> SignIns::BeginFor(const rpc::CallContext& call, Beginning beginning,
                                                      Authenticate authenticate) {
  AuditEntry entry = AuditLog::Describe(call, "session.sign_in", beginning.method);
  entry.details = DetailsOf(beginning.method, beginning.device);
  co_return co_await Begin(call, std::move(entry), std::move(beginning), std::move(authenticate));
}

Awaitable<absl::StatusOr<SignedIn>> SignIns::Begin(const rpc::CallContext& call, AuditEntry entry, Beginning beginning,
                                                   Authenticate authenticate) {
  const absl::Time now = dependencies_.clock->Now();
  Session session{.id = dependencies_.ids->NewId("session"),
                  .user = "",
                  .created_at = now,
                  .refreshed_at = now,
                  .expires_at = now + options_.session_lifetime,
                  .revoked_at = std::nullopt,
                  .client = call.client,
                  .address = call.peer_address,
                  .device = std::move(beginning.device),
                  .method = std::move(beginning.method)};
  Secret refresh_token = NewRefreshToken();
  const std::string refresh_hash = crypto::Sha256(refresh_token.Reveal());
  TokenClaims claims;
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(session.user, authenticate(connection));
    AuditEntry begun = entry;
    begun.user = absl::StrCat("users/", session.user);
    begun.resource = SessionName(session.user, session.id);
    ASSIGN_OR_RETURN(Credentials credentials, UserStore(connection).Get(session.user));
    if (credentials.user.disabled) {
      return CredentialsInvalid();
    }
    RETURN_IF_ERROR(StoreSession(connection, session, refresh_hash));
    ASSIGN_OR_RETURN(claims, ClaimsOf(connection, credentials.user, session.id));
    return dependencies_.audit->Append(connection, begun);
  };
  absl::Status begun = co_await dependencies_.database->Write(std::move(write));
  if (AuditLog::IsRefusal(begun)) {
    if (!session.user.empty()) {
      entry.user = absl::StrCat("users/", session.user);
    }
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(begun));
  }
  CO_RETURN_IF_ERROR(begun);
  co_return SignedIn{.access = IssueAccess(std::move(claims), session.expires_at),
                     .refresh_token = std::move(refresh_token),
                     .session = session.id,
                     .user = session.user};
}

Awaitable<absl::StatusOr<SignedIn>> SignIns::Refresh(const rpc::CallContext& call, const Secret& refresh_token) {
  const std::string old_hash = crypto::Sha256(refresh_token.Reveal());
  Secret new_token = NewRefreshToken();
  const std::string new_hash = crypto::Sha256(new_token.Reveal());
  const AuditEntry entry = AuditLog::Describe(call, "session.refresh", "");
  Refreshed refreshed;
  absl::Time session_end;
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(refreshed, RefreshInTransaction(connection, entry, old_hash, new_hash));
    session_end = refreshed.claims.expires_at;
    return absl::OkStatus();
  };
  CO_RETURN_IF_ERROR(co_await dependencies_.database->Write(std::move(write)));
  CO_RETURN_IF_ERROR(refreshed.refusal);
  std::string session = refreshed.claims.session;
  std::string user = refreshed.claims.subject;
  co_return SignedIn{.access = IssueAccess(std::move(refreshed.claims), session_end),
                     .refresh_token = std::move(new_token),
                     .session = std::move(session),
                     .user = std::move(user)};
}

Awaitable<absl::StatusOr<std::vector<Session>>> SignIns::List(const rpc::CallContext& call, std::string_view user,
                                                              absl::Time before, std::string_view before_id,
                                                              int limit) {
  std::vector<Session> sessions;
  absl::Status read = dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(RequireSessionsOf(connection, call, user, "session:all:read"));
    ASSIGN_OR_RETURN(sessions, SessionStore(connection).For(user).List(before, before_id, limit));
    return absl::OkStatus();
  });
  if (user != call.user->user()) {
    // Where and when somebody else signs in is told to nobody without a trace.
    AuditEntry entry = AuditLog::Describe(call, "session.list", absl::StrCat("users/", user, "/sessions/-"));
    entry.user = absl::StrCat("users/", user);
    if (AuditLog::IsRefusal(read)) {
      co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(read));
    }
    CO_RETURN_IF_ERROR(co_await dependencies_.audit->Record(std::move(entry)));
  }
  CO_RETURN_IF_ERROR(read);
  co_return sessions;
}

Awaitable<absl::Status> SignIns::Revoke(const rpc::CallContext& call, std::string_view user, std::string_view session) {
  const std::string name = SessionName(user, session);
  AuditEntry entry = AuditLog::Describe(call, "session.revoke", name);
  entry.user = absl::StrCat("users/", user);
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    std::optional<Session> found;
    if (RequireSessionsOf(connection, call, user, "session:all:revoke").ok()) {
      ASSIGN_OR_RETURN(found, SessionStore(connection).For(user).Find(session));
    }
    if (!found.has_value()) {
      return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", name), "SESSION_NOT_FOUND",
                       {{"session", name}});
    }
    RETURN_IF_ERROR(End(connection, *found, "SESSION_REVOKED"));
    return dependencies_.audit->Append(connection, entry);
  };
  absl::Status revoked = co_await dependencies_.database->Write(std::move(write));
  if (AuditLog::IsRefusal(revoked)) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(revoked));
  }
  co_return revoked;
}

Awaitable<absl::Status> SignIns::RevokeAll(const rpc::CallContext& call, std::string_view user, bool keep_current) {
  AuditEntry entry = AuditLog::Describe(call, "session.revoke_all", absl::StrCat("users/", user, "/sessions/-"));
  entry.user = absl::StrCat("users/", user);
  const std::string keep = keep_current && user == call.user->user() ? call.user->session() : "";
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(RequireSessionsOf(connection, call, user, "session:all:revoke"));
    RETURN_IF_ERROR(SessionStore(connection).For(user).RevokeAll(keep, "SESSION_REVOKED", *dependencies_.revocations));
    return dependencies_.audit->Append(connection, entry);
  };
  absl::Status revoked = co_await dependencies_.database->Write(std::move(write));
  if (AuditLog::IsRefusal(revoked)) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(revoked));
  }
  co_return revoked;
}

Awaitable<absl::Status> SignIns::RevokeByToken(const rpc::CallContext& call, std::string_view user,
                                               std::string_view session, std::string_view kind) {
  AuditEntry entry = AuditLog::Describe(call, "session.revoke", SessionName(user, session));
  entry.user = absl::StrCat("users/", user);
  entry.details = {{"token", std::string(kind)}};
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<Session> found, SessionStore(connection).For(user).Find(session));
    if (!found.has_value() || found->revoked_at.has_value()) {
      return absl::OkStatus();  // It has ended: nothing is decided.
    }
    RETURN_IF_ERROR(End(connection, *found, "SESSION_REVOKED"));
    return dependencies_.audit->Append(connection, entry);
  };
  co_return co_await dependencies_.database->Write(std::move(write));
}

absl::StatusOr<std::optional<Session>> SignIns::FindByRefreshToken(const Secret& refresh_token) {
  std::optional<Session> session;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<SessionStore::RefreshToken> token,
                     SessionStore(connection).FindRefreshTokenAcrossUsers(crypto::Sha256(refresh_token.Reveal())));
    if (token.has_value()) {
      session = std::move(token->session);
    }
    return absl::OkStatus();
  }));
  return session;
}

absl::StatusOr<std::optional<SignIns::Refreshable>> SignIns::CheckRefreshToken(const Secret& refresh_token) {
  std::optional<Refreshable> good;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<SessionStore::RefreshToken> token,
                     SessionStore(connection).FindRefreshTokenAcrossUsers(crypto::Sha256(refresh_token.Reveal())));
    if (!token.has_value() || token->used || token->session.revoked_at.has_value() || HasEnded(token->session)) {
      return absl::OkStatus();
    }
    const absl::StatusOr<Credentials> credentials = UserStore(connection).Get(token->session.user);
    if (credentials.ok() && !credentials->user.disabled) {
      good = Refreshable{.session = std::move(token->session), .expires_at = {}};
      good->expires_at = EndOf(good->session);
    }
    return absl::OkStatus();
  }));
  return good;
}

absl::Status SignIns::RequireSessionsOf(storage::Connection& connection, const rpc::CallContext& call,
                                        std::string_view user, std::string_view permission) {
  if (user == call.user->user()) {
    return absl::OkStatus();
  }
  if (call.user->Require(permission).ok()) {
    const absl::Status found = UserStore(connection).Get(user).status();
    if (!AuditLog::IsRefusal(found)) {
      return found;  // OK, or a failure that is no answer.
    }
  }
  // Whether there is such a user is not told to others.
  const std::string name = absl::StrCat("users/", user);
  return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", name), "USER_NOT_FOUND", {{"user", name}});
}

absl::Status SignIns::End(storage::Connection& connection, const Session& session, std::string_view reason) {
  return SessionStore(connection).For(session.user).Revoke(session.id, reason, *dependencies_.revocations);
}

absl::Time SignIns::EndOf(const Session& session) const {
  return std::min(session.expires_at, session.refreshed_at + options_.session_idle_lifetime);
}

bool SignIns::HasEnded(const Session& session) const { return dependencies_.clock->Now() >= EndOf(session); }

absl::Status SignIns::CheckLive(std::string_view user, std::string_view session) {
  return dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<Session> found, SessionStore(connection).For(user).Find(session));
    if (!found.has_value() || found->revoked_at.has_value()) {
      return SessionRevoked();
    }
    absl::StatusOr<Credentials> credentials = UserStore(connection).Get(user);
    return credentials.ok() && !credentials->user.disabled ? absl::OkStatus() : SessionRevoked();
  });
}

absl::Status SignIns::RequireLive(const UserContext& user) {
  return user.is_service() ? absl::OkStatus() : CheckLive(user.user(), user.session());
}

absl::StatusOr<SignIns::Refreshed> SignIns::RefreshInTransaction(storage::Connection& connection, AuditEntry entry,
                                                                 std::string_view old_hash, std::string_view new_hash) {
  Refreshed result;
  SessionStore sessions(connection);
  ASSIGN_OR_RETURN(std::optional<SessionStore::RefreshToken> token, sessions.FindRefreshTokenAcrossUsers(old_hash));
  if (!token.has_value()) {
    result.refusal = Unauthenticated("the refresh token is not known", "REFRESH_TOKEN_INVALID");
  } else {
    entry.user = absl::StrCat("users/", token->session.user);
    entry.resource = SessionName(token->session.user, token->session.id);
    result.refusal = RefuseRefresh(connection, *token);
  }
  if (!result.refusal.ok()) {
    if (result.refusal.code() != absl::StatusCode::kUnauthenticated) {
      return result.refusal;  // Storage failed: nothing was decided.
    }
    entry.allowed = false;
    entry.reason = ReasonOf(result.refusal);
    RETURN_IF_ERROR(dependencies_.audit->Append(connection, entry));
    return result;
  }

  UserSessions own = sessions.For(token->session.user);
  RETURN_IF_ERROR(own.SetRefreshTokenUsed(old_hash));
  RETURN_IF_ERROR(own.InsertRefreshToken(token->session.id, new_hash));
  RETURN_IF_ERROR(own.SetRefreshed(token->session.id, dependencies_.clock->Now()));
  // Roles as they are now: a change reaches a session with its next refresh.
  ASSIGN_OR_RETURN(Credentials credentials, UserStore(connection).Get(token->session.user));
  ASSIGN_OR_RETURN(result.claims, ClaimsOf(connection, credentials.user, token->session.id));
  result.claims.expires_at = token->session.expires_at;
  RETURN_IF_ERROR(dependencies_.audit->Append(connection, entry));
  return result;
}

// Revokes the session of a token that is used a second time: one of the two who had it stole it
// (RFC 9700 section 4.14).
absl::Status SignIns::RefuseRefresh(storage::Connection& connection, const SessionStore::RefreshToken& token) {
  const Session& session = token.session;
  if (token.used) {
    RETURN_IF_ERROR(End(connection, session, "REFRESH_TOKEN_REUSED"));
    return Unauthenticated("the refresh token was used before: the session is revoked, sign in again",
                           "REFRESH_TOKEN_REUSED");
  }
  if (session.revoked_at.has_value()) {
    return SessionRevoked();
  }
  if (HasEnded(session)) {
    return Unauthenticated("the session has ended: sign in again", "SESSION_EXPIRED");
  }
  return absl::OkStatus();
}

absl::Status SignIns::StoreSession(storage::Connection& connection, const Session& session,
                                   std::string_view refresh_hash) {
  UserSessions own = SessionStore(connection).For(session.user);
  // A run token may outlive the session it came from, and asks whether that was revoked.
  RETURN_IF_ERROR(own.DeleteExpired(session.created_at - kMaxRunTokenLifetime));
  RETURN_IF_ERROR(own.Insert(session));
  return own.InsertRefreshToken(session.id, refresh_hash);
}

IssuedToken SignIns::IssueAccess(TokenClaims claims, absl::Time session_end) const {
  absl::Duration left = session_end - dependencies_.clock->Now();
  return dependencies_.issuer->Issue(std::move(claims), std::min(options_.access_token_lifetime, left));
}

}  // namespace bulkhead::auth
