// The least that a verification can cost: one call of BoringSSL's EVP interface.
#ifndef SERVICES_COMMON_CRYPTO_TESTING_BARE_VERIFICATION_H_
#define SERVICES_COMMON_CRYPTO_TESTING_BARE_VERIFICATION_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "services/common/crypto/signature.h"

namespace bulkhead::crypto::testing {

// EVP_DigestVerify on one message and signature, with all that can be prepared done before: key parsed, signature decoded and in the form that EVP
// takes. Not thread-safe.
class BareVerification {
 public:
  // `parameters`: Ed25519 (x, ""), P-256 (x, y), RSA (n, e). `signature` as a JWS has it.
  BareVerification(Algorithm algorithm, const std::pair<std::string, std::string>& parameters, std::string_view message,
                   std::string_view signature);
  ~BareVerification();

  bool Run() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::crypto::testing

#endif  // SERVICES_COMMON_CRYPTO_TESTING_BARE_VERIFICATION_H_
