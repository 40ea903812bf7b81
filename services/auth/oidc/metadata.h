// What a provider says about itself. OpenID Connect Discovery 1.0 section 3, RFC 8414, RFC 9207 section 3.
#ifndef SERVICES_AUTH_OIDC_METADATA_H_
#define SERVICES_AUTH_OIDC_METADATA_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace bulkhead::auth::oidc {

struct ProviderMetadata {
  std::string issuer;
  std::string authorization_endpoint;
  std::string token_endpoint;
  std::string jwks_uri;
  // Its redirects carry `iss`: one without it is then not its own.
  bool names_issuer_in_response = false;
  // How it takes a client's secret: in the Authorization header, or else in the form.
  bool takes_basic = true;
};

// Where the document of `issuer` lies (Discovery section 4: a slash at the end does not count).
std::string MetadataUrl(std::string_view issuer);

// Reads the document of the provider that is configured as `issuer`. Pure.
//
// FAILED_PRECONDITION `PROVIDER_METADATA_INVALID` (metadata `issuer`, `problem`): no JSON, or a member twice; another issuer, which compares
// byte by byte; a required member missing; an endpoint that is no https address, unless `allow_http`; a provider without the code flow, without S256 for PKCE
// though it lists methods, without a signature algorithm or a way of client authentication that is known here.
absl::StatusOr<ProviderMetadata> ParseProviderMetadata(std::string_view json, std::string_view issuer, bool allow_http);

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_METADATA_H_
