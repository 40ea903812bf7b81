#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/signature.h"
#include "services/common/identity/permission.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/identity/verified_token_cache.h"
#include "services/common/status/error.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"

namespace bulkhead {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

class MapKeySource : public KeySource {
 public:
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view key_id) override {
    const auto key = keys.find(key_id);
    return key == keys.end() ? nullptr : key->second;
  }
  std::map<std::string, std::shared_ptr<const crypto::VerifyingKey>, std::less<>> keys;
};

class TokenVerifierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(ed25519_, crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa));
    ASSERT_OK_AND_ASSIGN(p256_, crypto::SigningKey::Generate(crypto::Algorithm::kEs256));
    keys_.keys["ed"] = ed25519_->verifying_key();
    keys_.keys["ec"] = p256_->verifying_key();
    ASSERT_OK_AND_ASSIGN(verifier_,
                         TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys_, &clock_));
  }

  static TokenClaims Ada() {
    return {.issuer = "bulkhead",
            .audience = "bulkhead",
            .subject = "ada",
            .session = "session-1",
            .run = "run-1",
            .actor = "service-agent",
            .token_id = "token-1",
            .roles = {"user"},
            .permissions = {"run:own:*", "tool:*:invoke"},
            .issued_at = kNoon,
            .not_before = kNoon,
            .expires_at = kNoon + absl::Minutes(10)};
  }

  absl::StatusOr<VerifiedToken> Verify(std::string compact) { return verifier_->Verify(RawToken(std::move(compact))); }
  absl::StatusOr<VerifiedToken> Verify(const TokenClaims& claims) { return Verify(SignToken(claims, "ed", *ed25519_)); }

  // A correctly signed token of any content.
  std::string Sign(std::string_view header, std::string_view payload) {
    const std::string signed_part =
        absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(payload));
    return absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(ed25519_->Sign(signed_part)));
  }
  std::string SignWithHeader(json changes) {
    json header = {{"alg", "EdDSA"}, {"kid", "ed"}, {"typ", "at+jwt"}};
    header.merge_patch(changes);
    return Sign(header.dump(), ValidPayload().dump());
  }
  std::string SignWithPayload(json changes) {
    json payload = ValidPayload();
    payload.merge_patch(changes);  // null removes a member.
    return Sign(kHeader, payload.dump());
  }
  static json ValidPayload() {
    const int64_t now = absl::ToUnixSeconds(kNoon);
    return {{"iss", "bulkhead"}, {"aud", "bulkhead"}, {"sub", "ada"}, {"sid", "session-1"},
            {"jti", "token-1"},  {"iat", now},        {"nbf", now},   {"exp", now + 600}};
  }

  static constexpr std::string_view kHeader = R"({"alg":"EdDSA","kid":"ed","typ":"at+jwt"})";
  SimulatedClock clock_{kNoon};
  MapKeySource keys_;
  std::unique_ptr<crypto::SigningKey> ed25519_;
  std::unique_ptr<crypto::SigningKey> p256_;
  std::unique_ptr<TokenVerifier> verifier_;
};

TEST_F(TokenVerifierTest, ClaimsSurviveSigningAndVerification) {
  for (const auto& [id, key] : {std::pair("ed", ed25519_.get()), std::pair("ec", p256_.get())}) {
    ASSERT_OK_AND_ASSIGN(const VerifiedToken token, Verify(SignToken(Ada(), id, *key)));
    const TokenClaims& claims = token.claims();
    EXPECT_EQ(claims.subject, "ada");
    EXPECT_EQ(claims.session, "session-1");
    EXPECT_EQ(claims.run, "run-1");
    EXPECT_EQ(claims.actor, "service-agent");
    EXPECT_EQ(claims.token_id, "token-1");
    EXPECT_THAT(claims.roles, ElementsAre("user"));
    EXPECT_THAT(claims.permissions, ElementsAre("run:own:*", "tool:*:invoke"));
    EXPECT_EQ(claims.expires_at, kNoon + absl::Minutes(10));
  }
}

TEST_F(TokenVerifierTest, SizeAndFormAreCheckedFirst) {
  const std::string good = SignToken(Ada(), "ed", *ed25519_);
  EXPECT_THAT(Verify(""), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING"));
  EXPECT_THAT(Verify(std::string((16 << 10) + 1, 'x')), HasReason("TOKEN_TOO_LARGE"));
  const std::vector<std::string> parts = absl::StrSplit(good, '.');
  for (const std::string& bad : {std::string("x"), std::string(".."), good + ".x", "." + parts[1] + "." + parts[2],
                                 parts[0] + "." + parts[1] + "."}) {
    EXPECT_THAT(Verify(bad), HasReason("TOKEN_MALFORMED")) << bad;
  }
  // Two spellings of the last byte's unused bits: only the canonical one is the token.
  std::string stray = good;
  stray.back() = stray.back() == 'A' ? 'B' : static_cast<char>(stray.back() + 1);
  for (const std::string& bad : {stray, good + "=", good + "\n", " " + good, "+" + good.substr(1)}) {
    EXPECT_THAT(Verify(bad), HasReason("TOKEN_ENCODING_INVALID")) << bad;
  }
}

TEST_F(TokenVerifierTest, HeaderIsReadStrictlyAndEachRefusalHasItsReason) {
  EXPECT_THAT(Verify(SignWithHeader(json::object())), IsOk());
  EXPECT_THAT(Verify(SignWithHeader({{"typ", "application/AT+JWT"}})), IsOk());
  const std::pair<json, const char*> bad[] = {
      {{{"typ", "JWT"}}, "TOKEN_TYPE_REFUSED"},
      {{{"typ", nullptr}}, "TOKEN_TYPE_REFUSED"},
      {{{"kid", nullptr}}, "TOKEN_KEY_ID_MISSING"},
      {{{"kid", ""}}, "TOKEN_KEY_ID_MISSING"},
      {{{"kid", 1}}, "TOKEN_KEY_ID_MISSING"},
      {{{"kid", "retired"}}, "TOKEN_KEY_UNKNOWN"},
      {{{"alg", nullptr}}, "TOKEN_MALFORMED"},
      {{{"alg", 1}}, "TOKEN_MALFORMED"},
      {{{"alg", "none"}}, "TOKEN_UNSIGNED"},
      {{{"alg", "nOnE"}}, "TOKEN_UNSIGNED"},
      {{{"alg", "HS256"}}, "TOKEN_ALGORITHM_SYMMETRIC"},
      {{{"alg", "ES256"}}, "TOKEN_ALGORITHM_REFUSED"},  // Not that of the key.
      {{{"alg", "eddsa"}}, "TOKEN_ALGORITHM_REFUSED"},
      {{{"alg", "ES384"}}, "TOKEN_ALGORITHM_REFUSED"},
      {{{"crit", {"exp"}}}, "TOKEN_EXTENSION_REFUSED"},
      {{{"crit", json::array()}}, "TOKEN_EXTENSION_REFUSED"},
      {{{"b64", false}}, "TOKEN_EXTENSION_REFUSED"},
      {{{"jwk", {{"kty", "OKP"}}}}, "TOKEN_KEY_EMBEDDED"},
      {{{"jku", "https://evil.example"}}, "TOKEN_KEY_EMBEDDED"},
      {{{"x5u", "https://evil.example"}}, "TOKEN_KEY_EMBEDDED"},
      {{{"x5c", {"MII"}}}, "TOKEN_KEY_EMBEDDED"},
  };
  for (const auto& [changes, reason] : bad) {
    EXPECT_THAT(Verify(SignWithHeader(changes)), HasReason(absl::StatusCode::kUnauthenticated, reason)) << changes;
  }
  for (const char* header : {"[]", "{", "nonsense", "{\"alg\":\"EdDSA\"}x", "{\"alg\":\"EdDSA\",}"}) {
    EXPECT_THAT(Verify(Sign(header, ValidPayload().dump())), HasReason("TOKEN_MALFORMED")) << header;
  }
  // The two names are one to whoever resolves the escape.
  for (const char* header : {R"({"alg":"EdDSA","kid":"ed","typ":"at+jwt","kid":"ed"})",
                             R"({"alg":"EdDSA","kid":"ed","typ":"at+jwt","\u006bid":"ec"})"}) {
    const absl::Status twice = Verify(Sign(header, ValidPayload().dump())).status();
    EXPECT_THAT(twice, HasReason("TOKEN_MEMBER_DUPLICATE")) << header;
    EXPECT_EQ(ErrorInfoOf(twice)->metadata["member"], "kid");
  }
}

TEST_F(TokenVerifierTest, TheKeyDecidesTheAlgorithm) {
  EXPECT_THAT(Verify(SignToken(Ada(), "ec", *ed25519_)), HasReason("TOKEN_ALGORITHM_REFUSED"));
  EXPECT_THAT(Verify(SignToken(Ada(), "ed", *p256_)), HasReason("TOKEN_ALGORITHM_REFUSED"));
}

TEST_F(TokenVerifierTest, TheSignatureCoversHeaderAndPayload) {
  ASSERT_OK_AND_ASSIGN(const auto other, crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa));
  EXPECT_THAT(Verify(SignToken(Ada(), "ed", *other)), HasReason("TOKEN_SIGNATURE_INVALID"));
  TokenClaims eve = Ada();
  eve.subject = "eve";
  const std::vector<std::string> ours = absl::StrSplit(SignToken(Ada(), "ed", *ed25519_), '.');
  const std::vector<std::string> hers = absl::StrSplit(SignToken(eve, "ed", *other), '.');
  EXPECT_THAT(Verify(absl::StrCat(ours[0], ".", hers[1], ".", ours[2])), HasReason("TOKEN_SIGNATURE_INVALID"));
}

TEST_F(TokenVerifierTest, IssuerAudienceAndOtherClaims) {
  EXPECT_THAT(Verify(SignWithPayload({{"iss", "evil"}})), HasReason("TOKEN_ISSUER_REFUSED"));
  EXPECT_THAT(Verify(SignWithPayload({{"aud", "other"}})), HasReason("TOKEN_AUDIENCE_REFUSED"));
  EXPECT_THAT(Verify(SignWithPayload({{"aud", nullptr}})), HasReason("TOKEN_AUDIENCE_REFUSED"));
  EXPECT_THAT(Verify(SignWithPayload({{"aud", {"other", "bulkhead"}}})), IsOk());

  const std::pair<const char*, json> bad[] = {
      {"iss", nullptr},  {"sub", nullptr}, {"sub", ""}, {"jti", 7},  {"iat", nullptr}, {"nbf", "noon"},
      {"exp", -1},       {"exp", 1e300},   {"sid", 5},  {"run", ""}, {"act", "x"},     {"act", json::object()},
      {"roles", "user"}, {"perms", {1}}};
  for (const auto& [claim, value] : bad) {
    // merge_patch would merge an empty object into nothing; every other value replaces the claim.
    const absl::StatusOr<VerifiedToken> result = Verify(SignWithPayload({{claim, value}}));
    EXPECT_THAT(result, HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_CLAIM_INVALID")) << claim << " " << value;
  }
  EXPECT_THAT(Verify(Sign(kHeader, R"({"iss":"bulkhead","iss":"evil"})")), HasReason("TOKEN_MEMBER_DUPLICATE"));
  EXPECT_THAT(Verify(Sign(kHeader, R"(["iss"])")), HasReason("TOKEN_MALFORMED"));
}

TEST_F(TokenVerifierTest, TimesAreCheckedWithLeeway) {
  TokenClaims claims = Ada();
  claims.not_before = kNoon + absl::Seconds(31);
  EXPECT_THAT(Verify(claims), HasReason("TOKEN_NOT_YET_VALID"));
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Verify(claims), IsOk());
  clock_.Advance(absl::Minutes(10) + absl::Seconds(28));
  EXPECT_THAT(Verify(claims), IsOk());
  clock_.Advance(absl::Seconds(1));
  const absl::StatusOr<VerifiedToken> expired = Verify(claims);
  EXPECT_THAT(expired, HasReason("TOKEN_EXPIRED"));
  EXPECT_THAT(std::string(expired.status().message()), Not(HasSubstr("ey"))) << "quotes the token";
}

class TokenCacheTest : public TokenVerifierTest {
 protected:
  void SetUp() override {
    TokenVerifierTest::SetUp();
    ASSERT_OK_AND_ASSIGN(
        verifier_,
        TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead", .cache_entries = 64}, &keys_, &clock_));
  }
};

TEST_F(TokenCacheTest, ARememberedTokenIsTheSameToken) {
  const std::string token = SignToken(Ada(), "ed", *ed25519_);
  ASSERT_OK_AND_ASSIGN(const VerifiedToken first, Verify(token));
  ASSERT_OK_AND_ASSIGN(const VerifiedToken second, Verify(token));
  EXPECT_EQ(first.shared_claims(), second.shared_claims()) << "it was verified again";
  EXPECT_EQ(second.key_id(), "ed");
  EXPECT_EQ(second.claims().subject, "ada");
}

TEST_F(TokenCacheTest, ARememberedTokenExpires) {
  const std::string token = SignToken(Ada(), "ed", *ed25519_);
  ASSERT_OK(Verify(token));
  clock_.Advance(absl::Minutes(10) + absl::Seconds(30));
  EXPECT_THAT(Verify(token), HasReason("TOKEN_EXPIRED"));
  EXPECT_THAT(Verify(token), HasReason("TOKEN_EXPIRED"));
}

TEST_F(TokenCacheTest, ARememberedTokenDiesWithItsKey) {
  const std::string token = SignToken(Ada(), "ed", *ed25519_);
  ASSERT_OK(Verify(token));
  keys_.keys.erase("ed");
  EXPECT_THAT(Verify(token), HasReason("TOKEN_KEY_UNKNOWN"));
  // Another key under the same id did not sign it.
  ASSERT_OK_AND_ASSIGN(const auto other, crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa));
  keys_.keys["ed"] = ed25519_->verifying_key();
  ASSERT_OK(Verify(token));
  keys_.keys["ed"] = other->verifying_key();
  EXPECT_THAT(Verify(token), HasReason("TOKEN_SIGNATURE_INVALID"));
}

TEST_F(TokenCacheTest, RefusedTokensAreNotRememberedAndNothingPassesForARememberedOne) {
  const std::string token = SignToken(Ada(), "ed", *ed25519_);
  ASSERT_OK(Verify(token));
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    if (changed == token) {
      continue;
    }
    EXPECT_FALSE(Verify(changed).ok()) << "byte " << i;
    EXPECT_FALSE(Verify(changed).ok()) << "byte " << i << ", asked again";
  }
  EXPECT_THAT(Verify(token + "="), HasReason("TOKEN_ENCODING_INVALID"));
  EXPECT_THAT(Verify(token.substr(0, token.size() - 1)), HasReason("TOKEN_ENCODING_INVALID"));
  EXPECT_THAT(Verify(""), HasReason("TOKEN_MISSING"));
  EXPECT_THAT(Verify(std::string(20 << 10, 'a')), HasReason("TOKEN_TOO_LARGE"));
  // Not yet valid now is not remembered as refused either.
  TokenClaims later = Ada();
  later.not_before = kNoon + absl::Minutes(1);
  const std::string early = SignToken(later, "ed", *ed25519_);
  EXPECT_THAT(Verify(early), HasReason("TOKEN_NOT_YET_VALID"));
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(Verify(early), IsOk());
}

TEST_F(TokenCacheTest, RevokedSessionsAndKeysAreForgotten) {
  TokenClaims bob = Ada();
  bob.subject = "bob";  // His session has the same id: sessions are told apart by user and id.
  const std::string of_ada = SignToken(Ada(), "ed", *ed25519_);
  const std::string of_bob = SignToken(bob, "ec", *p256_);
  ASSERT_OK_AND_ASSIGN(const VerifiedToken ada, Verify(of_ada));
  ASSERT_OK_AND_ASSIGN(const VerifiedToken bobs, Verify(of_bob));
  verifier_->ForgetSession("ada", "session-1");
  ASSERT_OK_AND_ASSIGN(const VerifiedToken again, Verify(of_ada));
  EXPECT_NE(again.shared_claims(), ada.shared_claims());
  ASSERT_OK_AND_ASSIGN(const VerifiedToken untouched, Verify(of_bob));
  EXPECT_EQ(untouched.shared_claims(), bobs.shared_claims());
  verifier_->ForgetKey("ec");
  ASSERT_OK_AND_ASSIGN(const VerifiedToken anew, Verify(of_bob));
  EXPECT_NE(anew.shared_claims(), bobs.shared_claims());
}

TEST_F(TokenCacheTest, TheCacheIsBoundedAndKeepsWhatIsInUse) {
  VerifiedTokenCache cache(32);
  const std::string mine = SignToken(Ada(), "ed", *ed25519_);
  ASSERT_OK_AND_ASSIGN(const VerifiedToken token, Verify(mine));
  const VerifiedTokenCache::Entry entry{.token = token, .key = ed25519_->verifying_key()};
  const auto in_use = VerifiedTokenCache::FingerprintOf(RawToken(mine));
  cache.Insert(in_use, entry, kNoon);
  for (int i = 0; i < 1000; ++i) {
    cache.Insert(VerifiedTokenCache::FingerprintOf(RawToken(absl::StrCat("another ", i))), entry, kNoon);
    EXPECT_TRUE(cache.Find(in_use).has_value()) << i;
    EXPECT_LE(cache.size(), 32u);
  }
  EXPECT_EQ(cache.size(), 32u);
  cache.ForgetKey("ed");
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_FALSE(cache.Find(in_use).has_value());
}

TEST_F(TokenVerifierTest, OptionsAreChecked) {
  for (const TokenVerifier::Options& options :
       {TokenVerifier::Options{.issuer = "", .audience = "a"}, TokenVerifier::Options{.issuer = "i", .audience = ""},
        TokenVerifier::Options{"i", "a", absl::Minutes(6)}, TokenVerifier::Options{"i", "a", -absl::Seconds(1)}}) {
    EXPECT_THAT(TokenVerifier::Create(options, &keys_, &clock_),
                HasReason(absl::StatusCode::kInvalidArgument, "TOKEN_OPTIONS_INVALID"));
  }
}

using UserContextTest = TokenVerifierTest;

TEST_F(UserContextTest, CarriesTheIdentityAndDerivesChildren) {
  ASSERT_OK_AND_ASSIGN(const VerifiedToken token, Verify(Ada()));
  ASSERT_OK_AND_ASSIGN(
      const UserContext user,
      UserContext::FromToken(
          token,
          {.request_id = "req-1", .parent_request_id = "", .thread = "thread-1", .traceparent = "", .client = "curl"}));
  EXPECT_EQ(user.user_name(), "users/ada");
  EXPECT_FALSE(user.is_service());
  EXPECT_THAT(user.Require("tool:table.load:invoke"), IsOk());
  const absl::Status denied = user.Require("event:any:publish");
  EXPECT_THAT(denied, HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_EQ(ErrorInfoOf(denied)->metadata["permission"], "event:any:publish");

  ASSERT_OK_AND_ASSIGN(const UserContext child, user.Child("req-2"));
  EXPECT_EQ(child.request().request_id, "req-2");
  EXPECT_EQ(child.request().parent_request_id, "req-1");
  EXPECT_EQ(child.request().thread, "thread-1");
  EXPECT_EQ(user.request().request_id, "req-1");
  EXPECT_THAT(user.Child(""), HasReason("ID_EMPTY"));
}

TEST_F(UserContextTest, RefusesWhatIsNoIdentity) {
  const auto context = [this](auto change, std::string request_id = "req-1") {
    TokenClaims claims = Ada();
    change(claims);
    absl::StatusOr<VerifiedToken> token = Verify(claims);
    EXPECT_THAT(token, IsOk());
    RequestInfo request;
    request.request_id = std::move(request_id);
    return UserContext::FromToken(*token, std::move(request)).status();
  };
  EXPECT_THAT(context([](TokenClaims&) {}), IsOk());
  EXPECT_THAT(context([](TokenClaims& claims) { claims.subject = "default"; }),
              HasReason(absl::StatusCode::kInvalidArgument, "ID_PLACEHOLDER"));
  EXPECT_THAT(context([](TokenClaims& claims) { claims.subject = "../ada"; }), HasReason("ID_MALFORMED"));
  EXPECT_THAT(context([](TokenClaims& claims) { claims.session = ""; }), HasReason("ID_EMPTY"));
  EXPECT_THAT(context([](TokenClaims& claims) { claims.run = "temp"; }), HasReason("ID_PLACEHOLDER"));
  EXPECT_THAT(context([](TokenClaims&) {}, ""), HasReason("ID_EMPTY"));
  EXPECT_THAT(context([](TokenClaims&) {}, "Has Spaces"), HasReason("ID_MALFORMED"));
}

TEST_F(UserContextTest, OnlyATokenWithoutASessionIsAService) {
  for (const bool has_session : {false, true}) {
    TokenClaims claims = Ada();
    claims.subject = "service-agent";
    claims.session = has_session ? "session-1" : "";
    ASSERT_OK_AND_ASSIGN(const VerifiedToken token, Verify(claims));
    RequestInfo request;
    request.request_id = "req-1";
    ASSERT_OK_AND_ASSIGN(const UserContext user, UserContext::FromToken(token, std::move(request)));
    EXPECT_EQ(user.is_service(), !has_session);
  }
}

TEST(PermissionTest, PatternsMatchPartByPart) {
  const std::vector<std::string> granted = {"tool:*:invoke", "run:own:*", "broken"};
  EXPECT_TRUE(IsGranted(granted, "tool:table.load:invoke"));
  EXPECT_TRUE(IsGranted(granted, "run:own:read"));
  EXPECT_FALSE(IsGranted(granted, "run:any:read"));
  EXPECT_FALSE(IsGranted(granted, "tool:table.load:register"));
  EXPECT_FALSE(IsGranted(granted, "run:*:read")) << "a wish for everything needs a grant of everything";
  EXPECT_FALSE(IsGranted(granted, "tool:table:load:invoke")) << "* matches one part";
  EXPECT_FALSE(IsGranted(granted, "broken"));
  EXPECT_FALSE(IsGranted(granted, ""));
  EXPECT_FALSE(IsGranted({}, "run:own:read"));
  EXPECT_TRUE(IsGranted({"*:*:*"}, "run:*:read"));

  EXPECT_THAT(ValidatePermissionPattern("tool:table.load:invoke"), IsOk());
  for (const std::string pattern : {"", "a:b", "a:b:c:d", "a::c", "A:b:c", "a:b*:c"}) {
    EXPECT_THAT(ValidatePermissionPattern(pattern),
                HasReason(absl::StatusCode::kInvalidArgument, "PERMISSION_MALFORMED"));
  }
  EXPECT_THAT(ValidatePermissionPattern("a:b:" + std::string(65, 'c')), HasReason("PERMISSION_MALFORMED"));
}

}  // namespace
}  // namespace bulkhead
