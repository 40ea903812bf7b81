#include "services/common/crypto/testing/rsa_signer.h"

#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"

namespace bulkhead::crypto::testing {
namespace {

uint8_t* Bytes(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

std::string ToBytes(const BIGNUM* number) {
  std::string bytes(BN_num_bytes(number), '\0');
  BN_bn2bin(number, Bytes(bytes));
  return bytes;
}

}  // namespace

struct RsaSigner::State {
  bssl::UniquePtr<RSA> key;
};

RsaSigner::RsaSigner(std::unique_ptr<State> state) : state_(std::move(state)) {}
RsaSigner::~RsaSigner() = default;

std::unique_ptr<RsaSigner> RsaSigner::Generate(int bits) {
  auto state = std::make_unique<State>();
  state->key.reset(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  CHECK(BN_set_word(exponent.get(), RSA_F4) == 1);
  CHECK(RSA_generate_key_ex(state->key.get(), bits, exponent.get(), /*cb=*/nullptr) == 1);
  return std::unique_ptr<RsaSigner>(new RsaSigner(std::move(state)));
}

std::string RsaSigner::Sign(Algorithm algorithm, std::string_view message) const {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(message.data()), message.size(), digest);
  RSA* const key = state_->key.get();
  std::string signature(RSA_size(key), '\0');
  if (algorithm == Algorithm::kPs256) {
    size_t length = 0;
    CHECK(RSA_sign_pss_mgf1(key, &length, Bytes(signature), signature.size(), digest, sizeof(digest), EVP_sha256(),
                            EVP_sha256(), /*salt_len=*/SHA256_DIGEST_LENGTH) == 1);
  } else {
    CHECK(algorithm == Algorithm::kRs256);
    unsigned length = 0;
    CHECK(RSA_sign(NID_sha256, digest, sizeof(digest), Bytes(signature), &length, key) == 1);
  }
  return signature;
}

std::string RsaSigner::modulus() const { return ToBytes(RSA_get0_n(state_->key.get())); }
std::string RsaSigner::exponent() const { return ToBytes(RSA_get0_e(state_->key.get())); }

}  // namespace bulkhead::crypto::testing
