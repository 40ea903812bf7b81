// Signs tokens.
#ifndef SERVICES_AUTH_TOKEN_ISSUER_H_
#define SERVICES_AUTH_TOKEN_ISSUER_H_

#include <string>
#include <utility>

#include "absl/time/time.h"
#include "services/auth/key_store.h"
#include "services/common/identity/token.h"
#include "services/common/ids/id_generator.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

struct IssuedToken {
  RawToken token;
  absl::Duration lifetime;
};

// Thread-safe. Decides nothing: who gets what is said by its callers.
class TokenIssuer {
 public:
  // All pointers outlive the issuer.
  TokenIssuer(std::string issuer, std::string audience, const KeyStore* keys, const Clock* clock, IdGenerator* ids)
      : issuer_(std::move(issuer)), audience_(std::move(audience)), keys_(keys), clock_(clock), ids_(ids) {}

  // Fills issuer, audience, id and times into `claims`, and signs them with the newest key.
  IssuedToken Issue(TokenClaims claims, absl::Duration lifetime) const;

 private:
  const std::string issuer_;
  const std::string audience_;
  const KeyStore* const keys_;
  const Clock* const clock_;
  IdGenerator* const ids_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_TOKEN_ISSUER_H_
