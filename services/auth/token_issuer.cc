#include "services/auth/token_issuer.h"

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "services/common/identity/token_verifier.h"

namespace bulkhead::auth {

IssuedToken TokenIssuer::Issue(TokenClaims claims, absl::Duration lifetime) const {
  claims.issuer = issuer_;
  claims.audience = audience_;
  claims.token_id = ids_->NewId("token");
  claims.issued_at = clock_->Now();
  claims.not_before = claims.issued_at;
  claims.expires_at = claims.issued_at + lifetime;
  const std::shared_ptr<const KeyStore::Key> signer = keys_->Signer();
  return {.token = RawToken(SignToken(claims, signer->id, *signer->key)), .lifetime = lifetime};
}

}  // namespace bulkhead::auth
