// Signs as other parties do, for tests of what is only verified here.
#ifndef SERVICES_COMMON_CRYPTO_TESTING_RSA_SIGNER_H_
#define SERVICES_COMMON_CRYPTO_TESTING_RSA_SIGNER_H_

#include <memory>
#include <string>
#include <string_view>

#include "services/common/crypto/signature.h"

namespace bulkhead::crypto::testing {

// An RSA key pair. Immutable, thread-safe.
class RsaSigner {
 public:
  // A new key of `bits` with the exponent 65537. Takes a moment: a test makes one and shares it.
  static std::unique_ptr<RsaSigner> Generate(int bits);
  ~RsaSigner();

  // `algorithm` is kRs256 or kPs256.
  std::string Sign(Algorithm algorithm, std::string_view message) const;
  // Big-endian, without zero bytes before them.
  std::string modulus() const;
  std::string exponent() const;

 private:
  struct State;
  explicit RsaSigner(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::crypto::testing

#endif  // SERVICES_COMMON_CRYPTO_TESTING_RSA_SIGNER_H_
