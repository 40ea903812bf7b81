// RFC 9700 section 4, attack by attack, against sign-in through OpenID providers; and what a dishonest provider may try. Attacks on our own tokens:
// session_test (refresh token reuse, section 4.14), token_test and oauth_endpoint_test (audiences, substitution, section 4.10).
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/openid_provider.h"
#include "testing/integration/auth/openid_sign_in.h"

namespace bulkhead::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using auth::v1::SessionService;

const nlohmann::json kAccounts = {{"grace", {{"email", "grace@example.org"}}},
                                  {"mallory", {{"email", "mallory@example.org"}}}};

// The honest provider and the platform.
struct Honest {
  std::unique_ptr<OpenIdProvider> provider;
  std::unique_ptr<Harness> platform;
};
absl::StatusOr<Honest> StartHonest() {
  Honest world;
  ASSIGN_OR_RETURN(world.provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSIGN_OR_RETURN(
      world.platform,
      Harness::Builder().OnSystemClock().Configure(WithProviders({{.issuer = world.provider->issuer()}})).Build());
  return world;
}

// The provider that attacks, as "evil", and the platform.
struct Attacked {
  std::unique_ptr<OpenIdProvider> evil;
  std::unique_ptr<Harness> platform;

  // Signs in there, after it has been told what to do.
  absl::StatusOr<nlohmann::json> SignIn(const nlohmann::json& script) {
    RETURN_IF_ERROR(evil->Script(script));
    return Visitor(platform.get()).SignInAtOnce("evil");
  }
};
absl::StatusOr<Attacked> StartAttacked() {
  Attacked world;
  ASSIGN_OR_RETURN(world.evil, OpenIdProvider::StartAttacker());
  ASSIGN_OR_RETURN(world.platform,
                   Harness::Builder()
                       .OnSystemClock()
                       .Configure(WithProviders({{.id = "evil", .issuer = world.evil->issuer(), .secret = false}}))
                       .Build());
  return world;
}

// The callback's query that an honest sign-in of `login` ends with; the visitor's cookie goes with it.
absl::StatusOr<std::string> QueryOf(Visitor& visitor, std::string_view login) {
  ASSIGN_OR_RETURN(Browser::Page page, visitor.Start());
  ASSIGN_OR_RETURN(page, ClickThrough(visitor.browser(), std::move(page), login));
  return page.query();
}

// The value of a parameter of a query that needs no decoding.
std::string Parameter(std::string_view query, std::string_view name) {
  const size_t at = absl::StrCat("&", query).find(absl::StrCat("&", name, "="));
  const std::string_view rest = at == std::string::npos ? "" : query.substr(at + name.size() + 1);
  return std::string(rest.substr(0, rest.find('&')));
}

std::string ProblemOf(const absl::Status& status) {
  const std::optional<ErrorInfo> info = ErrorInfoOf(status);
  return info.has_value() && info->metadata.contains("problem") ? info->metadata.at("problem")
                                                                : std::string(status.message());
}

// RFC 9700 section 4.1.
TEST(OAuthAttacksTest, RedirectTamperingIsRefusedBeforeTheProviderIsAsked) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  for (const char* uri :
       {"", "https://evil.example/v1/oidc/callback", "http://127.0.0.1.evil.example/v1/oidc/callback",
        "http://127.0.0.1@evil.example/v1/oidc/callback", "http://127.0.0.1/v1/oidc/callback/",
        "http://127.0.0.1/v1/oidc/callback?next=x", "http://127.0.0.1/v1/oidc/callback#x",
        "http://127.0.0.1/v1/oidc/../oidc/callback", "http://127.0.0.1/V1/oidc/callback",
        "http://127.0.0.2/v1/oidc/callback", "http://localhost/v1/oidc/callback", "https://127.0.0.1/v1/oidc/callback",
        "http://127.0.0.1:0/v1/oidc/callback", "//127.0.0.1/v1/oidc/callback", "javascript:alert(1)"}) {
    SCOPED_TRACE(uri);
    auth::v1::BeginProviderSignInRequest begin;
    begin.set_provider("providers/evil");
    begin.set_redirect_uri(uri);
    EXPECT_THAT(CallWithToken<SessionService>(*world.platform, "", &SessionService::Stub::BeginProviderSignIn, begin),
                HasReason(absl::StatusCode::kInvalidArgument, "REDIRECT_URI_REFUSED"));
  }
  // Nor does the gateway's own way in take one from the browser.
  Visitor visitor(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const Browser::Page page,
                       visitor.StartFromPage({{"redirectUri", "https://evil.example/"}}, "", "evil"));
  EXPECT_TRUE(absl::StartsWith(page.url, visitor.Url("/v1/oidc/callback"))) << page.url;
}

// RFC 9700 section 4.4.
TEST(OAuthAttacksTest, MixUpOfProvidersIsFoundByTheIssuer) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto honest, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto evil, OpenIdProvider::StartAttacker());
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .OnSystemClock()
                           .Configure(WithProviders({{.id = "corp", .issuer = honest->issuer()},
                                                     {.id = "evil", .issuer = evil->issuer(), .secret = false}}))
                           .Build());
  // Grace chooses the evil one, which sends her on to the honest one with her state. The code that comes back must not be handed to the evil one.
  Visitor grace(platform.get());
  ASSERT_OK_AND_ASSIGN(const Browser::Page sent,
                       grace.browser().GetUntil(grace.Url("/v1/oidc/evil/start"), evil->issuer()));
  const std::string on = absl::StrReplaceAll(
      sent.url, {{absl::StrCat(evil->issuer(), "/authorize"), absl::StrCat(honest->issuer(), "/auth")}});
  ASSERT_OK_AND_ASSIGN(Browser::Page page, grace.browser().Get(on));
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(grace.browser(), std::move(page), "grace"));
  ASSERT_THAT(page.query(), HasSubstr("code="));
  EXPECT_THAT(grace.Finish(page.query()), HasReason("PROVIDER_ISSUER_MISMATCH"));
  EXPECT_THAT(evil->TokenRequests(), IsEmpty());

  // An answer that does not say whose it is, from one that says it always does so; and one that says so of another.
  ASSERT_OK(evil->Script({{"redirect", {{"iss", nullptr}}}}));
  EXPECT_THAT(grace.SignInAtOnce("evil"), HasReason("PROVIDER_ISSUER_MISMATCH"));
  ASSERT_OK(evil->Script({{"redirect", {{"iss", honest->issuer()}}}}));
  EXPECT_THAT(grace.SignInAtOnce("evil"), HasReason("PROVIDER_ISSUER_MISMATCH"));
  // Errors are no way around it.
  ASSERT_OK(evil->Script({{"redirect", {{"code", nullptr}, {"error", "access_denied"}, {"iss", honest->issuer()}}}}));
  EXPECT_THAT(grace.SignInAtOnce("evil"), HasReason("PROVIDER_ISSUER_MISMATCH"));
  EXPECT_THAT(evil->TokenRequests(), IsEmpty());
}

// RFC 9700 section 4.5: the attacker's browser brings a code that it has got hold of.
TEST(OAuthAttacksTest, InjectedCodeFailsForItsVerifier) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Honest world, StartHonest());
  Visitor grace(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const std::string victims, QueryOf(grace, "grace"));
  Visitor mallory(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const std::string own, QueryOf(mallory, "mallory"));
  const std::string injected = absl::StrReplaceAll(own, {{Parameter(own, "code"), Parameter(victims, "code")}});
  const absl::Status refused = mallory.Finish(injected).status();
  EXPECT_THAT(refused, HasReason("PROVIDER_REFUSED"));
  EXPECT_EQ(ErrorInfoOf(refused)->metadata["error"], "invalid_grant");
  EXPECT_THAT(DecisionsOfAll(*world.platform), Contains("session.sign_in PROVIDER_REFUSED"));
}

// The same where the provider does not look at the verifier: the nonce is what is left.
TEST(OAuthAttacksTest, InjectedCodeFailsForItsNonceToo) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  EXPECT_THAT(world.SignIn({{"claims", {{"nonce", "of another sign-in"}}}}), HasReason("NONCE_INVALID"));
  EXPECT_THAT(world.SignIn({{"claims", {{"nonce", nullptr}}}}), HasReason("NONCE_INVALID"));
  EXPECT_OK(world.SignIn(nlohmann::json::object()));
}

// RFC 9700 section 4.5 and RFC 6749 section 10.5.
TEST(OAuthAttacksTest, ReplayedCodeOpensNothing) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Honest world, StartHonest());
  Visitor grace(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const std::string query, QueryOf(grace, "grace"));
  const std::string state = grace.browser().cookie(grace.Url("/v1/oidc/callback"), "bulkhead_sign_in");
  ASSERT_OK(grace.Finish(query));

  // The whole answer once more, with the cookie once more: the state is used up.
  grace.browser().SetCookie(grace.Url("/"), "bulkhead_sign_in", state);
  EXPECT_THAT(grace.Finish(query), HasReason("STATE_INVALID"));
  // The code under a state of its own: the provider knows it as used.
  Visitor mallory(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const std::string own, QueryOf(mallory, "mallory"));
  EXPECT_THAT(mallory.Finish(absl::StrReplaceAll(own, {{Parameter(own, "code"), Parameter(query, "code")}})),
              HasReason("PROVIDER_REFUSED"));
}

// RFC 9700 section 4.7: the attacker makes the victim's browser finish the attacker's sign-in.
TEST(OAuthAttacksTest, CrossSiteRequestForgeryFailsForTheStateOfTheBrowser) {
  Covers({"AU-2", "AU-8"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  Visitor mallory(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const Browser::Page page, mallory.Start("evil"));
  const std::string forged = page.query();

  Visitor victim(world.platform.get());
  EXPECT_THAT(victim.Finish(forged), HasReason("STATE_INVALID"));  // Signed in nowhere.
  ASSERT_OK(victim.Start("evil").status());
  EXPECT_THAT(victim.Finish(forged), HasReason("STATE_INVALID"));  // In the middle of a sign-in of her own.
  EXPECT_THAT(victim.Finish(absl::StrReplaceAll(forged, {{"state=", "stat="}})), HasReason("STATE_INVALID"));
  // A second cookie, as another site of the same domain could plant one, is not chosen between.
  ASSERT_OK_AND_ASSIGN(auto client, gateway::GatewayClient::Create({.base_url = world.platform->url()}));
  ASSERT_OK_AND_ASSIGN(
      const gateway::RawResponse planted,
      client->Send(
          {.method = "POST",
           .path = "/v1/oidc/callback",
           .headers = {{"Content-Type", "application/json"},
                       {"Cookie", absl::StrCat("bulkhead_sign_in=x; bulkhead_sign_in=", Parameter(forged, "state"))}},
           .body = nlohmann::json({{"redirectQuery", forged}}).dump()},
          RawToken()));
  EXPECT_THAT(planted.body, HasSubstr("STATE_INVALID"));
  EXPECT_THAT(world.evil->TokenRequests(), IsEmpty());
  EXPECT_THAT(DecisionsOfAll(*world.platform), Contains("session.sign_in STATE_INVALID"));
  // What was tried in vain did not use up the attacker's own.
  EXPECT_OK(mallory.Finish(forged));
}

TEST(OAuthAttacksTest, StateIsGoodForOneTryEvenAFailedOne) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  Visitor visitor(world.platform.get());
  ASSERT_OK_AND_ASSIGN(const Browser::Page page, visitor.Start("evil"));
  const std::string state = visitor.browser().cookie(visitor.Url("/v1/oidc/callback"), "bulkhead_sign_in");
  EXPECT_THAT(
      visitor.Finish(absl::StrCat("error=access_denied&state=", state, "&iss=", Parameter(page.query(), "iss"))),
      HasReason("PROVIDER_REFUSED"));
  visitor.browser().SetCookie(visitor.Url("/"), "bulkhead_sign_in", state);
  EXPECT_THAT(visitor.Finish(page.query()), HasReason("STATE_INVALID"));
  EXPECT_THAT(world.evil->TokenRequests(), IsEmpty());
}

TEST(OAuthAttacksTest, StateEndsAfterTenMinutes) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto evil, OpenIdProvider::StartAttacker());
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .StartAt(RealNow())
                           .Configure(WithProviders({{.id = "evil", .issuer = evil->issuer(), .secret = false}}))
                           .Build());
  Visitor visitor(platform.get());
  ASSERT_OK_AND_ASSIGN(const Browser::Page page, visitor.Start("evil"));
  platform->Advance(absl::Minutes(10));
  EXPECT_THAT(visitor.Finish(page.query()), HasReason("STATE_INVALID"));
  EXPECT_THAT(evil->TokenRequests(), IsEmpty());
}

// RFC 9700 section 4.8.
TEST(OAuthAttacksTest, PkceDowngradeFails) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Honest honest, StartHonest());
  // Somebody takes the challenge out of the request on its way.
  Visitor grace(honest.platform.get());
  ASSERT_OK_AND_ASSIGN(const Browser::Page sent,
                       grace.browser().GetUntil(grace.Url("/v1/oidc/corp/start"), honest.provider->issuer()));
  ASSERT_THAT(sent.url, HasSubstr("code_challenge_method=S256"));
  const std::string stripped =
      absl::StrReplaceAll(sent.url, {{absl::StrCat("&code_challenge=", Parameter(sent.query(), "code_challenge")), ""},
                                     {"&code_challenge_method=S256", ""}});
  ASSERT_OK_AND_ASSIGN(const Browser::Page back, grace.browser().Get(stripped));
  EXPECT_THAT(grace.Finish(back.query()), HasReason("PROVIDER_REFUSED"));

  // A provider that can do less is not used with less.
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  ASSERT_OK(world.evil->Script({{"metadata", {{"code_challenge_methods_supported", {"plain"}}}}}));
  const absl::Status refused = Visitor(world.platform.get()).SignInAtOnce("evil").status();
  EXPECT_THAT(refused, HasReason("PROVIDER_METADATA_INVALID"));
  EXPECT_THAT(ProblemOf(refused), HasSubstr("code_challenge_methods_supported"));
}

// RFC 9700 section 4.8.1: each code request has a verifier of its own, which nobody saw before.
TEST(OAuthAttacksTest, EverySignInHasSecretsOfItsOwn) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  ASSERT_OK(world.SignIn(nlohmann::json::object()));
  ASSERT_OK(world.SignIn(nlohmann::json::object()));
  const nlohmann::json requests = world.evil->TokenRequests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_THAT(requests[0]["code_verifier"].get<std::string>(), SizeIs(43));
  EXPECT_NE(requests[0]["code_verifier"], requests[1]["code_verifier"]);
  EXPECT_EQ(requests[0]["grant_type"], "authorization_code");
}

// RFC 9700 section 4.10 and OpenID Connect Core section 3.1.3.7: a token that was made for something else.
TEST(OAuthAttacksTest, SubstitutedTokensAreRefused) {
  Covers({"AU-2", "AU-1"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  struct Case {
    nlohmann::json claims;
    const char* problem;
  };
  for (const Case& each : std::vector<Case>{
           {{{"aud", "another-client"}}, "it was issued to another client"},
           {{{"aud", {kClientId, "another-client"}}}, "it was issued to another client"},
           {{{"aud", nlohmann::json::array()}}, "it was issued to another client"},
           {{{"aud", nullptr}}, "it was issued to another client"},
           {{{"azp", "another-client"}}, "it was issued to another client"},
           {{{"iss", "https://another.example"}}, "it comes from another issuer"},
           {{{"iss", nullptr}}, "iss is missing"},
           {{{"at_hash", "AAAAAAAAAAAAAAAAAAAAAA"}}, "it belongs to another access token"},
           {{{"sub", nullptr}}, "sub is missing"},
           {{{"sub", ""}}, "sub is missing"},
           {{{"sub", std::string(256, 'x')}}, "sub is not 1 to 255 printable ASCII characters"},
           {{{"exp", nullptr}}, "exp is missing"},
           {{{"exp", "tomorrow"}}, "exp is no time"},
           {{{"iat", nullptr}}, "iat is missing"},
       }) {
    SCOPED_TRACE(each.claims.dump());
    const absl::Status refused = world.SignIn({{"claims", each.claims}}).status();
    EXPECT_THAT(refused, HasReason("PROVIDER_TOKEN_INVALID"));
    EXPECT_EQ(ProblemOf(refused), each.problem);
  }
  // One audience in a list is one audience.
  EXPECT_OK(world.SignIn({{"claims", {{"aud", {kClientId}}, {"azp", kClientId}}}}));
}

TEST(OAuthAttacksTest, ForgedSignaturesAreRefused) {
  Covers({"AU-2", "AU-1"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  struct Case {
    nlohmann::json script;
    const char* problem;
  };
  for (const Case& each : std::vector<Case>{
           {{{"algorithm", "none"}}, "TOKEN_UNSIGNED"},
           {{{"algorithm", "HS256"}, {"header", {{"kid", "RS256"}}}}, "TOKEN_ALGORITHM_SYMMETRIC"},
           {{{"algorithm", "ES256"}, {"header", {{"kid", "EdDSA"}}}}, "TOKEN_ALGORITHM_REFUSED"},
           {{{"header", {{"jku", "https://evil.example/keys"}}}}, "TOKEN_KEY_EMBEDDED"},
           {{{"header", {{"typ", "at+jwt"}}}}, "TOKEN_TYPE_REFUSED"},
       }) {
    SCOPED_TRACE(each.script.dump());
    const absl::Status refused = world.SignIn(each.script).status();
    EXPECT_THAT(refused, HasReason("PROVIDER_TOKEN_INVALID"));
    EXPECT_EQ(ProblemOf(refused), each.problem);
  }
  for (const char* algorithm : {"EdDSA", "ES256", "RS256", "PS256"}) {
    EXPECT_OK(world.SignIn({{"algorithm", algorithm}})) << algorithm;
  }
  EXPECT_OK(world.SignIn({{"header", {{"typ", nullptr}}}}));
}

TEST(OAuthAttacksTest, MadeUpKeyIdsDoNotHammerTheProvider) {
  Covers({"AU-2", "AU-6"});
  ASSERT_OK_AND_ASSIGN(auto evil, OpenIdProvider::StartAttacker());
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .StartAt(RealNow())
                           .Configure(WithProviders({{.id = "evil", .issuer = evil->issuer(), .secret = false}}))
                           .Build());
  Visitor visitor(platform.get());
  ASSERT_OK(visitor.SignInAtOnce("evil"));
  EXPECT_EQ(evil->Requests("/jwks"), 1);
  ASSERT_OK(evil->Script({{"sign_with", "unpublished"}}));
  for (int i = 0; i < 3; ++i) {
    const absl::Status refused = visitor.SignInAtOnce("evil").status();
    EXPECT_EQ(ProblemOf(refused), "TOKEN_KEY_UNKNOWN");
  }
  EXPECT_EQ(evil->Requests("/jwks"), 2) << "asked once more for the first, not for the others";
  // Later it may have new keys after all.
  platform->Advance(absl::Seconds(11));
  EXPECT_EQ(ProblemOf(visitor.SignInAtOnce("evil").status()), "TOKEN_KEY_UNKNOWN");
  EXPECT_EQ(evil->Requests("/jwks"), 3);
  ASSERT_OK(evil->Script(nlohmann::json::object()));
  EXPECT_OK(visitor.SignInAtOnce("evil")) << "known keys go on";
}

TEST(OAuthAttacksTest, ClocksMayDifferByAMinute) {
  Covers({"AU-2", "AU-1"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  const int64_t now = absl::ToUnixSeconds(RealNow());
  EXPECT_OK(world.SignIn({{"claims", {{"exp", now - 20}, {"iat", now - 300}}}}));
  EXPECT_OK(world.SignIn({{"claims", {{"iat", now + 40}, {"nbf", now + 40}, {"exp", now + 300}}}}));
  EXPECT_EQ(ProblemOf(world.SignIn({{"claims", {{"exp", now - 90}}}}).status()), "it has expired");
  EXPECT_EQ(ProblemOf(world.SignIn({{"claims", {{"iat", now + 600}, {"exp", now + 900}}}}).status()),
            "it is not yet valid");
  EXPECT_EQ(ProblemOf(world.SignIn({{"claims", {{"nbf", now + 600}}}}).status()), "it is not yet valid");
}

TEST(OAuthAttacksTest, ProviderThatIsNotWhatIsConfiguredIsNotUsed) {
  Covers({"AU-2"});
  struct Case {
    nlohmann::json metadata;
    const char* problem;
  };
  for (const Case& each : std::vector<Case>{
           {{{"issuer", "https://accounts.example"}}, "issuer is not the configured one"},
           {{{"issuer", nullptr}}, "issuer is missing"},
           {{{"jwks_uri", nullptr}}, "jwks_uri is missing"},
           {{{"token_endpoint", "ftp://a.example/"}}, "token_endpoint is no address without a fragment"},
           {{{"id_token_signing_alg_values_supported", {"HS256", "none"}}},
            "id_token_signing_alg_values_supported has none of"},
           {{{"response_types_supported", {"id_token"}}}, "response_types_supported has none of: code"},
       }) {
    SCOPED_TRACE(each.metadata.dump());
    ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
    const absl::Status refused = world.SignIn({{"metadata", each.metadata}}).status();
    EXPECT_THAT(refused, HasReason("PROVIDER_METADATA_INVALID"));
    EXPECT_THAT(ProblemOf(refused), HasSubstr(each.problem));
    EXPECT_EQ(world.evil->Requests("/authorize"), 0);
  }
}

TEST(OAuthAttacksTest, AnswersOfTheTokenEndpointAreReadStrictly) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  EXPECT_THAT(world.SignIn({{"token_body", "<html>"}}), HasReason("PROVIDER_RESPONSE_INVALID"));
  EXPECT_THAT(world.SignIn({{"token_body", R"({"id_token": "a", "id_token": "b"})"}}),
              HasReason("PROVIDER_RESPONSE_INVALID"));
  EXPECT_THAT(world.SignIn({{"token_body", {{"access_token", "x"}}}}), HasReason("PROVIDER_RESPONSE_INVALID"));
  EXPECT_THAT(world.SignIn({{"token_status", 400}, {"token_body", {{"error", "invalid_client"}}}}),
              HasReason("PROVIDER_REFUSED"));
  EXPECT_THAT(world.SignIn({{"token_status", 503}}), HasReason("PROVIDER_UNREACHABLE"));
  EXPECT_THAT(world.SignIn({{"redirect", {{"code", nullptr}}}}), HasReason("PROVIDER_RESPONSE_INVALID"));
  // What a provider calls its refusal is shown only if it looks like a code.
  const absl::Status refused =
      world.SignIn({{"redirect", {{"code", nullptr}, {"error", "<script>alert(1)</script>"}}}}).status();
  EXPECT_THAT(refused, HasReason("PROVIDER_REFUSED"));
  EXPECT_THAT(refused.message(), Not(HasSubstr("script")));
  // Two codes: one reader would take the first, another the last.
  Visitor visitor(world.platform.get());
  ASSERT_OK(world.evil->Script(nlohmann::json::object()));
  ASSERT_OK_AND_ASSIGN(const Browser::Page page, visitor.Start("evil"));
  EXPECT_THAT(visitor.Finish(absl::StrCat(page.query(), "&code=other")), HasReason("PROVIDER_RESPONSE_INVALID"));
}

TEST(OAuthAttacksTest, OneAddressCannotFillTheRoomForSignIns) {
  Covers({"AU-2", "AU-7"});
  ASSERT_OK_AND_ASSIGN(Attacked world, StartAttacked());
  auth::v1::BeginProviderSignInRequest begin;
  begin.set_provider("providers/evil");
  begin.set_redirect_uri("http://127.0.0.1/v1/oidc/callback");
  const auto begin_from = [&](std::string_view address) {
    grpc::ClientContext context;
    AuthorizeWith(context, "");
    context.AddMetadata("x-client-address", std::string(address));
    SessionService::Stub stub(world.platform->ChannelTo(SessionService::service_full_name()));
    auth::v1::BeginProviderSignInResponse response;
    return FromGrpcStatus(stub.BeginProviderSignIn(&context, begin, &response));
  };
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(begin_from("192.0.2.7"));
  }
  const absl::Status refused = begin_from("192.0.2.7");
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED"));
  EXPECT_TRUE(ErrorInfoOf(refused)->retry_after.has_value());
  EXPECT_OK(begin_from("192.0.2.8"));
}

}  // namespace
}  // namespace bulkhead::testing
