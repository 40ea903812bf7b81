// What an ID token must say. OpenID Connect Core 1.0 section 3.1.3.7.
#ifndef SERVICES_AUTH_OIDC_ID_TOKEN_H_
#define SERVICES_AUTH_OIDC_ID_TOKEN_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/identity/jws.h"

namespace bulkhead::auth::oidc {

// Who signed in. Only `subject` is an identity: it never changes and is never given to somebody else. The others are what the provider tells about him, for
// display.
struct IdTokenClaims {
  std::string subject;
  std::string email;
  std::string name;
  std::string preferred_username;
};

struct IdTokenExpectation {
  std::string issuer;
  std::string client_id;
  std::string nonce;
  std::string access_token;  // That came with it, or "".
  absl::Time now;
  absl::Duration leeway;  // For clocks that differ.
};

// Algorithms, `typ` and key ids as ID tokens may have them.
JwsPolicy IdTokenPolicy();

// Checks the claims of a token whose signature was right. UNAUTHENTICATED `NONCE_INVALID` when it was made for another sign-in; `PROVIDER_TOKEN_INVALID`
// (metadata `problem`) for another issuer or audience, one that is over or not yet valid, an access token of another answer, a claim missing or of the wrong type.
absl::StatusOr<IdTokenClaims> CheckIdToken(const VerifiedJws& token, const IdTokenExpectation& expected);

// UNAUTHENTICATED `PROVIDER_TOKEN_INVALID`. `problem` quotes nothing of a token.
absl::Status ProviderTokenInvalid(std::string_view problem);

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_ID_TOKEN_H_
