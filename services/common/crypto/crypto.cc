#include "services/common/crypto/crypto.h"

#include <openssl/aead.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/status/error.h"

namespace bulkhead::crypto {
namespace {

constexpr size_t kSealingKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kMaxScryptMemory = size_t{256} << 20;

const uint8_t* Bytes(std::string_view data) { return reinterpret_cast<const uint8_t*>(data.data()); }
uint8_t* Bytes(std::string& data) { return reinterpret_cast<uint8_t*>(data.data()); }

absl::Status SealedDataInvalid() {
  return MakeError(absl::StatusCode::kDataLoss, "The sealed data cannot be opened: wrong key, wrong owner, or damaged.",
                   {.domain = "bulkhead.crypto", .reason = "SEALED_DATA_INVALID"});
}

}  // namespace

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  RAND_bytes(Bytes(bytes), count);  // Aborts rather than fail: there is no going on without randomness.
  return bytes;
}

Secret RandomSecret(size_t count) { return Secret(RandomBytes(count)); }

std::string Sha256(std::string_view data) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(Bytes(data), data.size(), Bytes(digest));
  return digest;
}

std::string Sha512(std::string_view data) {
  std::string digest(SHA512_DIGEST_LENGTH, '\0');
  SHA512(Bytes(data), data.size(), Bytes(digest));
  return digest;
}

Digest Sha256Digest(std::string_view data) {
  Digest digest;
  SHA256(Bytes(data), data.size(), digest.data());
  return digest;
}

Secret Sha1ForBreachLists(const Secret& data) {
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  SHA1(Bytes(data.Reveal()), data.Reveal().size(), Bytes(digest));
  return Secret(std::move(digest));
}

std::string HmacSha256(const Secret& key, std::string_view data) {
  std::string mac(SHA256_DIGEST_LENGTH, '\0');
  unsigned length = 0;
  CHECK(HMAC(EVP_sha256(), key.Reveal().data(), key.Reveal().size(), Bytes(data), data.size(), Bytes(mac), &length) !=
        nullptr);
  return mac;
}

bool ConstantTimeEquals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::StatusOr<Secret> Scrypt(const Secret& password, std::string_view salt, const ScryptParameters& parameters,
                              size_t key_bytes) {
  std::string key(key_bytes, '\0');
  if (EVP_PBE_scrypt(password.Reveal().data(), password.Reveal().size(), Bytes(salt), salt.size(), parameters.n,
                     parameters.r, parameters.p, kMaxScryptMemory, Bytes(key), key.size()) != 1) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     "The scrypt parameters are refused: n must be a power of two, and the memory at most 256 MiB.",
                     {.domain = "bulkhead.crypto", .reason = "SCRYPT_PARAMETERS_INVALID"});
  }
  return Secret(std::move(key));
}

struct Sealer::State {
  bssl::ScopedEVP_AEAD_CTX context;
};

Sealer::Sealer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sealer::~Sealer() = default;

absl::StatusOr<std::unique_ptr<Sealer>> Sealer::Create(Secret key) {
  auto state = std::make_unique<State>();
  if (key.Reveal().size() != kSealingKeyBytes ||
      EVP_AEAD_CTX_init(state->context.get(), EVP_aead_aes_256_gcm(), Bytes(key.Reveal()), kSealingKeyBytes, kTagBytes,
                        /*impl=*/nullptr) != 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, "The sealing key must have 32 bytes.",
                     {.domain = "bulkhead.crypto", .reason = "SEALING_KEY_INVALID"});
  }
  return std::unique_ptr<Sealer>(new Sealer(std::move(state)));
}

std::string Sealer::Seal(std::string_view plaintext, std::string_view associated) const {
  std::string sealed = RandomBytes(kNonceBytes);
  sealed.resize(kNonceBytes + plaintext.size() + kTagBytes);
  size_t written = 0;
  CHECK(EVP_AEAD_CTX_seal(state_->context.get(), Bytes(sealed) + kNonceBytes, &written, sealed.size() - kNonceBytes,
                          Bytes(sealed), kNonceBytes, Bytes(plaintext), plaintext.size(), Bytes(associated),
                          associated.size()) == 1);
  return sealed;
}

absl::StatusOr<Secret> Sealer::Open(std::string_view sealed, std::string_view associated) const {
  if (sealed.size() < kNonceBytes + kTagBytes) {
    return SealedDataInvalid();
  }
  const std::string_view ciphertext = sealed.substr(kNonceBytes);
  std::string plaintext(ciphertext.size() - kTagBytes, '\0');
  size_t written = 0;
  if (EVP_AEAD_CTX_open(state_->context.get(), Bytes(plaintext), &written, plaintext.size(), Bytes(sealed), kNonceBytes,
                        Bytes(ciphertext), ciphertext.size(), Bytes(associated), associated.size()) != 1) {
    return SealedDataInvalid();
  }
  return Secret(std::move(plaintext));
}

}  // namespace bulkhead::crypto
