// The keys that sign tokens: made here, sealed at rest, rotated with overlap, withdrawn at once.
#ifndef SERVICES_AUTH_KEY_STORE_H_
#define SERVICES_AUTH_KEY_STORE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/auth/audit_log.h"
#include "services/auth/revocation_log.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// Thread-safe. One key signs. Its successor is there already and is published with it, so that everybody knows it before its first token. An older
// one verifies until the last token that it may have signed has expired.
class KeyStore : public KeySource {
 public:
  struct Options {
    // How long a key verifies after its successor was made; at least the longest life of a token.
    absl::Duration overlap;
    // What new keys are for where nobody asks for another: kEdDsa or kEs256.
    crypto::Algorithm algorithm = crypto::Algorithm::kEdDsa;
  };
  struct Dependencies {  // All outlive the store.
    storage::Database* database = nullptr;
    const crypto::Sealer* sealer = nullptr;
    const Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    AuditLog* audit = nullptr;
    RevocationLog* revocations = nullptr;
  };

  // Loads the keys, and makes the first. DATA_LOSS `SEALED_DATA_INVALID` when the sealing key is not the one that sealed them.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(Options options, Dependencies dependencies);

  // A key that is neither expired nor revoked.
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view key_id) override;

  struct Key {
    std::string id;
    std::shared_ptr<const crypto::SigningKey> key;
    std::shared_ptr<const crypto::VerifyingKey> verifying_key;
    absl::Time created_at;
    std::optional<absl::Time> signs_since;  // Absent for the successor.
    std::optional<absl::Time> expires_at;   // Absent for the one that signs and its successor.
  };
  std::shared_ptr<const Key> Signer() const;
  // The successor.
  std::shared_ptr<const Key> Upcoming() const;
  // Those that verify: the one that signs, then the newest first.
  std::vector<std::shared_ptr<const Key>> Valid() const;

  // kVerifying: also the successor, whose `expires_at` is absent.
  enum class State { kSigning, kVerifying, kExpired, kRevoked };
  // One key as an administrator sees it.
  struct Description {
    std::string id;
    crypto::Algorithm algorithm;
    State state;
    absl::Time created_at;
    std::optional<absl::Time> expires_at;
    std::optional<absl::Time> revoked_at;
  };
  // All of them, in the order of Valid, with those that ended in the last 90 days.
  absl::StatusOr<std::vector<Description>> List() const;

  // Lets another key sign from now on, of the options' algorithm unless one is given: the successor when it fits, a new one otherwise.
  Awaitable<absl::Status> Rotate(const rpc::CallContext& call, std::optional<crypto::Algorithm> algorithm);

  // Withdraws a key: everybody is told through the revocation log. When it is the one that signs, another one of the same algorithm takes its place in
  // the same transaction. A key that is withdrawn already stays so. NOT_FOUND `KEY_NOT_FOUND`.
  Awaitable<absl::Status> Revoke(const rpc::CallContext& call, std::string_view key_id);

 private:
  KeyStore(Options options, Dependencies dependencies) : options_(options), dependencies_(dependencies) {}

  // Makes a key; it is a successor when `signs_since` is absent.
  absl::Status Insert(storage::Connection& connection, crypto::Algorithm algorithm,
                      std::optional<absl::Time> signs_since);
  // Makes the successor when there is none of the options' algorithm.
  absl::Status Prepare(storage::Connection& connection);
  // Lets another key sign, the one that did end after the overlap, and prepares the next.
  absl::Status Succeed(storage::Connection& connection, crypto::Algorithm algorithm);
  absl::Status RevokeNow(storage::Connection& connection, std::string_view key_id, const AuditEntry& entry);
  // Reads the database into keys_.
  absl::Status Load();

  const Options options_;
  const Dependencies dependencies_;
  absl::Mutex load_mutex_;  // One reader at a time, so that an older snapshot never replaces a newer one.
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(load_mutex_);
  // Without the revoked, in the order of Valid.
  std::vector<std::shared_ptr<const Key>> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_KEY_STORE_H_
