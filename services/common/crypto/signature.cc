#include "services/common/crypto/signature.h"

#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/roca.h"
#include "services/common/status/error.h"

namespace bulkhead::crypto {
namespace {

constexpr size_t kEd25519SeedBytes = 32;
constexpr size_t kP256FieldBytes = 32;
constexpr unsigned kMinRsaBits = 2048;
constexpr unsigned kMaxRsaBits = 8192;
constexpr unsigned kMaxRsaExponentBits = 33;  // What BoringSSL itself accepts; keys in use have 17.

const uint8_t* Bytes(std::string_view data) { return reinterpret_cast<const uint8_t*>(data.data()); }
uint8_t* Bytes(std::string& data) { return reinterpret_cast<uint8_t*>(data.data()); }

bssl::UniquePtr<BIGNUM> ToNumber(std::string_view big_endian) {
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(Bytes(big_endian), big_endian.size(), /*ret=*/nullptr));
}

// `number` as a big-endian field element of P-256.
std::string ToField(const BIGNUM* number) {
  std::string bytes(kP256FieldBytes, '\0');
  CHECK(BN_bn2bin_padded(Bytes(bytes), bytes.size(), number) == 1);
  return bytes;
}

using Digest = std::array<uint8_t, SHA256_DIGEST_LENGTH>;

Digest Sha256Of(std::string_view message) {
  Digest digest;
  SHA256(Bytes(message), message.size(), digest.data());
  return digest;
}

absl::Status KeyInvalid(std::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("The key is refused: ", problem, "."),
                   {.domain = "bulkhead.crypto", .reason = "KEY_INVALID"});
}

// --- Ed25519 -------------------------------------------------------------------------------------

class Ed25519VerifyingKey : public VerifyingKey {
 public:
  explicit Ed25519VerifyingKey(std::string_view x) : x_(x) {}
  Algorithm algorithm() const override { return Algorithm::kEdDsa; }
  bool Verify(std::string_view message, std::string_view signature) const override {
    return signature.size() == ED25519_SIGNATURE_LEN &&
           ED25519_verify(Bytes(message), message.size(), Bytes(signature), Bytes(x_)) == 1;
  }

 private:
  const std::string x_;
};

class Ed25519SigningKey : public SigningKey {
 public:
  // `seed` has 32 bytes: the private key of RFC 8032.
  explicit Ed25519SigningKey(const Secret& seed) : public_(ED25519_PUBLIC_KEY_LEN, '\0') {
    std::string private_key(ED25519_PRIVATE_KEY_LEN, '\0');
    ED25519_keypair_from_seed(Bytes(public_), Bytes(private_key), Bytes(seed.Reveal()));
    private_ = Secret(std::move(private_key));
  }
  Algorithm algorithm() const override { return Algorithm::kEdDsa; }
  std::string Sign(std::string_view message) const override {
    std::string signature(ED25519_SIGNATURE_LEN, '\0');
    CHECK(ED25519_sign(Bytes(signature), Bytes(message), message.size(), Bytes(private_.Reveal())) == 1);
    return signature;
  }
  // BoringSSL's private key is the seed with the public key behind it.
  Secret Serialize() const override { return Secret(std::string(private_.Reveal().substr(0, kEd25519SeedBytes))); }
  std::shared_ptr<const VerifyingKey> verifying_key() const override {
    return std::make_shared<Ed25519VerifyingKey>(public_);
  }
  std::pair<std::string, std::string> public_parameters() const override { return {public_, ""}; }

 private:
  std::string public_;
  Secret private_;
};

// The y coordinates of the eight points whose order divides 8, in all spellings. Under such a key there is a signature that fits any message.
// RFC 8032 does not exclude them.
bool IsOfSmallOrder(std::string_view x) {
  constexpr std::string_view kPoints[] = {
      std::string_view("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                       "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
                       32),
      std::string_view("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                       "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
                       32),
      std::string_view("\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                       32),
      std::string_view("\xed\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                       32),
      std::string_view("\xee\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                       32),
      std::string_view("\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0"
                       "\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
                       32),
      std::string_view("\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f"
                       "\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
                       32),
  };
  std::string y(x);
  y.back() = static_cast<char>(y.back() & 0x7F);  // The sign of the other coordinate.
  for (const std::string_view point : kPoints) {
    if (y == point) {
      return true;
    }
  }
  return false;
}

// --- ECDSA P-256 ---------------------------------------------------------------------------------

class P256VerifyingKey : public VerifyingKey {
 public:
  explicit P256VerifyingKey(bssl::UniquePtr<EC_KEY> key) : key_(std::move(key)) {}
  Algorithm algorithm() const override { return Algorithm::kEs256; }
  bool Verify(std::string_view message, std::string_view signature) const override {
    if (signature.size() != 2 * kP256FieldBytes) {
      return false;
    }
    bssl::UniquePtr<ECDSA_SIG> parsed(ECDSA_SIG_new());
    CHECK(ECDSA_SIG_set0(parsed.get(), ToNumber(signature.substr(0, kP256FieldBytes)).release(),
                         ToNumber(signature.substr(kP256FieldBytes)).release()) == 1);
    const Digest digest = Sha256Of(message);
    return ECDSA_do_verify(digest.data(), digest.size(), parsed.get(), key_.get()) == 1;
  }

 private:
  const bssl::UniquePtr<EC_KEY> key_;
};

class P256SigningKey : public SigningKey {
 public:
  explicit P256SigningKey(bssl::UniquePtr<EC_KEY> key) : key_(std::move(key)) {}
  Algorithm algorithm() const override { return Algorithm::kEs256; }
  std::string Sign(std::string_view message) const override {
    const Digest digest = Sha256Of(message);
    bssl::UniquePtr<ECDSA_SIG> signature(ECDSA_do_sign(digest.data(), digest.size(), key_.get()));
    CHECK(signature != nullptr);
    return absl::StrCat(ToField(ECDSA_SIG_get0_r(signature.get())), ToField(ECDSA_SIG_get0_s(signature.get())));
  }
  Secret Serialize() const override { return Secret(ToField(EC_KEY_get0_private_key(key_.get()))); }
  std::shared_ptr<const VerifyingKey> verifying_key() const override {
    return std::make_shared<P256VerifyingKey>(bssl::UpRef(key_));
  }
  std::pair<std::string, std::string> public_parameters() const override {
    bssl::UniquePtr<BIGNUM> x(BN_new());
    bssl::UniquePtr<BIGNUM> y(BN_new());
    CHECK(EC_POINT_get_affine_coordinates_GFp(EC_KEY_get0_group(key_.get()), EC_KEY_get0_public_key(key_.get()),
                                              x.get(), y.get(), /*ctx=*/nullptr) == 1);
    return {ToField(x.get()), ToField(y.get())};
  }

 private:
  const bssl::UniquePtr<EC_KEY> key_;
};

bssl::UniquePtr<EC_KEY> NewP256() { return bssl::UniquePtr<EC_KEY>(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1)); }

absl::StatusOr<std::unique_ptr<SigningKey>> ParseP256(const Secret& serialized) {
  bssl::UniquePtr<EC_KEY> key = NewP256();
  bssl::UniquePtr<BIGNUM> number = ToNumber(serialized.Reveal());
  bssl::UniquePtr<EC_POINT> point(EC_POINT_new(EC_KEY_get0_group(key.get())));
  // EC_KEY_set_private_key refuses what is not between 1 and the group's order.
  if (serialized.Reveal().size() != kP256FieldBytes || EC_KEY_set_private_key(key.get(), number.get()) != 1 ||
      EC_POINT_mul(EC_KEY_get0_group(key.get()), point.get(), number.get(), /*q=*/nullptr, /*m=*/nullptr,
                   /*ctx=*/nullptr) != 1 ||
      EC_KEY_set_public_key(key.get(), point.get()) != 1 || EC_KEY_check_key(key.get()) != 1) {
    BN_clear(number.get());
    return KeyInvalid("a private P-256 key is a number of 32 bytes below the group's order");
  }
  BN_clear(number.get());
  return std::make_unique<P256SigningKey>(std::move(key));
}

// --- RSA -----------------------------------------------------------------------------------------

class RsaVerifyingKey : public VerifyingKey {
 public:
  RsaVerifyingKey(Algorithm algorithm, bssl::UniquePtr<RSA> key) : algorithm_(algorithm), key_(std::move(key)) {}
  Algorithm algorithm() const override { return algorithm_; }
  bool Verify(std::string_view message, std::string_view signature) const override {
    const Digest digest = Sha256Of(message);
    if (algorithm_ == Algorithm::kPs256) {
      return RSA_verify_pss_mgf1(key_.get(), digest.data(), digest.size(), EVP_sha256(), EVP_sha256(),
                                 /*salt_len=*/SHA256_DIGEST_LENGTH, Bytes(signature), signature.size()) == 1;
    }
    return RSA_verify(NID_sha256, digest.data(), digest.size(), Bytes(signature), signature.size(), key_.get()) == 1;
  }

 private:
  const Algorithm algorithm_;
  const bssl::UniquePtr<RSA> key_;
};

}  // namespace

std::string_view AlgorithmName(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEdDsa:
      return "EdDSA";
    case Algorithm::kEs256:
      return "ES256";
    case Algorithm::kRs256:
      return "RS256";
    case Algorithm::kPs256:
      return "PS256";
  }
  return "";
}

absl::StatusOr<std::shared_ptr<const VerifyingKey>> VerifyingKey::FromEd25519(std::string_view x) {
  if (x.size() != ED25519_PUBLIC_KEY_LEN) {
    return KeyInvalid("an Ed25519 public key has 32 bytes");
  }
  if (IsOfSmallOrder(x)) {
    return KeyInvalid("the Ed25519 point is of small order, so anybody can sign for it");
  }
  return std::make_shared<Ed25519VerifyingKey>(x);
}

absl::StatusOr<std::shared_ptr<const VerifyingKey>> VerifyingKey::FromP256(std::string_view x, std::string_view y) {
  if (x.size() != kP256FieldBytes || y.size() != kP256FieldBytes) {
    return KeyInvalid("the coordinates of a P-256 public key have 32 bytes each");
  }
  bssl::UniquePtr<EC_KEY> key = NewP256();
  if (EC_KEY_set_public_key_affine_coordinates(key.get(), ToNumber(x).get(), ToNumber(y).get()) != 1) {
    return KeyInvalid("the point is not on the curve P-256");
  }
  return std::make_shared<P256VerifyingKey>(std::move(key));
}

absl::StatusOr<std::shared_ptr<const VerifyingKey>> VerifyingKey::FromRsa(Algorithm algorithm, std::string_view n,
                                                                          std::string_view e) {
  if (algorithm != Algorithm::kRs256 && algorithm != Algorithm::kPs256) {
    return KeyInvalid(absl::StrCat(AlgorithmName(algorithm), " does not use an RSA key"));
  }
  bssl::UniquePtr<BIGNUM> modulus = ToNumber(n);
  bssl::UniquePtr<BIGNUM> exponent = ToNumber(e);
  const unsigned bits = BN_num_bits(modulus.get());
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return KeyInvalid("the RSA modulus must have 2048 to 8192 bits");
  }
  if (!BN_is_odd(modulus.get())) {
    return KeyInvalid("the RSA modulus is even");
  }
  if (!BN_is_odd(exponent.get()) || BN_is_one(exponent.get()) || BN_num_bits(exponent.get()) > kMaxRsaExponentBits) {
    return KeyInvalid("the RSA exponent must be odd, at least 3 and at most 33 bits long");
  }
  if (HasRocaFingerprint(n)) {
    return KeyInvalid("the RSA modulus was made by the generator of CVE-2017-15361 (ROCA), so it can be factored");
  }
  bssl::UniquePtr<RSA> key(RSA_new());
  CHECK(RSA_set0_key(key.get(), modulus.release(), exponent.release(), /*d=*/nullptr) == 1);
  return std::make_shared<RsaVerifyingKey>(algorithm, std::move(key));
}

absl::StatusOr<std::unique_ptr<SigningKey>> SigningKey::Generate(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEdDsa: {
      std::string public_key(ED25519_PUBLIC_KEY_LEN, '\0');
      std::string private_key(ED25519_PRIVATE_KEY_LEN, '\0');
      ED25519_keypair(Bytes(public_key), Bytes(private_key));
      const Secret key(std::move(private_key));
      return std::make_unique<Ed25519SigningKey>(Secret(std::string(key.Reveal().substr(0, kEd25519SeedBytes))));
    }
    case Algorithm::kEs256: {
      bssl::UniquePtr<EC_KEY> key = NewP256();
      CHECK(EC_KEY_generate_key(key.get()) == 1);
      return std::make_unique<P256SigningKey>(std::move(key));
    }
    case Algorithm::kRs256:
    case Algorithm::kPs256:
      break;
  }
  return KeyInvalid(absl::StrCat(AlgorithmName(algorithm), " keys are used for verification only"));
}

absl::StatusOr<std::unique_ptr<SigningKey>> SigningKey::Parse(Algorithm algorithm, const Secret& serialized) {
  switch (algorithm) {
    case Algorithm::kEdDsa:
      if (serialized.Reveal().size() != kEd25519SeedBytes) {
        return KeyInvalid("a private Ed25519 key has 32 bytes");
      }
      return std::make_unique<Ed25519SigningKey>(serialized);
    case Algorithm::kEs256:
      return ParseP256(serialized);
    case Algorithm::kRs256:
    case Algorithm::kPs256:
      break;
  }
  return KeyInvalid(absl::StrCat(AlgorithmName(algorithm), " keys are used for verification only"));
}

}  // namespace bulkhead::crypto
