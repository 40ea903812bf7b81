#include "services/common/crypto/testing/bare_verification.h"

#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"

namespace bulkhead::crypto::testing {
namespace {

constexpr size_t kP256FieldBytes = 32;

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

bssl::UniquePtr<BIGNUM> ToNumber(std::string_view big_endian) {
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(Bytes(big_endian), big_endian.size(), /*ret=*/nullptr));
}

bssl::UniquePtr<EVP_PKEY> MakeKey(Algorithm algorithm, const std::pair<std::string, std::string>& parameters) {
  const auto& [first, second] = parameters;
  if (algorithm == Algorithm::kEdDsa) {
    return bssl::UniquePtr<EVP_PKEY>(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, /*unused=*/nullptr, Bytes(first), first.size()));
  }
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (algorithm == Algorithm::kEs256) {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
    CHECK(EC_KEY_set_public_key_affine_coordinates(ec.get(), ToNumber(first).get(), ToNumber(second).get()) == 1);
    CHECK(EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
    return key;
  }
  bssl::UniquePtr<RSA> rsa(RSA_new());
  CHECK(RSA_set0_key(rsa.get(), ToNumber(first).release(), ToNumber(second).release(), /*d=*/nullptr) == 1);
  CHECK(EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1);
  return key;
}

// EVP takes ECDSA's signatures in DER.
std::string ToDer(std::string_view fixed) {
  bssl::UniquePtr<ECDSA_SIG> signature(ECDSA_SIG_new());
  CHECK(ECDSA_SIG_set0(signature.get(), ToNumber(fixed.substr(0, kP256FieldBytes)).release(),
                       ToNumber(fixed.substr(kP256FieldBytes)).release()) == 1);
  uint8_t* bytes = nullptr;
  size_t length = 0;
  CHECK(ECDSA_SIG_to_bytes(&bytes, &length, signature.get()) == 1);
  const bssl::UniquePtr<uint8_t> owned(bytes);
  return std::string(reinterpret_cast<const char*>(bytes), length);
}

}  // namespace

struct BareVerification::State {
  Algorithm algorithm;
  bssl::UniquePtr<EVP_PKEY> key;
  std::string message;
  std::string signature;
};

BareVerification::BareVerification(Algorithm algorithm, const std::pair<std::string, std::string>& parameters,
                                   std::string_view message, std::string_view signature)
    : state_(std::make_unique<State>(
          State{.algorithm = algorithm,
                .key = MakeKey(algorithm, parameters),
                .message = std::string(message),
                .signature = algorithm == Algorithm::kEs256 ? ToDer(signature) : std::string(signature)})) {}

BareVerification::~BareVerification() = default;

bool BareVerification::Run() const {
  bssl::ScopedEVP_MD_CTX context;
  EVP_PKEY_CTX* options = nullptr;
  const EVP_MD* const digest = state_->algorithm == Algorithm::kEdDsa ? nullptr : EVP_sha256();
  CHECK(EVP_DigestVerifyInit(context.get(), &options, digest, /*e=*/nullptr, state_->key.get()) == 1);
  if (state_->algorithm == Algorithm::kPs256) {
    CHECK(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1);
    CHECK(EVP_PKEY_CTX_set_rsa_mgf1_md(options, EVP_sha256()) == 1);
    CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, /*salt_len=*/-1) == 1);  // As long as the digest.
  }
  return EVP_DigestVerify(context.get(), Bytes(state_->signature), state_->signature.size(), Bytes(state_->message),
                          state_->message.size()) == 1;
}

}  // namespace bulkhead::crypto::testing
