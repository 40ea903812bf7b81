#include "services/auth/oidc/metadata.h"

#include <initializer_list>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "services/auth/errors.h"
#include "services/common/http/url.h"
#include "services/common/identity/strict_json.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr size_t kMaxBytes = 64 * 1024;

// One reading of one document: keeps who it should be from.
class Reader {
 public:
  Reader(std::string_view issuer, bool allow_http) : issuer_(issuer), allow_http_(allow_http) {}

  absl::Status Invalid(std::string_view problem) const {
    return AuthError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("what the OpenID provider ", issuer_, " says about itself cannot be used: ", problem),
                     "PROVIDER_METADATA_INVALID",
                     {{"issuer", std::string(issuer_)}, {"problem", std::string(problem)}});
  }

  absl::StatusOr<std::string> Endpoint(const JsonValue& document, std::string_view name) const {
    const JsonValue* value = document.Find(name);
    if (value == nullptr || !value->is_string()) {
      return Invalid(absl::StrCat(name, " is missing"));
    }
    const absl::StatusOr<http::Url> url = http::ParseUrl(value->text());
    if (!url.ok()) {
      return Invalid(absl::StrCat(name, " is no address without a fragment"));
    }
    if (!url->https && !allow_http_) {
      return Invalid(absl::StrCat(name, " is no https address"));
    }
    return std::string(value->text());
  }

  // The list called `name` must have one of `wanted`. Where it may be absent, an absent one is good.
  absl::Status HasOneOf(const JsonValue& document, std::string_view name, bool may_be_absent,
                        std::initializer_list<std::string_view> wanted) const {
    const JsonValue* list = document.Find(name);
    if (list == nullptr && may_be_absent) {
      return absl::OkStatus();
    }
    if (list == nullptr || !list->is_array()) {
      return Invalid(absl::StrCat(name, " is missing, or no list"));
    }
    for (const JsonValue& item : *list) {
      if (item.is_string() && absl::c_linear_search(wanted, item.text())) {
        return absl::OkStatus();
      }
    }
    return Invalid(absl::StrCat(name, " has none of: ", absl::StrJoin(wanted, ", ")));
  }

 private:
  const std::string_view issuer_;
  const bool allow_http_;
};

bool IsTrue(const JsonValue* value) { return value != nullptr && value->kind() == JsonValue::Kind::kTrue; }

}  // namespace

std::string MetadataUrl(std::string_view issuer) {
  return absl::StrCat(absl::StripSuffix(issuer, "/"), "/.well-known/openid-configuration");
}

absl::StatusOr<ProviderMetadata> ParseProviderMetadata(std::string_view json, std::string_view issuer,
                                                       bool allow_http) {
  const Reader reader(issuer, allow_http);
  if (json.size() > kMaxBytes) {
    return reader.Invalid(absl::StrCat("the document has more than ", kMaxBytes, " bytes"));
  }
  StrictJson parsed;
  switch (parsed.Parse(std::string(json))) {
    case StrictJson::Problem::kNone:
      break;
    case StrictJson::Problem::kSyntax:
      return reader.Invalid("the document is no JSON");
    case StrictJson::Problem::kDuplicateMember:
      return reader.Invalid(absl::StrCat("the document has '", parsed.duplicate(), "' twice"));
    case StrictJson::Problem::kTooComplex:
      return reader.Invalid("the document is too complex");
  }
  const JsonValue& document = parsed.root();
  if (!document.is_object()) {
    return reader.Invalid("the document is no JSON object");
  }
  ProviderMetadata metadata;
  const JsonValue* named = document.Find("issuer");
  if (named == nullptr || !named->is_string()) {
    return reader.Invalid("issuer is missing");
  }
  // Not equal is another provider, be it one that stands in for this one (RFC 9207 section 4, RFC 8414 section 3.3).
  if (named->text() != issuer) {
    return reader.Invalid("issuer is not the configured one");
  }
  metadata.issuer = std::string(issuer);
  ASSIGN_OR_RETURN(metadata.authorization_endpoint, reader.Endpoint(document, "authorization_endpoint"));
  ASSIGN_OR_RETURN(metadata.token_endpoint, reader.Endpoint(document, "token_endpoint"));
  ASSIGN_OR_RETURN(metadata.jwks_uri, reader.Endpoint(document, "jwks_uri"));
  RETURN_IF_ERROR(reader.HasOneOf(document, "response_types_supported", /*may_be_absent=*/false, {"code"}));
  RETURN_IF_ERROR(
      reader.HasOneOf(document, "subject_types_supported", /*may_be_absent=*/false, {"public", "pairwise"}));
  RETURN_IF_ERROR(reader.HasOneOf(document, "id_token_signing_alg_values_supported", /*may_be_absent=*/false,
                                  {"RS256", "PS256", "ES256", "EdDSA", "Ed25519"}));
  // A provider that lists other methods would take the code without what protects it.
  RETURN_IF_ERROR(reader.HasOneOf(document, "code_challenge_methods_supported", /*may_be_absent=*/true, {"S256"}));
  constexpr std::string_view kClientAuthentication = "token_endpoint_auth_methods_supported";
  RETURN_IF_ERROR(reader.HasOneOf(document, kClientAuthentication, /*may_be_absent=*/true,
                                  {"client_secret_basic", "client_secret_post", "none"}));
  metadata.takes_basic =
      reader.HasOneOf(document, kClientAuthentication, /*may_be_absent=*/true, {"client_secret_basic"}).ok();
  metadata.names_issuer_in_response = IsTrue(document.Find("authorization_response_iss_parameter_supported"));
  return metadata;
}

}  // namespace bulkhead::auth::oidc
