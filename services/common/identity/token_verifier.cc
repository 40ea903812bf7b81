#include "services/common/identity/token_verifier.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/jws.h"
#include "services/common/identity/strict_json.h"
#include "services/common/identity/verified_token_cache.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead {
namespace {

using nlohmann::json;

constexpr absl::Duration kMaxLeeway = absl::Minutes(5);
constexpr double kMaxNumericDate = 253402300799;  // The end of the year 9999.
constexpr std::string_view kType = "at+jwt";

absl::Status Refuse(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kUnauthenticated, message,
                   {.domain = "bulkhead.auth", .reason = std::string(reason)});
}

absl::Status ClaimInvalid(std::string_view claim) {
  return MakeError(
      absl::StatusCode::kUnauthenticated, absl::StrCat("The token's claim `", claim, "` is missing or malformed."),
      {.domain = "bulkhead.auth", .reason = "TOKEN_CLAIM_INVALID", .metadata = {{"claim", std::string(claim)}}});
}

// The claims that are read, by name; null when absent. One pass instead of a search for each.
struct Members {
  const JsonValue* issuer = nullptr;
  const JsonValue* audience = nullptr;
  const JsonValue* subject = nullptr;
  const JsonValue* token_id = nullptr;
  const JsonValue* issued_at = nullptr;
  const JsonValue* not_before = nullptr;
  const JsonValue* expires_at = nullptr;
  const JsonValue* session = nullptr;
  const JsonValue* run = nullptr;
  const JsonValue* actor = nullptr;
  const JsonValue* roles = nullptr;
  const JsonValue* permissions = nullptr;
};

// A name of three bytes as a number: most claims have one.
constexpr uint32_t Tag(std::string_view name) {
  const auto byte = [name](size_t i) { return uint32_t{static_cast<uint8_t>(name[i])}; };
  return byte(0) << 16 | byte(1) << 8 | byte(2);
}

Members FindMembers(const JsonValue& claims) {
  Members members;
  for (const JsonValue& claim : claims) {
    const std::string_view name = claim.name();
    if (name.size() != 3) {
      if (name == "roles") {
        members.roles = &claim;
      } else if (name == "perms") {
        members.permissions = &claim;
      }
      continue;
    }
    switch (Tag(name)) {
      case Tag("iss"):
        members.issuer = &claim;
        break;
      case Tag("aud"):
        members.audience = &claim;
        break;
      case Tag("sub"):
        members.subject = &claim;
        break;
      case Tag("jti"):
        members.token_id = &claim;
        break;
      case Tag("iat"):
        members.issued_at = &claim;
        break;
      case Tag("nbf"):
        members.not_before = &claim;
        break;
      case Tag("exp"):
        members.expires_at = &claim;
        break;
      case Tag("sid"):
        members.session = &claim;
        break;
      case Tag("run"):
        members.run = &claim;
        break;
      case Tag("act"):
        members.actor = &claim;
        break;
      default:
        break;  // RFC 7519 section 4: claims that are not understood are ignored.
    }
  }
  return members;
}

absl::Status ReadString(const JsonValue* claim, std::string_view name, std::string& value) {
  if (claim == nullptr || !claim->is_string() || claim->text().empty()) {
    return ClaimInvalid(name);
  }
  value = claim->text();
  return absl::OkStatus();
}

absl::Status ReadOptionalString(const JsonValue* claim, std::string_view name, std::string& value) {
  return claim == nullptr ? absl::OkStatus() : ReadString(claim, name, value);
}

absl::Status ReadOptionalStrings(const JsonValue* claim, std::string_view name, std::vector<std::string>& values) {
  if (claim == nullptr) {
    return absl::OkStatus();
  }
  if (!claim->is_array()) {
    return ClaimInvalid(name);
  }
  size_t count = 0;
  for (const JsonValue& value : *claim) {
    if (!value.is_string()) {
      return ClaimInvalid(name);
    }
    ++count;
  }
  values.reserve(count);
  for (const JsonValue& value : *claim) {
    values.emplace_back(value.text());
  }
  return absl::OkStatus();
}

absl::Status ReadTime(const JsonValue* claim, std::string_view name, absl::Time& time) {
  const std::optional<double> seconds = claim == nullptr ? std::nullopt : claim->number();
  if (!seconds.has_value() || *seconds < 0 || *seconds > kMaxNumericDate) {
    return ClaimInvalid(name);
  }
  const auto whole = static_cast<int64_t>(*seconds);
  time = absl::FromUnixSeconds(whole);
  if (const double fraction = *seconds - static_cast<double>(whole); fraction != 0) {
    time += absl::Seconds(fraction);
  }
  return absl::OkStatus();
}

absl::Status ReadActor(const JsonValue* claim, std::string& actor) {
  if (claim == nullptr) {
    return absl::OkStatus();
  }
  return claim->is_object() ? ReadString(claim->Find("sub"), "sub", actor) : ClaimInvalid("act");
}

// The audience is one string, or several of which one must be ours (RFC 7519 section 4.1.3).
bool IsFor(const JsonValue* claim, std::string_view wanted) {
  const auto is_ours = [wanted](const JsonValue& value) { return value.is_string() && value.text() == wanted; };
  if (claim == nullptr || is_ours(*claim)) {
    return claim != nullptr;
  }
  for (const JsonValue& value : *claim) {
    if (claim->is_array() && is_ours(value)) {
      return true;
    }
  }
  return false;
}

absl::Status ReadClaims(const JsonValue& payload, const TokenVerifier::Options& options, TokenClaims& claims) {
  const Members members = FindMembers(payload);
  RETURN_IF_ERROR(ReadString(members.issuer, "iss", claims.issuer));
  if (claims.issuer != options.issuer) {
    return Refuse("TOKEN_ISSUER_REFUSED", "The token was issued by somebody else.");
  }
  if (!IsFor(members.audience, options.audience)) {
    return Refuse("TOKEN_AUDIENCE_REFUSED", "The token is meant for somebody else.");
  }
  claims.audience = options.audience;
  RETURN_IF_ERROR(ReadTime(members.issued_at, "iat", claims.issued_at));
  RETURN_IF_ERROR(ReadTime(members.not_before, "nbf", claims.not_before));
  RETURN_IF_ERROR(ReadTime(members.expires_at, "exp", claims.expires_at));
  RETURN_IF_ERROR(ReadString(members.subject, "sub", claims.subject));
  RETURN_IF_ERROR(ReadString(members.token_id, "jti", claims.token_id));
  RETURN_IF_ERROR(ReadOptionalString(members.session, "sid", claims.session));
  RETURN_IF_ERROR(ReadOptionalString(members.run, "run", claims.run));
  RETURN_IF_ERROR(ReadActor(members.actor, claims.actor));
  RETURN_IF_ERROR(ReadOptionalStrings(members.roles, "roles", claims.roles));
  return ReadOptionalStrings(members.permissions, "perms", claims.permissions);
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
    : options_(std::move(options)),
      policy_({.type = std::string(kType)}),
      keys_(keys),
      clock_(clock),
      cache_(options_.cache_entries == 0 ? nullptr : std::make_unique<VerifiedTokenCache>(options_.cache_entries)) {}

TokenVerifier::~TokenVerifier() = default;

absl::StatusOr<VerifiedToken> TokenVerifier::Verify(const RawToken& token) const {
  std::shared_ptr<const crypto::VerifyingKey> key;
  if (cache_ == nullptr || token.Reveal().size() > policy_.max_bytes) {
    return VerifyAnew(token, key);
  }
  const VerifiedTokenCache::Fingerprint fingerprint = VerifiedTokenCache::FingerprintOf(token);
  if (std::optional<VerifiedTokenCache::Entry> known = cache_->Find(fingerprint); known.has_value()) {
    // What can have changed since: the time, and whether the same key is still accepted under this id.
    if (keys_->Find(known->token.key_id()) == known->key) {
      const absl::Status timely = CheckTimes(known->token.claims(), clock_->Now(), options_.leeway);
      if (timely.ok()) {
        return std::move(known)->token;
      }
      cache_->Erase(fingerprint);
      return timely;
    }
    cache_->Erase(fingerprint);
  }
  ASSIGN_OR_RETURN(VerifiedToken verified, VerifyAnew(token, key));
  cache_->Insert(fingerprint, {.token = verified, .key = std::move(key)}, clock_->Now() - options_.leeway);
  return verified;
}

absl::StatusOr<VerifiedToken> TokenVerifier::VerifyAnew(const RawToken& token,
                                                        std::shared_ptr<const crypto::VerifyingKey>& key) const {
  std::shared_ptr<const JwsHeader> known = last_header_.load(std::memory_order_acquire);
  ASSIGN_OR_RETURN(const Jws jws, Jws::Parse(token.Reveal(), policy_, known));
  key = keys_->Find(jws.key_id());
  if (key == nullptr) {
    return MakeError(absl::StatusCode::kUnauthenticated,
                     "The token is signed with a key that is not, or no longer, known.",
                     {.domain = "bulkhead.auth", .reason = "TOKEN_KEY_UNKNOWN", .metadata = {{"kid", jws.key_id()}}});
  }
  RETURN_IF_ERROR(jws.CheckSignature(*key));
  if (jws.header() != known) {
    last_header_.store(jws.header(), std::memory_order_release);
  }
  // Only now is anything in the payload worth reading.
  ASSIGN_OR_RETURN(std::string payload, jws.DecodePayload());
  StrictJson object;
  RETURN_IF_ERROR(ParsePayload(std::move(payload), object));
  auto state = std::make_shared<VerifiedToken::State>();
  RETURN_IF_ERROR(ReadClaims(object.root(), options_, state->claims));
  RETURN_IF_ERROR(CheckTimes(state->claims, clock_->Now(), options_.leeway));
  state->claims.key_id = jws.key_id();
  return VerifiedToken(std::move(state));
}

void TokenVerifier::ForgetSession(std::string_view user, std::string_view session) const {
  if (cache_ != nullptr) {
    cache_->ForgetSession(user, session);
  }
}

void TokenVerifier::ForgetKey(std::string_view key_id) const {
  if (cache_ != nullptr) {
    cache_->ForgetKey(key_id);
  }
}

std::string SignToken(const TokenClaims& claims, std::string_view key_id, const crypto::SigningKey& key) {
  const json header = {{"alg", crypto::AlgorithmName(key.algorithm())}, {"kid", key_id}, {"typ", kType}};
  const std::string signed_part = absl::StrCat(Encode(header), ".", Encode(ToJson(claims)));
  return absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(key.Sign(signed_part)));
}

}  // namespace bulkhead
