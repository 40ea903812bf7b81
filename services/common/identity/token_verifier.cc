#include "services/common/identity/token_verifier.h"

#include <cmath>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokenBytes = 16 << 10;
constexpr absl::Duration kMaxLeeway = absl::Minutes(5);
constexpr double kMaxNumericDate = 253402300799;  // The end of the year 9999.
constexpr std::string_view kType = "at+jwt";

absl::Status Refuse(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kUnauthenticated, message,
                   {.domain = "bulkhead.auth", .reason = std::string(reason)});
}

absl::Status Malformed(std::string_view problem) {
  return Refuse("TOKEN_MALFORMED", absl::StrCat("The token ", problem, "."));
}

absl::Status ClaimInvalid(std::string_view claim) {
  return MakeError(
      absl::StatusCode::kUnauthenticated, absl::StrCat("The token's claim `", claim, "` is missing or malformed."),
      {.domain = "bulkhead.auth", .reason = "TOKEN_CLAIM_INVALID", .metadata = {{"claim", std::string(claim)}}});
}

// --- JWS: RFC 7515 -------------------------------------------------------------------------------

struct CompactJws {
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
  std::string_view signed_part;  // header.payload
};

struct Header {
  std::string algorithm;
  std::string key_id;
};

absl::Status CheckSize(std::string_view compact) {
  if (compact.empty()) {
    return Refuse("TOKEN_MISSING", "The request carries no token.");
  }
  if (compact.size() > kMaxTokenBytes) {
    return Refuse("TOKEN_TOO_LARGE", "The token is longer than 16 KiB.");
  }
  return absl::OkStatus();
}

absl::StatusOr<CompactJws> Split(std::string_view compact) {
  const std::vector<std::string_view> parts = absl::StrSplit(compact, '.');
  if (parts.size() != 3 || parts[0].empty() || parts[1].empty() || parts[2].empty()) {
    return Malformed("is not a JWS in compact form");
  }
  return CompactJws{.header = parts[0],
                    .payload = parts[1],
                    .signature = parts[2],
                    .signed_part = compact.substr(0, parts[0].size() + 1 + parts[1].size())};
}

// Abseil's decoder takes white space, padding and stray bits at the end; a token has one spelling only.
absl::StatusOr<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || absl::WebSafeBase64Escape(bytes) != text) {
    return Malformed("is not base64url");
  }
  return bytes;
}

// A member given twice means different things to different readers (RFC 8725 section 2.6), so it is refused.
absl::StatusOr<json> ParseObject(std::string_view text) {
  std::vector<std::set<std::string>> open;
  bool duplicate = false;
  const auto watch = [&](int /*depth*/, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == json::parse_event_t::key) {
      duplicate |= !open.back().insert(parsed.get_ref<const std::string&>()).second;
    }
    return true;
  };
  json value = json::parse(text, watch, /*allow_exceptions=*/false);
  if (value.is_discarded() || !value.is_object()) {
    return Malformed("does not hold JSON objects");
  }
  if (duplicate) {
    return Malformed("holds a JSON object with a member twice");
  }
  return value;
}

absl::StatusOr<std::string> HeaderMember(const json& header, const char* name) {
  const auto member = header.find(name);
  if (member == header.end() || !member->is_string()) {
    return Malformed(absl::StrCat("has no header parameter `", name, "`"));
  }
  return member->get<std::string>();
}

// RFC 9068 section 2.1: the type keeps a token that was signed for another purpose from passing for an access token.
absl::Status CheckType(const json& header) {
  ASSIGN_OR_RETURN(const std::string type, HeaderMember(header, "typ"));
  if (absl::EqualsIgnoreCase(type, kType) || absl::EqualsIgnoreCase(type, absl::StrCat("application/", kType))) {
    return absl::OkStatus();
  }
  return Malformed("is not of type at+jwt");
}

absl::StatusOr<Header> DecodeHeader(std::string_view encoded) {
  ASSIGN_OR_RETURN(const std::string text, DecodeBase64Url(encoded));
  ASSIGN_OR_RETURN(const json header, ParseObject(text));
  // We understand no extension, so each one that must be understood is refused; and keys come from our source alone,
  // never from the token.
  for (const char* refused : {"crit", "b64", "jwk", "jku", "x5u", "x5c"}) {
    if (header.contains(refused)) {
      return Malformed(absl::StrCat("has the header parameter `", refused, "`, which is not accepted"));
    }
  }
  RETURN_IF_ERROR(CheckType(header));
  Header result;
  ASSIGN_OR_RETURN(result.algorithm, HeaderMember(header, "alg"));
  ASSIGN_OR_RETURN(result.key_id, HeaderMember(header, "kid"));
  return result;
}

absl::StatusOr<std::shared_ptr<const crypto::VerifyingKey>> FindKey(KeySource& keys, const Header& header) {
  std::shared_ptr<const crypto::VerifyingKey> key = keys.Find(header.key_id);
  if (key == nullptr) {
    return MakeError(absl::StatusCode::kUnauthenticated,
                     "The token is signed with a key that is not, or no longer, known.",
                     {.domain = "bulkhead.auth", .reason = "TOKEN_KEY_UNKNOWN", .metadata = {{"kid", header.key_id}}});
  }
  return key;
}

// RFC 8725 section 3.1: the key says which algorithm it is for, the token has no choice.
absl::Status CheckAlgorithm(const Header& header, const crypto::VerifyingKey& key) {
  if (header.algorithm != crypto::AlgorithmName(key.algorithm())) {
    return Refuse("TOKEN_ALGORITHM_REFUSED", "The token's algorithm is not that of its key.");
  }
  return absl::OkStatus();
}

absl::Status CheckSignature(const CompactJws& jws, const crypto::VerifyingKey& key) {
  ASSIGN_OR_RETURN(const std::string signature, DecodeBase64Url(jws.signature));
  if (!key.Verify(jws.signed_part, signature)) {
    return Refuse("TOKEN_SIGNATURE_INVALID", "The token's signature is wrong.");
  }
  return absl::OkStatus();
}

// --- Claims: RFC 7519 ----------------------------------------------------------------------------

absl::StatusOr<std::string> RequiredString(const json& claims, const char* name) {
  const auto claim = claims.find(name);
  if (claim == claims.end() || !claim->is_string() || claim->get_ref<const std::string&>().empty()) {
    return ClaimInvalid(name);
  }
  return claim->get<std::string>();
}

absl::StatusOr<std::string> OptionalString(const json& claims, const char* name) {
  return claims.contains(name) ? RequiredString(claims, name) : "";
}

absl::StatusOr<std::vector<std::string>> OptionalStrings(const json& claims, const char* name) {
  std::vector<std::string> values;
  const auto claim = claims.find(name);
  if (claim == claims.end()) {
    return values;
  }
  if (!claim->is_array()) {
    return ClaimInvalid(name);
  }
  for (const json& value : *claim) {
    if (!value.is_string()) {
      return ClaimInvalid(name);
    }
    values.push_back(value.get<std::string>());
  }
  return values;
}

absl::StatusOr<absl::Time> RequiredTime(const json& claims, const char* name) {
  const auto claim = claims.find(name);
  if (claim == claims.end() || !claim->is_number()) {
    return ClaimInvalid(name);
  }
  const double seconds = claim->get<double>();
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kMaxNumericDate) {
    return ClaimInvalid(name);
  }
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

absl::StatusOr<std::string> Actor(const json& claims) {
  const auto actor = claims.find("act");
  if (actor == claims.end()) {
    return "";
  }
  if (!actor->is_object()) {
    return ClaimInvalid("act");
  }
  return RequiredString(*actor, "sub");
}

// The audience is one string, or several of which one must be ours (RFC 7519 section 4.1.3).
absl::StatusOr<std::string> MatchAudience(const json& claims, const std::string& wanted) {
  const auto audience = claims.find("aud");
  const bool accepted =
      audience != claims.end() &&
      (*audience == wanted || (audience->is_array() && absl::c_linear_search(*audience, json(wanted))));
  if (!accepted) {
    return Refuse("TOKEN_AUDIENCE_REFUSED", "The token is meant for somebody else.");
  }
  return wanted;
}

absl::StatusOr<TokenClaims> ReadClaims(const json& claims, const TokenVerifier::Options& options) {
  TokenClaims result;
  ASSIGN_OR_RETURN(result.issuer, RequiredString(claims, "iss"));
  if (result.issuer != options.issuer) {
    return Refuse("TOKEN_ISSUER_REFUSED", "The token was issued by somebody else.");
  }
  ASSIGN_OR_RETURN(result.audience, MatchAudience(claims, options.audience));
  ASSIGN_OR_RETURN(result.issued_at, RequiredTime(claims, "iat"));
  ASSIGN_OR_RETURN(result.not_before, RequiredTime(claims, "nbf"));
  ASSIGN_OR_RETURN(result.expires_at, RequiredTime(claims, "exp"));
  ASSIGN_OR_RETURN(result.subject, RequiredString(claims, "sub"));
  ASSIGN_OR_RETURN(result.token_id, RequiredString(claims, "jti"));
  ASSIGN_OR_RETURN(result.session, OptionalString(claims, "sid"));
  ASSIGN_OR_RETURN(result.run, OptionalString(claims, "run"));
  ASSIGN_OR_RETURN(result.actor, Actor(claims));
  ASSIGN_OR_RETURN(result.roles, OptionalStrings(claims, "roles"));
  ASSIGN_OR_RETURN(result.permissions, OptionalStrings(claims, "perms"));
  return result;
}

absl::Status CheckTimes(const TokenClaims& claims, absl::Time now, absl::Duration leeway) {
  if (now + leeway < claims.not_before) {
    return Refuse("TOKEN_NOT_YET_VALID", "The token is not valid yet.");
  }
  if (now - leeway >= claims.expires_at) {
    return Refuse("TOKEN_EXPIRED", "The token has expired.");
  }
  return absl::OkStatus();
}

json ToJson(const TokenClaims& claims) {
  json result = {{"iss", claims.issuer},
                 {"aud", claims.audience},
                 {"sub", claims.subject},
                 {"jti", claims.token_id},
                 {"iat", absl::ToUnixSeconds(claims.issued_at)},
                 {"nbf", absl::ToUnixSeconds(claims.not_before)},
                 {"exp", absl::ToUnixSeconds(claims.expires_at)}};
  if (!claims.session.empty()) {
    result["sid"] = claims.session;
  }
  if (!claims.run.empty()) {
    result["run"] = claims.run;
  }
  if (!claims.actor.empty()) {
    result["act"] = {{"sub", claims.actor}};
  }
  if (!claims.roles.empty()) {
    result["roles"] = claims.roles;
  }
  if (!claims.permissions.empty()) {
    result["perms"] = claims.permissions;
  }
  return result;
}

std::string Encode(const json& value) {
  return absl::WebSafeBase64Escape(
      value.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenVerifier>> TokenVerifier::Create(Options options, KeySource* keys,
                                                                     const Clock* clock) {
  if (options.issuer.empty() || options.audience.empty() || options.leeway < absl::ZeroDuration() ||
      options.leeway > kMaxLeeway) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     "A token verifier needs an issuer, an audience, and a leeway of 0 to 5 minutes.",
                     {.domain = "bulkhead.auth", .reason = "TOKEN_OPTIONS_INVALID"});
  }
  return std::unique_ptr<TokenVerifier>(new TokenVerifier(std::move(options), keys, clock));
}

TokenVerifier::TokenVerifier(Options options, KeySource* keys, const Clock* clock)
    : options_(std::move(options)), keys_(keys), clock_(clock) {}

absl::StatusOr<VerifiedToken> TokenVerifier::Verify(const RawToken& token) const {
  RETURN_IF_ERROR(CheckSize(token.Reveal()));
  ASSIGN_OR_RETURN(const CompactJws jws, Split(token.Reveal()));
  ASSIGN_OR_RETURN(const Header header, DecodeHeader(jws.header));
  ASSIGN_OR_RETURN(const std::shared_ptr<const crypto::VerifyingKey> key, FindKey(*keys_, header));
  RETURN_IF_ERROR(CheckAlgorithm(header, *key));
  RETURN_IF_ERROR(CheckSignature(jws, *key));
  // Only now is anything in the payload worth reading.
  ASSIGN_OR_RETURN(const std::string payload, DecodeBase64Url(jws.payload));
  ASSIGN_OR_RETURN(const json object, ParseObject(payload));
  ASSIGN_OR_RETURN(TokenClaims claims, ReadClaims(object, options_));
  RETURN_IF_ERROR(CheckTimes(claims, clock_->Now(), options_.leeway));
  claims.key_id = header.key_id;
  return VerifiedToken(std::move(claims));
}

std::string SignToken(const TokenClaims& claims, std::string_view key_id, const crypto::SigningKey& key) {
  const json header = {{"alg", crypto::AlgorithmName(key.algorithm())}, {"kid", key_id}, {"typ", kType}};
  const std::string signed_part = absl::StrCat(Encode(header), ".", Encode(ToJson(claims)));
  return absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(key.Sign(signed_part)));
}

}  // namespace bulkhead
