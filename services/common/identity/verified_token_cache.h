// Tokens that were verified a moment ago: a caller presents the same one with every call.
#ifndef SERVICES_COMMON_IDENTITY_VERIFIED_TOKEN_CACHE_H_
#define SERVICES_COMMON_IDENTITY_VERIFIED_TOKEN_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token.h"

namespace bulkhead {

// Thread-safe. Holds at most so many tokens, by the SHA-256 of their whole text: neither the tokens themselves, nor anything that was refused.
// When it is full, an expired one or one that was not asked for lately makes room.
//
// It decides nothing: whoever finds a token here still has to look at the time, at the key and at revocations.
class VerifiedTokenCache {
 public:
  using Fingerprint = crypto::Digest;

  struct Entry {
    VerifiedToken token;
    std::shared_ptr<const crypto::VerifyingKey> key;  // The one that verified it, not another of the same id.
  };

  // `max_entries` is at least 1.
  explicit VerifiedTokenCache(size_t max_entries);

  static Fingerprint FingerprintOf(const RawToken& token) { return crypto::Sha256Digest(token.Reveal()); }

  std::optional<Entry> Find(const Fingerprint& fingerprint);
  // Entries whose tokens expire before `now` are the first to make room.
  void Insert(const Fingerprint& fingerprint, Entry entry, absl::Time now);
  void Erase(const Fingerprint& fingerprint);

  // Forget all tokens of a session, or of a key. They look at every entry: for rare events.
  void ForgetSession(std::string_view user, std::string_view session);
  void ForgetKey(std::string_view key_id);

  size_t size() const;

 private:
  // Its bytes are as good as random already.
  struct HashFingerprint {
    size_t operator()(const Fingerprint& fingerprint) const {
      size_t hash;
      std::memcpy(&hash, fingerprint.data(), sizeof(hash));
      return hash;
    }
  };
  struct Slot {
    Fingerprint fingerprint;
    Entry entry;
    bool used_lately = false;
  };
  // One part of the whole, so that threads do not wait for each other. Room is found by the clock algorithm: a hand goes round over
  // the slots and spares, once, those that were used since it last came by.
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<Fingerprint, size_t, HashFingerprint> index ABSL_GUARDED_BY(mutex);
    std::vector<Slot> slots ABSL_GUARDED_BY(mutex);
    size_t hand ABSL_GUARDED_BY(mutex) = 0;

    size_t MakeRoom(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    void Remove(size_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  };

  Shard& ShardOf(const Fingerprint& fingerprint) { return shards_[fingerprint.back() % shards_.size()]; }
  void ForgetIf(absl::FunctionRef<bool(const VerifiedToken&)> condition);

  std::vector<Shard> shards_;
  const size_t slots_per_shard_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_VERIFIED_TOKEN_CACHE_H_
