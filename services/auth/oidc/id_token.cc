#include "services/auth/oidc/id_token.h"

#include <optional>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/auth/errors.h"
#include "services/common/crypto/crypto.h"
#include "services/common/identity/strict_json.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr size_t kMaxSubjectBytes = 255;  // Core section 2.
constexpr size_t kMaxDisplayBytes = 320;  // The longest e-mail address.

absl::StatusOr<std::string_view> RequiredText(const JsonValue& claims, std::string_view name) {
  const JsonValue* value = claims.Find(name);
  if (value == nullptr || !value->is_string() || value->text().empty()) {
    return ProviderTokenInvalid(absl::StrCat(name, " is missing"));
  }
  return value->text();
}

// Nullopt when absent.
absl::StatusOr<std::optional<absl::Time>> OptionalTime(const JsonValue& claims, std::string_view name) {
  const JsonValue* value = claims.Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  const std::optional<double> seconds = value->number();
  if (!seconds.has_value()) {
    return ProviderTokenInvalid(absl::StrCat(name, " is no time"));
  }
  return absl::UnixEpoch() + absl::Seconds(*seconds);
}

absl::StatusOr<absl::Time> RequiredTime(const JsonValue& claims, std::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<absl::Time> time, OptionalTime(claims, name));
  if (!time.has_value()) {
    return ProviderTokenInvalid(absl::StrCat(name, " is missing"));
  }
  return *time;
}

// What is for display: dropped when it is no text, or too much.
std::string DisplayText(const JsonValue& claims, std::string_view name) {
  const JsonValue* value = claims.Find(name);
  const bool good =
      value != nullptr && value->is_string() && value->text().size() <= kMaxDisplayBytes &&
      absl::c_none_of(value->text(), [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
  return good ? std::string(value->text()) : "";
}

// Core section 3.1.3.7, 3 to 5. A second audience could present the token as its own, and none is trusted here.
absl::Status CheckAudience(const JsonValue& claims, std::string_view client_id) {
  const JsonValue* audience = claims.Find("aud");
  const auto is_client = [client_id](const JsonValue& value) { return value.is_string() && value.text() == client_id; };
  bool good = audience != nullptr && is_client(*audience);
  if (audience != nullptr && audience->is_array()) {
    good = audience->begin() != audience->end();
    for (const JsonValue& each : *audience) {
      good = good && is_client(each);
    }
  }
  const JsonValue* party = claims.Find("azp");
  return good && (party == nullptr || is_client(*party)) ? absl::OkStatus()
                                                         : ProviderTokenInvalid("it was issued to another client");
}

absl::Status CheckTimes(const JsonValue& claims, const IdTokenExpectation& expected) {
  ASSIGN_OR_RETURN(const absl::Time expires, RequiredTime(claims, "exp"));
  ASSIGN_OR_RETURN(const absl::Time issued, RequiredTime(claims, "iat"));
  ASSIGN_OR_RETURN(const std::optional<absl::Time> not_before, OptionalTime(claims, "nbf"));
  if (expected.now >= expires + expected.leeway) {
    return ProviderTokenInvalid("it has expired");
  }
  if (issued > expected.now + expected.leeway || not_before.value_or(issued) > expected.now + expected.leeway) {
    return ProviderTokenInvalid("it is not yet valid");
  }
  return absl::OkStatus();
}

// Core section 3.1.3.6: the left half of the hash that goes with the algorithm.
absl::Status CheckAccessTokenHash(const JsonValue& claims, crypto::Algorithm algorithm, std::string_view access_token) {
  const JsonValue* claim = claims.Find("at_hash");
  if (claim == nullptr) {
    return absl::OkStatus();
  }
  const std::string hash =
      algorithm == crypto::Algorithm::kEdDsa ? crypto::Sha512(access_token) : crypto::Sha256(access_token);
  const std::string expected = absl::WebSafeBase64Escape(hash.substr(0, hash.size() / 2));
  return claim->is_string() && crypto::ConstantTimeEquals(claim->text(), expected)
             ? absl::OkStatus()
             : ProviderTokenInvalid("it belongs to another access token");
}

}  // namespace

JwsPolicy IdTokenPolicy() { return {.type = "JWT", .type_may_be_absent = true, .key_id_may_be_absent = true}; }

absl::Status ProviderTokenInvalid(std::string_view problem) {
  return AuthError(absl::StatusCode::kUnauthenticated,
                   absl::StrCat("the OpenID provider's ID token is refused: ", problem), "PROVIDER_TOKEN_INVALID",
                   {{"problem", std::string(problem)}});
}

absl::StatusOr<IdTokenClaims> CheckIdToken(const VerifiedJws& token, const IdTokenExpectation& expected) {
  StrictJson parsed;
  if (parsed.Parse(token.payload) != StrictJson::Problem::kNone || !parsed.root().is_object()) {
    return ProviderTokenInvalid("its claims are no JSON object");
  }
  const JsonValue& claims = parsed.root();
  ASSIGN_OR_RETURN(const std::string_view issuer, RequiredText(claims, "iss"));
  if (issuer != expected.issuer) {
    return ProviderTokenInvalid("it comes from another issuer");
  }
  RETURN_IF_ERROR(CheckAudience(claims, expected.client_id));
  RETURN_IF_ERROR(CheckTimes(claims, expected));
  const JsonValue* nonce = claims.Find("nonce");
  if (nonce == nullptr || !nonce->is_string() || !crypto::ConstantTimeEquals(nonce->text(), expected.nonce)) {
    return AuthError(
        absl::StatusCode::kUnauthenticated,
        "the OpenID provider's ID token was made for another sign-in: its nonce is not the one that was sent",
        "NONCE_INVALID");
  }
  RETURN_IF_ERROR(CheckAccessTokenHash(claims, token.algorithm, expected.access_token));
  ASSIGN_OR_RETURN(const std::string_view subject, RequiredText(claims, "sub"));
  if (subject.size() > kMaxSubjectBytes || !absl::c_all_of(subject, absl::ascii_isprint)) {
    return ProviderTokenInvalid("sub is not 1 to 255 printable ASCII characters");
  }
  return IdTokenClaims{.subject = std::string(subject),
                       .email = DisplayText(claims, "email"),
                       .name = DisplayText(claims, "name"),
                       .preferred_username = DisplayText(claims, "preferred_username")};
}

}  // namespace bulkhead::auth::oidc
