// Sets of public keys as others publish them. RFC 7517, RFC 7518 section 6, RFC 8037.
#ifndef SERVICES_COMMON_IDENTITY_JWKS_H_
#define SERVICES_COMMON_IDENTITY_JWKS_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/crypto/signature.h"

namespace bulkhead {

// Immutable; thread-safe; cheap to copy.
class KeySet {
 public:
  struct Key {
    std::string id;  // "" when the set gives none.
    std::shared_ptr<const crypto::VerifyingKey> key;
  };

  explicit KeySet(std::vector<Key> keys = {}) : keys_(std::make_shared<const std::vector<Key>>(std::move(keys))) {}

  // The key `id` for signatures of `algorithm`; null when there is none. `id` is not "".
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view id, crypto::Algorithm algorithm) const;
  // The key for signatures of `algorithm` when there is exactly one; else null.
  std::shared_ptr<const crypto::VerifyingKey> FindOnly(crypto::Algorithm algorithm) const;
  // Whether a usable key has this id.
  bool Knows(std::string_view id) const;
  // In the order of the set; an RSA key that does not say what it is for is there twice, for RS256 and for PS256: which of them is
  // accepted is the verifier's policy.
  const std::vector<Key>& keys() const { return *keys_; }

 private:
  std::shared_ptr<const std::vector<Key>> keys_;
};

// Reads a JWK Set with keys for EdDSA (OKP Ed25519), ES256 (EC P-256), RS256 and PS256 (RSA).
//
// Ignored, as RFC 7517 section 5 asks: keys of other types, curves and algorithms, and those that are not for verification by their `use` or `key_ops`.
// Refused with the whole set, as somebody has made a mistake that should be seen, INVALID_ARGUMENT, domain bulkhead.auth:
//   KEY_SET_TOO_LARGE: more than 256 KiB or 100 keys.
//   KEY_SET_INVALID (metadata `problem`, and `kid` where it is a key's): no JSON, a member twice, no `keys`; a key id twice, a private or
//   symmetric key among them, a missing or non-canonical parameter, `use` and `key_ops` that disagree, a point off the curve, an RSA key under 2048 bits, with an
//   even exponent, or made by the generator of CVE-2017-15361 (ROCA).
absl::StatusOr<KeySet> ParseKeySet(std::string_view json);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_JWKS_H_
