#include "tools/smoke/boringssl_primitives.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/curve25519.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstring>

#ifndef OPENSSL_IS_BORINGSSL
#error "these headers must be BoringSSL's"
#endif

namespace bulkhead::smoke {
namespace {

std::string TakeBio(BIO* bio) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio, &data, &size);
  std::string out(reinterpret_cast<const char*>(data), size);
  BIO_free(bio);
  return out;
}

void AddExtension(X509* certificate, X509V3_CTX* context, int nid, const char* value) {
  bssl::UniquePtr<X509_EXTENSION> extension(X509V3_EXT_nconf_nid(nullptr, context, nid, value));
  X509_add_ext(certificate, extension.get(), -1);
}

const uint8_t* Bytes(const char* text) { return reinterpret_cast<const uint8_t*>(text); }

}  // namespace

KeyAndCertificate MakeSelfSigned() {
  bssl::UniquePtr<EC_KEY> ec_key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  EC_KEY_generate_key(ec_key.get());
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  EVP_PKEY_set1_EC_KEY(key.get(), ec_key.get());

  bssl::UniquePtr<X509> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, Bytes("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
  AddExtension(certificate.get(), &context, NID_subject_alt_name, "DNS:localhost");
  AddExtension(certificate.get(), &context, NID_basic_constraints, "CA:TRUE");
  X509_sign(certificate.get(), key.get(), EVP_sha256());

  KeyAndCertificate out;
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  out.key_pem = TakeBio(bio);
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate.get());
  out.certificate_pem = TakeBio(bio);
  return out;
}

std::string CheckPrimitives() {
  const char* message = "message";
  const size_t message_size = std::strlen(message);

  uint8_t public_key[32];
  uint8_t private_key[64];
  uint8_t signature[64];
  ED25519_keypair(public_key, private_key);
  if (!ED25519_sign(signature, Bytes(message), message_size, private_key) ||
      !ED25519_verify(Bytes(message), message_size, signature, public_key)) {
    return "Ed25519 does not verify its own signature";
  }
  signature[0] ^= 1;
  if (ED25519_verify(Bytes(message), message_size, signature, public_key)) {
    return "Ed25519 verifies a wrong signature";
  }

  // The example of RFC 2104's usual test: HMAC-SHA256("key", "The quick brown fox...").
  uint8_t mac[32];
  unsigned int mac_size = 0;
  const char* fox = "The quick brown fox jumps over the lazy dog";
  static constexpr uint8_t kMacStart[4] = {0xf7, 0xbc, 0x83, 0xf4};
  if (!HMAC(EVP_sha256(), "key", 3, Bytes(fox), std::strlen(fox), mac, &mac_size) || mac_size != 32 ||
      std::memcmp(mac, kMacStart, sizeof kMacStart) != 0) {
    return "HMAC-SHA256 gives a wrong value";
  }

  uint8_t digest[32];
  SHA256(Bytes(message), message_size, digest);
  bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  uint8_t der[100];
  unsigned int der_size = sizeof der;
  if (!EC_KEY_generate_key(key.get()) || !ECDSA_sign(0, digest, sizeof digest, der, &der_size, key.get()) ||
      ECDSA_verify(0, digest, sizeof digest, der, der_size, key.get()) != 1) {
    return "ECDSA P-256 does not verify its own signature";
  }

  // RFC 7914, section 12, second vector.
  uint8_t derived[64];
  static constexpr uint8_t kDerivedStart[4] = {0xfd, 0xba, 0xbe, 0x1c};
  if (!EVP_PBE_scrypt("password", 8, Bytes("NaCl"), 4, 1024, 8, 16, 64 << 20, derived, sizeof derived) ||
      std::memcmp(derived, kDerivedStart, sizeof kDerivedStart) != 0) {
    return "scrypt gives a wrong value";
  }
  return "";
}

}  // namespace bulkhead::smoke
