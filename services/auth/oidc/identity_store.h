// Who users are at OpenID providers. No decisions.
#ifndef SERVICES_AUTH_OIDC_IDENTITY_STORE_H_
#define SERVICES_AUTH_OIDC_IDENTITY_STORE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/storage/connection.h"

namespace bulkhead::auth::oidc {

struct Identity {
  std::string id;
  std::string user;
  std::string provider;
  std::string subject;
  std::string email;  // For display; proves nothing.
  absl::Time created_at;
};

// The identities of one user.
class UserIdentities {
 public:
  // ALREADY_EXISTS `STORAGE_CONFLICT` when (provider, subject) is linked to anybody.
  absl::Status Insert(const Identity& identity);
  // Oldest first.
  absl::StatusOr<std::vector<Identity>> List();
  absl::Status SetEmail(std::string_view id, std::string_view email);
  absl::Status Delete(std::string_view id);

 private:
  friend class IdentityStore;
  UserIdentities(storage::Connection& connection, std::string_view user) : connection_(connection), user_(user) {}

  storage::Connection& connection_;
  const std::string user_;
};

// Within one transaction or snapshot: lives as long as `connection` is at hand.
class IdentityStore {
 public:
  explicit IdentityStore(storage::Connection& connection) : connection_(connection) {}

  UserIdentities For(std::string_view user) { return UserIdentities(connection_, user); }

  // Whoever comes back from a provider is not known yet.
  absl::StatusOr<std::optional<Identity>> FindAcrossUsers(std::string_view provider, std::string_view subject);

 private:
  storage::Connection& connection_;
};

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_IDENTITY_STORE_H_
