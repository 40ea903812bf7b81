// An OpenID provider that people may sign in with, as the configuration describes it.
#ifndef SERVICES_AUTH_OIDC_PROVIDER_H_
#define SERVICES_AUTH_OIDC_PROVIDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/common/crypto/secret.h"

namespace bulkhead::auth::oidc {

// Plain data; move-only because of the secret.
struct Provider {
  std::string id;            // Of `providers/{id}`: 1 to 32 of [a-z0-9-].
  std::string display_name;  // The id when empty.
  std::string issuer;        // Exactly as the provider writes it.
  std::string client_id;
  Secret client_secret;             // Empty for a public client.
  std::vector<std::string> scopes;  // Besides `openid`.
  std::vector<std::string>
      redirect_uris;  // Where browsers may be sent back to; compared byte by byte, but for the port of a loopback address.
  bool allow_sign_up = false;        // Whether an identity that is not known yet gets an account.
  bool allow_insecure_http = false;  // Take addresses of http: whoever is on the way can sign in as anybody.
  std::string ca_file;               // Certificates in PEM to trust instead of the system's; "" trusts those.
};

// INVALID_ARGUMENT `AUTH_OPTIONS_INVALID` (metadata `field`, as "providers[1].issuer"): ids that are malformed or there twice, an issuer that is no
// https address, a missing client id or redirect address, a redirect address that is neither https nor http to a loopback address.
absl::Status ValidateProviders(const std::vector<Provider>& providers);

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_PROVIDER_H_
