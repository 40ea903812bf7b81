// Signatures: Ed25519 (RFC 8032), ECDSA P-256 with SHA-256 in the fixed r||s form of JWS (RFC 7518 section 3.4), and
// RSA with SHA-256 (PKCS #1 v1.5 and PSS), which is verified only.
#ifndef SERVICES_COMMON_CRYPTO_SIGNATURE_H_
#define SERVICES_COMMON_CRYPTO_SIGNATURE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/crypto/secret.h"

namespace bulkhead::crypto {

enum class Algorithm { kEdDsa, kEs256, kRs256, kPs256 };
std::string_view AlgorithmName(Algorithm algorithm);  // The JWS name: "EdDSA", "ES256", ...

// A public key bound to one algorithm. Immutable, thread-safe.
class VerifyingKey {
 public:
  // Raw parameters, as a JWK holds them after base64url (RFC 7517, RFC 8037). INVALID_ARGUMENT `KEY_INVALID`: off the
  // curve, wrong length, RSA modulus under 2048 or over 8192 bits or of the kind that ROCA factors, exponent even or
  // below 3.
  static absl::StatusOr<std::shared_ptr<const VerifyingKey>> FromEd25519(std::string_view x);
  static absl::StatusOr<std::shared_ptr<const VerifyingKey>> FromP256(std::string_view x, std::string_view y);
  static absl::StatusOr<std::shared_ptr<const VerifyingKey>> FromRsa(Algorithm algorithm, std::string_view n,
                                                                     std::string_view e);
  virtual ~VerifyingKey() = default;
  virtual Algorithm algorithm() const = 0;
  virtual bool Verify(std::string_view message, std::string_view signature) const = 0;
};

// A private key for kEdDsa or kEs256. Immutable, thread-safe.
class SigningKey {
 public:
  static absl::StatusOr<std::unique_ptr<SigningKey>> Generate(Algorithm algorithm);
  // The form that Serialize gives. INVALID_ARGUMENT `KEY_INVALID`.
  static absl::StatusOr<std::unique_ptr<SigningKey>> Parse(Algorithm algorithm, const Secret& serialized);
  virtual ~SigningKey() = default;
  virtual Algorithm algorithm() const = 0;
  virtual std::string Sign(std::string_view message) const = 0;
  virtual Secret Serialize() const = 0;  // To be sealed before it is stored.
  virtual std::shared_ptr<const VerifyingKey> verifying_key() const = 0;
  // Public parameters for a JWK: Ed25519 (x, "") or P-256 (x, y), raw bytes.
  virtual std::pair<std::string, std::string> public_parameters() const = 0;
};

}  // namespace bulkhead::crypto

#endif  // SERVICES_COMMON_CRYPTO_SIGNATURE_H_
