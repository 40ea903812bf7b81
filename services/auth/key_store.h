// The keys that sign tokens: made here, sealed at rest, rotated with overlap.
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

// Thread-safe. The newest key signs; an older one verifies until the last token it may have signed
// has expired.
class KeyStore : public KeySource {
 public:
  struct Dependencies {  // All outlive the store.
    storage::Database* database = nullptr;
    const crypto::Sealer* sealer = nullptr;
    const Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    AuditLog* audit = nullptr;
    RevocationLog* revocations = nullptr;
  };

  // Loads the keys, and makes the first. `overlap`: how long a key verifies after its successor was
  // made; at least the longest life of a token. DATA_LOSS `SEALED_DATA_INVALID` when the sealing
  // key is not the one that sealed them.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(absl::Duration overlap,
                                                        Dependencies dependencies);

  // A key that is neither expired nor revoked.
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view key_id) override;

  struct Key {
    std::string id;
    std::shared_ptr<const crypto::SigningKey> key;
    absl::Time created_at;
    std::optional<absl::Time> expires_at;  // Absent for the one that signs.
  };
  Key Signer() const;
  // Those that verify, newest first.
  std::vector<Key> Valid() const;

  Awaitable<absl::Status> Rotate(const rpc::CallContext& call, crypto::Algorithm algorithm);

  // NOT_FOUND `KEY_NOT_FOUND`; FAILED_PRECONDITION `KEY_IS_LAST` for the key that signs: rotate
  // first.
  Awaitable<absl::Status> Revoke(const rpc::CallContext& call, std::string_view key_id);

 private:
  KeyStore(absl::Duration overlap, Dependencies dependencies)
      : overlap_(overlap), dependencies_(dependencies) {}

  // Makes a key, and lets the older ones end after the overlap.
  absl::Status Insert(storage::Connection& connection, crypto::Algorithm algorithm);
  absl::Status RevokeNow(storage::Connection& connection, std::string_view key_id);
  // Reads the database into keys_.
  absl::Status Load();

  const absl::Duration overlap_;
  const Dependencies dependencies_;
  absl::Mutex
      load_mutex_;  // One reader at a time, so that an older snapshot never replaces a newer one.
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(load_mutex_);
  std::vector<Key> keys_ ABSL_GUARDED_BY(mutex_);  // Newest first, without the revoked.
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_KEY_STORE_H_
