#include "services/gateway/discovery.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"

namespace bulkhead::gateway {
namespace {

constexpr char kCacheControl[] = "public, max-age=300";

// Whether an If-None-Match names `etag`. RFC 9110 section 13.1.2.
bool Matches(std::string_view header, std::string_view etag) {
  for (std::string_view each : absl::StrSplit(header, ',')) {
    each = absl::StripAsciiWhitespace(each);
    absl::ConsumePrefix(&each, "W/");
    if (each == etag || each == "*") {
      return true;
    }
  }
  return false;
}

nlohmann::json ToJson(const auth::v1::Jwk& key) {
  nlohmann::json json = {{"kty", key.kty()}, {"crv", key.crv()}, {"kid", key.kid()},
                         {"alg", key.alg()}, {"use", key.use()}, {"x", key.x()}};
  if (!key.y().empty()) {
    json["y"] = key.y();
  }
  return json;
}

}  // namespace

HttpResponse DiscoveryResponse(std::string_view issuer, std::string_view base_url) {
  const auto at = [&](std::string_view path) { return absl::StrCat(base_url, path); };
  const nlohmann::json client_or_nobody = {"client_secret_basic", "client_secret_post", "none"};
  const nlohmann::json metadata = {
      {"issuer", issuer},
      {"jwks_uri", at("/.well-known/jwks.json")},
      {"token_endpoint", at("/v1/oauth/token")},
      {"token_endpoint_auth_methods_supported", client_or_nobody},
      {"grant_types_supported",
       {"refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"}},
      {"response_types_supported", nlohmann::json::array()},
      {"revocation_endpoint", at("/v1/oauth/revoke")},
      {"revocation_endpoint_auth_methods_supported", client_or_nobody},
      {"introspection_endpoint", at("/v1/oauth/introspect")},
      {"introspection_endpoint_auth_methods_supported", {"client_secret_basic", "client_secret_post", "Bearer"}},
      {"subject_types_supported", nlohmann::json::array({"public"})},
      {"id_token_signing_alg_values_supported", {"EdDSA", "ES256"}},
      {"claims_supported", {"iss", "aud", "sub", "exp", "iat", "nbf", "jti", "sid", "roles", "perms", "run", "act"}}};
  HttpResponse response;
  response.body = metadata.dump();
  response.headers["Cache-Control"] = kCacheControl;
  return response;
}

HttpResponse KeySetResponse(const auth::v1::KeySet& keys, const HttpRequest& request) {
  nlohmann::json list = nlohmann::json::array();
  for (const auth::v1::Jwk& key : keys.keys()) {
    list.push_back(ToJson(key));
  }
  HttpResponse response;
  response.content_type = "application/jwk-set+json";
  response.body = nlohmann::json({{"keys", std::move(list)}}).dump();
  const std::string etag =
      absl::StrCat("\"", absl::BytesToHexString(crypto::Sha256(response.body)).substr(0, 32), "\"");
  response.headers["ETag"] = etag;
  response.headers["Cache-Control"] = kCacheControl;
  if (Matches(request.header("if-none-match"), etag)) {
    response.status = 304;
    response.content_type.clear();
    response.body.clear();
  }
  return response;
}

}  // namespace bulkhead::gateway
