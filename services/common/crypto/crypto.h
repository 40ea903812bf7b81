// Hashes, MACs, random bytes, password hashing. All of it BoringSSL, whose headers no other folder includes.
// Everything here is thread-safe and does no I/O.
#ifndef SERVICES_COMMON_CRYPTO_CRYPTO_H_
#define SERVICES_COMMON_CRYPTO_CRYPTO_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/crypto/secret.h"

namespace bulkhead::crypto {

// `count` bytes from the operating system's generator.
std::string RandomBytes(size_t count);
Secret RandomSecret(size_t count);

std::string Sha256(std::string_view data);  // 32 bytes. FIPS 180-4.
std::string Sha512(std::string_view data);  // 64 bytes. FIPS 180-4.
using Digest = std::array<uint8_t, 32>;
Digest Sha256Digest(std::string_view data);  // The same without an allocation.
// 20 bytes. Broken as a hash: only to find a password in lists of leaked ones, which are published under it. FIPS 180-4.
Secret Sha1ForBreachLists(const Secret& data);
std::string HmacSha256(const Secret& key, std::string_view data);  // 32 bytes. RFC 2104.
bool ConstantTimeEquals(std::string_view a, std::string_view b);

// Cost parameters of scrypt, RFC 7914.
struct ScryptParameters {
  uint64_t n = 1 << 15;
  uint64_t r = 8;
  uint64_t p = 1;
};
absl::StatusOr<Secret> Scrypt(const Secret& password, std::string_view salt, const ScryptParameters& parameters,
                              size_t key_bytes);

// AES-256-GCM under one key, with a random nonce a message. NIST SP 800-38D.
class Sealer {
 public:
  // INVALID_ARGUMENT `SEALING_KEY_INVALID` unless `key` has 32 bytes.
  static absl::StatusOr<std::unique_ptr<Sealer>> Create(Secret key);
  ~Sealer();

  // nonce || ciphertext || tag. `associated` is authenticated, not stored: say there what the secret belongs to.
  std::string Seal(std::string_view plaintext, std::string_view associated) const;
  // DATA_LOSS `SEALED_DATA_INVALID` when key, data or `associated` differ from the sealing's.
  absl::StatusOr<Secret> Open(std::string_view sealed, std::string_view associated) const;

 private:
  struct State;
  explicit Sealer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::crypto

#endif  // SERVICES_COMMON_CRYPTO_CRYPTO_H_
