// Sessions and their refresh tokens in the database. No decisions: those are made by SignIns,
// inside one transaction each.
#ifndef SERVICES_AUTH_SESSION_STORE_H_
#define SERVICES_AUTH_SESSION_STORE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/revocation_log.h"
#include "services/common/storage/database.h"

namespace bulkhead::auth {

struct Session {
  std::string id;
  std::string user;
  absl::Time created_at;
  absl::Time refreshed_at;
  absl::Time expires_at;  // At the latest.
  std::optional<absl::Time> revoked_at;
  std::string client;
  std::string address;
  std::string device;  // As its user calls it; may be empty.
  std::string method;  // How it signed in: "password" or "providers/<id>".
};

// The sessions of one user.
class UserSessions {
 public:
  absl::Status Insert(const Session& session);
  // nullopt for another user's.
  absl::StatusOr<std::optional<Session>> Find(std::string_view id);
  // Newest first: those that began before `before`, or in the same microsecond with a smaller id
  // than `before_id`.
  absl::StatusOr<std::vector<Session>> List(absl::Time before, std::string_view before_id, int limit);
  absl::Status SetRefreshed(std::string_view id, absl::Time when);
  // Each session that ends goes into `log` with `reason` (revocation_log.h), so that work under it ends too; one that was revoked before
  // stays as it is.
  absl::Status Revoke(std::string_view id, std::string_view reason, RevocationLog& log);
  // All but `keep` (which may be empty).
  absl::Status RevokeAll(std::string_view keep, std::string_view reason, RevocationLog& log);
  absl::Status DeleteAll(std::string_view reason, RevocationLog& log);
  // Forgets sessions, with their refresh tokens, that ended before `before`.
  absl::Status DeleteExpired(absl::Time before);

  // Refresh tokens are kept as SHA-256 hashes: 256 random bits need no slow hash.
  absl::Status InsertRefreshToken(std::string_view session, std::string_view hash);
  absl::Status SetRefreshTokenUsed(std::string_view hash);

 private:
  friend class SessionStore;
  absl::Status RevokeThose(std::string_view condition, std::string_view value, std::string_view reason,
                           RevocationLog& log);
  UserSessions(storage::Connection& connection, std::string_view user) : connection_(connection), user_(user) {}

  storage::Connection& connection_;
  const std::string user_;
};

// Within one transaction or snapshot: lives as long as `connection` is at hand.
class SessionStore {
 public:
  explicit SessionStore(storage::Connection& connection) : connection_(connection) {}

  UserSessions For(std::string_view user) { return UserSessions(connection_, user); }

  struct RefreshToken {
    std::string hash;
    bool used = false;
    Session session;
  };
  // Whoever presents a refresh token is not known yet.
  absl::StatusOr<std::optional<RefreshToken>> FindRefreshTokenAcrossUsers(std::string_view hash);

 private:
  storage::Connection& connection_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_SESSION_STORE_H_
