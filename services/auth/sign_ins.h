// Sign-in, and the life of sessions.
#ifndef SERVICES_AUTH_SIGN_INS_H_
#define SERVICES_AUTH_SIGN_INS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/audit_log.h"
#include "services/auth/password_hasher.h"
#include "services/auth/revocation_log.h"
#include "services/auth/session_store.h"
#include "services/auth/sign_in_throttle.h"
#include "services/auth/token_issuer.h"
#include "services/auth/user_store.h"
#include "services/common/crypto/secret.h"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// The longest that a run token may live. Sessions are remembered as long after their end, and keys
// verify as long after their rotation.
inline constexpr absl::Duration kMaxRunTokenLifetime = absl::Hours(24 * 7);

// What a sign-in or a refresh gives.
struct SignedIn {
  IssuedToken access;
  Secret refresh_token;
  std::string session;
  std::string user;
};

// How sessions begin that were not begun with a provider's word: "providers/<id>" otherwise.
inline constexpr std::string_view kPasswordMethod = "password";

// A device's name in the list of sessions: at most 100 characters, none of them a control character; may be empty.
// INVALID_ARGUMENT `DEVICE_INVALID`.
absl::Status ValidateDevice(std::string_view device);

// Thread-safe.
class SignIns {
 public:
  struct Options {
    absl::Duration access_token_lifetime = absl::Minutes(15);
    absl::Duration session_idle_lifetime = absl::Hours(24 * 14);  // Without a refresh.
    absl::Duration session_lifetime = absl::Hours(24 * 90);
  };
  struct Dependencies {  // All outlive it.
    storage::Database* database = nullptr;
    const Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    PasswordHasher* hasher = nullptr;
    SignInThrottle* throttle = nullptr;
    const TokenIssuer* issuer = nullptr;
    AuditLog* audit = nullptr;
    RevocationLog* revocations = nullptr;
  };

  SignIns(Options options, Dependencies dependencies) : options_(options), dependencies_(dependencies) {}

  // UNAUTHENTICATED `CREDENTIALS_INVALID` (the same for an unknown login, a wrong password and a
  // disabled user, after the same work); RESOURCE_EXHAUSTED `SIGN_IN_THROTTLED`; INVALID_ARGUMENT
  // `DEVICE_INVALID`.
  Awaitable<absl::StatusOr<SignedIn>> SignIn(const rpc::CallContext& call, std::string login, const Secret& password,
                                             std::string device = "");

  // A sign-in that was proved in another way than by a password.
  struct Beginning {
    std::string method;  // "providers/<id>"
    std::string device;  // As ValidateDevice takes it.
  };
  // Says whose session it is, by his id, within the transaction that begins it: what it writes (a new account, a used
  // state) stays exactly when the session begins.
  using Authenticate = absl::AnyInvocable<absl::StatusOr<std::string>(storage::Connection&)>;
  // Begins a session, and records that, or the refusal of `authenticate`, in the audit log. UNAUTHENTICATED
  // `CREDENTIALS_INVALID` for a disabled user; and what `authenticate` returns.
  Awaitable<absl::StatusOr<SignedIn>> BeginFor(const rpc::CallContext& call, Beginning beginning,
                                               Authenticate authenticate);

  // UNAUTHENTICATED `REFRESH_TOKEN_INVALID`, `REFRESH_TOKEN_REUSED` (and the session is revoked),
  // `SESSION_EXPIRED`, `SESSION_REVOKED`.
  Awaitable<absl::StatusOr<SignedIn>> Refresh(const rpc::CallContext& call, const Secret& refresh_token);

  // A user's sessions, see UserSessions::List: the caller's, or another's for one who may `session:all:read`. NOT_FOUND
  // `USER_NOT_FOUND`.
  Awaitable<absl::StatusOr<std::vector<Session>>> List(const rpc::CallContext& call, std::string_view user,
                                                       absl::Time before, std::string_view before_id, int limit);

  // The caller's own, or another's for one who may `session:all:revoke`. NOT_FOUND `SESSION_NOT_FOUND`, also for
  // another's.
  Awaitable<absl::Status> Revoke(const rpc::CallContext& call, std::string_view user, std::string_view session);

  // All of a user's; of his own, all but the one that asks when `keep_current`. NOT_FOUND `USER_NOT_FOUND`.
  Awaitable<absl::Status> RevokeAll(const rpc::CallContext& call, std::string_view user, bool keep_current);

  // Ends a session for one who holds nothing but a token of it: `kind` ("access", "refresh") is recorded.
  Awaitable<absl::Status> RevokeByToken(const rpc::CallContext& call, std::string_view user, std::string_view session,
                                        std::string_view kind);

  // The session that a refresh token belongs to, whatever it is worth; nullopt when it is not known.
  absl::StatusOr<std::optional<Session>> FindByRefreshToken(const Secret& refresh_token);
  // The same when the token is good for a refresh now, with its end; nullopt when it is not.
  struct Refreshable {
    Session session;
    absl::Time expires_at;
  };
  absl::StatusOr<std::optional<Refreshable>> CheckRefreshToken(const Secret& refresh_token);

  // UNAUTHENTICATED `SESSION_REVOKED` when the session was revoked or its user disabled or deleted.
  // An access token outlives its session's end by minutes; where that is too long, ask here.
  absl::Status CheckLive(std::string_view user, std::string_view session);
  // The same for whoever calls the auth service itself; services have no session.
  absl::Status RequireLive(const UserContext& user);

 private:
  // The outcome of a refresh's transaction: a refusal is no error there, since what it revokes must
  // be committed.
  struct Refreshed {
    absl::Status refusal;
    TokenClaims claims;
  };
  absl::StatusOr<Refreshed> RefreshInTransaction(storage::Connection& connection, AuditEntry entry,
                                                 std::string_view old_hash, std::string_view new_hash);
  absl::Status RefuseRefresh(storage::Connection& connection, const SessionStore::RefreshToken& token);
  // OK for the sessions of the caller, and for those of another user with `permission`; NOT_FOUND `USER_NOT_FOUND`.
  static absl::Status RequireSessionsOf(storage::Connection& connection, const rpc::CallContext& call,
                                        std::string_view user, std::string_view permission);
  // Marks it as revoked: the one place where a single session ends before its time.
  absl::Status End(storage::Connection& connection, const Session& session, std::string_view reason);
  // When it ends if it is not refreshed.
  absl::Time EndOf(const Session& session) const;
  bool HasEnded(const Session& session) const;
  // BeginFor under an entry that may know more.
  Awaitable<absl::StatusOr<SignedIn>> Begin(const rpc::CallContext& call, AuditEntry entry, Beginning beginning,
                                            Authenticate authenticate);
  absl::Status StoreSession(storage::Connection& connection, const Session& session, std::string_view refresh_hash);
  IssuedToken IssueAccess(TokenClaims claims, absl::Time session_end) const;

  const Options options_;
  const Dependencies dependencies_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_SIGN_INS_H_
