// Sign-ins that have begun and wait for the browser to come back. No decisions.
#ifndef SERVICES_AUTH_OIDC_ATTEMPT_STORE_H_
#define SERVICES_AUTH_OIDC_ATTEMPT_STORE_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/storage/connection.h"

namespace bulkhead::auth::oidc {

struct Attempt {
  std::string state_hash;  // SHA-256: whoever reads the database cannot finish somebody's sign-in.
  std::string provider;
  std::string redirect_uri;
  std::string sealed;        // Verifier and nonce.
  std::string link_user;     // Whose account it is for; "" for a sign-in.
  std::string link_session;  // And by which session of his.
  std::string device;
  std::string address;  // Whose share of the table it takes; "" for none.
  absl::Time expires_at;
};

// Within one transaction. Nobody is signed in yet, so attempts belong to no user.
class AttemptStore {
 public:
  explicit AttemptStore(storage::Connection& connection) : connection_(connection) {}

  absl::Status InsertAcrossUsers(const Attempt& attempt);
  // Removes it: a state is good for one try. Nullopt when there is none.
  absl::StatusOr<std::optional<Attempt>> TakeAcrossUsers(std::string_view state_hash);
  // When the oldest of an address ends, if it has `limit` or more.
  absl::StatusOr<std::optional<absl::Time>> FullUntilAcrossUsers(std::string_view address, int64_t limit);
  // Drops what is over, and then the oldest, until fewer than `limit` are left.
  absl::Status PruneAcrossUsers(absl::Time now, int64_t limit);

 private:
  storage::Connection& connection_;
};

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_ATTEMPT_STORE_H_
