// Passwords at rest: scrypt (RFC 7914), with its parameters beside each hash so that they can be
// raised later.
#ifndef SERVICES_AUTH_PASSWORD_HASHER_H_
#define SERVICES_AUTH_PASSWORD_HASHER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::auth {

// Thread-safe. Hashes on the pool: one hash takes tens of milliseconds and as many megabytes.
class PasswordHasher {
 public:
  // `pool` outlives the hasher.
  PasswordHasher(crypto::ScryptParameters parameters, BlockingPool* pool);

  // "scrypt$n$r$p$salt$hash".
  Awaitable<absl::StatusOr<std::string>> Hash(const Secret& password);

  // Whether `password` belongs to `stored`. Without a stored hash (an unknown login, or "" of an
  // account that has no password) the answer is false, after the same work. DATA_LOSS `PASSWORD_HASH_MALFORMED` when `stored` is none of ours.
  Awaitable<absl::StatusOr<bool>> Verify(const Secret& password, const std::optional<std::string>& stored);

  // True when `stored` was made with other parameters than today's.
  bool NeedsRehash(const std::string& stored) const;

  // Hashes computed so far: a measure of load, and how tests see that an unknown login costs as
  // much as a known one.
  int64_t hashes() const { return hashes_.load(std::memory_order_relaxed); }

 private:
  Awaitable<absl::StatusOr<Secret>> Derive(const Secret& password, const std::string& salt,
                                           const crypto::ScryptParameters& parameters);

  const crypto::ScryptParameters parameters_;
  BlockingPool* const pool_;
  // What unknown logins are compared with: a salt of this process.
  const std::string dummy_salt_;
  std::atomic<int64_t> hashes_ = 0;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_PASSWORD_HASHER_H_
