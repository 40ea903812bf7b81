// Sign-in through a real OpenID provider: the npm package oidc-provider, a browser, and the gateway between them.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/openid_provider.h"
#include "testing/integration/auth/openid_sign_in.h"

namespace bulkhead::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

using auth::v1::SessionService;
using auth::v1::UserService;

const nlohmann::json kAccounts = {
    {"grace",
     {{"email", "grace@example.org"}, {"email_verified", true}, {"name", "Grace H."}, {"preferred_username", "Grace"}}},
    {"linus", {{"email", "linus@example.org"}, {"preferred_username", "linus"}}},
};

// The platform with one provider, in real time, as the provider's tokens are.
absl::StatusOr<std::unique_ptr<Harness>> PlatformWith(Configured provider, std::vector<std::string> users = {}) {
  return Harness::Builder()
      .WithUsers(std::move(users))
      .OnSystemClock()
      .Configure(WithProviders({std::move(provider)}))
      .Build();
}

// The ids of all users.
std::vector<std::string> Users(Harness& platform) {
  const absl::StatusOr<auth::v1::ListUsersResponse> response =
      Call<UserService>(platform.AsAdmin(), &UserService::Stub::ListUsers, auth::v1::ListUsersRequest());
  EXPECT_OK(response);
  std::vector<std::string> names;
  for (const auth::v1::User& user : response->users()) {
    names.push_back(user.name());
  }
  return names;
}

absl::Status Disable(Harness& platform, const std::string& user) {
  auth::v1::UpdateUserRequest request;
  request.mutable_user()->set_name(user);
  request.mutable_user()->set_disabled(true);
  request.mutable_update_mask()->add_paths("disabled");
  return Call<UserService>(platform.AsAdmin(), &UserService::Stub::UpdateUser, request).status();
}

TEST(OidcTest, SignInMakesAnAccountAndFindsItAgain) {
  Covers({"AU-2", "AU-3", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  Visitor grace(platform.get());

  ASSERT_OK_AND_ASSIGN(const nlohmann::json first, grace.SignIn("grace"));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json me, grace.Ask("/v1/users/me", first));
  EXPECT_EQ(me["login"], "grace");
  EXPECT_EQ(me["displayName"], "Grace H.");
  EXPECT_EQ(me["roles"], nlohmann::json({"roles/member"}));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json sessions, grace.Ask("/v1/sessions", first));
  EXPECT_EQ(sessions["sessions"][0]["method"], "providers/corp");
  ASSERT_OK_AND_ASSIGN(const nlohmann::json identities, grace.Ask("/v1/users/me/identities", first));
  ASSERT_THAT(identities["identities"], SizeIs(1));
  EXPECT_EQ(identities["identities"][0]["provider"], "providers/corp");
  EXPECT_EQ(identities["identities"][0]["subject"], "grace");
  EXPECT_EQ(identities["identities"][0]["email"], "grace@example.org");

  // Another browser, the same person; and another person.
  Visitor again(platform.get());
  ASSERT_OK_AND_ASSIGN(const nlohmann::json second, again.SignIn("grace"));
  EXPECT_EQ(second["user"], first["user"]);
  EXPECT_NE(second["session"], first["session"]);
  Visitor linus(platform.get());
  ASSERT_OK_AND_ASSIGN(const nlohmann::json other, linus.SignIn("linus"));
  EXPECT_NE(other["user"], first["user"]);

  EXPECT_THAT(DecisionsOfAll(*platform),
              AllOf(Contains("user.create"), Contains("identity.link"), Contains("session.sign_in")));
}

TEST(OidcTest, NothingSecretStaysInAnAddressOrWithAScript) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  Visitor grace(platform.get());

  ASSERT_OK_AND_ASSIGN(const Browser::Page sent,
                       grace.browser().GetUntil(grace.Url("/v1/oidc/corp/start"), provider->issuer()));
  EXPECT_EQ(sent.status, 303);
  EXPECT_EQ(sent.headers.at("cache-control"), "no-store");
  EXPECT_EQ(sent.headers.at("referrer-policy"), "no-referrer");
  ASSERT_THAT(sent.set_cookies, SizeIs(1));
  EXPECT_THAT(sent.set_cookies[0],
              AllOf(HasSubstr("; HttpOnly"), HasSubstr("; SameSite=Strict"), HasSubstr("; Path=/v1/oidc/callback")));
  EXPECT_THAT(sent.url,
              AllOf(HasSubstr("response_type=code"), HasSubstr("code_challenge_method=S256"), HasSubstr("nonce=")));

  ASSERT_OK_AND_ASSIGN(Browser::Page page, grace.browser().Get(sent.url));
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(grace.browser(), std::move(page), "grace"));
  EXPECT_THAT(page.url, AllOf(StartsWith(grace.Url("/v1/oidc/callback")), Not(HasSubstr("token"))));
  EXPECT_EQ(page.headers.at("cache-control"), "no-store");
  EXPECT_EQ(page.headers.at("referrer-policy"), "no-referrer");
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'none'; script-src 'self'"));

  ASSERT_OK_AND_ASSIGN(const nlohmann::json tokens, grace.Finish(page.query()));
  EXPECT_TRUE(tokens.contains("accessToken"));
  EXPECT_EQ(grace.browser().cookie(grace.Url("/"), "bulkhead_sign_in"), "") << "the cookie is cleared";
}

TEST(OidcTest, EveryAlgorithmAndClientAuthenticationIsUnderstood) {
  Covers({"AU-2", "AU-1"});
  const std::pair<const char*, const char*> kCombinations[] = {
      {"EdDSA", "none"}, {"ES256", "client_secret_post"}, {"PS256", "client_secret_basic"}};
  for (const auto& [algorithm, authentication] : kCombinations) {
    SCOPED_TRACE(absl::StrCat(algorithm, " ", authentication));
    ASSERT_OK_AND_ASSIGN(
        auto provider,
        OpenIdProvider::Start({.accounts = kAccounts, .algorithm = algorithm, .authentication = authentication}));
    ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer(),
                                                      .secret = std::string_view(authentication) != "none"}));
    EXPECT_OK(Visitor(platform.get()).SignIn("grace"));
  }
}

TEST(OidcTest, FirstSignInIsRefusedWhereProvidersMakeNoAccounts) {
  Covers({"AU-2", "AU-5", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer(), .allow_sign_up = false}));
  const std::vector<std::string> before = Users(*platform);
  EXPECT_THAT(Visitor(platform.get()).SignIn("grace"), HasReason("IDENTITY_UNKNOWN"));
  EXPECT_EQ(Users(*platform), before);
  EXPECT_THAT(DecisionsOfAll(*platform), Contains("session.sign_in IDENTITY_UNKNOWN"));
}

TEST(OidcTest, LinkedIdentitySignsInToTheAccountThatLinkedIt) {
  Covers({"AU-2", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer(), .allow_sign_up = false}, {"ada"}));
  const User& ada = platform->As("ada");

  Visitor visitor(platform.get());
  ASSERT_OK_AND_ASSIGN(Browser::Page page, visitor.StartFromPage({{"link", true}}, ada.token().Reveal()));
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(visitor.browser(), std::move(page), "grace"));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json linked, visitor.Finish(page.query()));
  EXPECT_EQ(linked["user"], ada.name());
  EXPECT_EQ(linked["session"], ada.session());
  EXPECT_FALSE(linked.contains("accessToken")) << "linking begins no session";

  ASSERT_OK_AND_ASSIGN(const nlohmann::json tokens, Visitor(platform.get()).SignIn("grace"));
  EXPECT_EQ(tokens["user"], ada.name());

  // Unlinked, it is a stranger's again; the password stays.
  ASSERT_OK_AND_ASSIGN(const nlohmann::json identities, visitor.Ask("/v1/users/me/identities", tokens));
  auth::v1::DeleteIdentityRequest unlink;
  unlink.set_name(identities["identities"][0]["name"].get<std::string>());
  ASSERT_OK(Call<UserService>(ada, &UserService::Stub::DeleteIdentity, unlink));
  EXPECT_THAT(Visitor(platform.get()).SignIn("grace"), HasReason("IDENTITY_UNKNOWN"));
  EXPECT_THAT(Call<UserService>(ada, &UserService::Stub::DeleteIdentity, unlink), HasReason("IDENTITY_NOT_FOUND"));
  EXPECT_OK(platform->As("ada").SignIn());
  EXPECT_THAT(DecisionsOfAll(*platform), AllOf(Contains("identity.link"), Contains("identity.unlink")));
}

TEST(OidcTest, IdentityOfAnotherAccountCannotBeLinkedNorUnlinked) {
  Covers({"AU-2", "AU-5"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}, {"ada"}));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json owner, Visitor(platform.get()).SignIn("grace"));

  Visitor thief(platform.get());
  ASSERT_OK_AND_ASSIGN(Browser::Page page, thief.StartFromPage({{"link", true}}, platform->As("ada").token().Reveal()));
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(thief.browser(), std::move(page), "grace"));
  EXPECT_THAT(thief.Finish(page.query()), HasReason("IDENTITY_TAKEN"));
  EXPECT_THAT(DecisionsOfAll(*platform), Contains("identity.link IDENTITY_TAKEN"));

  ASSERT_OK_AND_ASSIGN(const nlohmann::json identities, thief.Ask("/v1/users/me/identities", owner));
  auth::v1::DeleteIdentityRequest unlink;
  unlink.set_name(identities["identities"][0]["name"].get<std::string>());
  EXPECT_THAT(Call<UserService>(platform->As("ada"), &UserService::Stub::DeleteIdentity, unlink),
              HasReason("IDENTITY_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json still, Visitor(platform.get()).SignIn("grace"));
  EXPECT_EQ(still["user"], owner["user"]);
}

TEST(OidcTest, LinkingNeedsASignedInPersonUntilItsEnd) {
  Covers({"AU-2", "AU-9"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}, {"ada"}));
  Visitor visitor(platform.get());
  EXPECT_THAT(visitor.StartFromPage({{"link", true}}), HasReason("TOKEN_MISSING"));
  EXPECT_THAT(visitor.StartFromPage({{"link", true}}, "nonsense"), HasReason("TOKEN_MALFORMED"));

  const User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(Browser::Page page, visitor.StartFromPage({{"link", true}}, ada.token().Reveal()));
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(visitor.browser(), std::move(page), "grace"));
  auth::v1::RevokeSessionRequest revoke;
  revoke.set_name(ada.session());
  ASSERT_OK(Call<SessionService>(ada, &SessionService::Stub::RevokeSession, revoke));
  EXPECT_THAT(visitor.Finish(page.query()), HasReason("SESSION_REVOKED"));
  ASSERT_OK(platform->As("ada").SignIn());
  ASSERT_OK_AND_ASSIGN(
      const auth::v1::ListIdentitiesResponse identities,
      Call<UserService>(platform->As("ada"), &UserService::Stub::ListIdentities, auth::v1::ListIdentitiesRequest()));
  EXPECT_THAT(identities.identities(), IsEmpty());
}

TEST(OidcTest, EmailOfAnotherNeverOpensHisAccount) {
  Covers({"AU-2", "AU-5"});
  // Whoever runs a provider, or gets an address there, says whatever he likes about addresses: verified or not.
  const nlohmann::json accounts = {
      {"mallory", {{"email", "ada@example.org"}, {"email_verified", false}, {"preferred_username", "ada@example.org"}}},
      {"trudy", {{"email", "ada@example.org"}, {"email_verified", true}, {"preferred_username", "ada"}}},
      {"eve", {{"preferred_username", "admin"}}}};
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = accounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}, {"ada@example.org", "ada"}));
  std::vector<std::string> logins;
  for (const char* login : {"mallory", "trudy", "eve"}) {
    Visitor visitor(platform.get());
    ASSERT_OK_AND_ASSIGN(const nlohmann::json tokens, visitor.SignIn(login));
    EXPECT_NE(tokens["user"], platform->As("ada").name());
    EXPECT_NE(tokens["user"], platform->As("ada@example.org").name());
    ASSERT_OK_AND_ASSIGN(const nlohmann::json me, visitor.Ask("/v1/users/me", tokens));
    EXPECT_EQ(me["roles"], nlohmann::json({"roles/member"}));
    logins.push_back(me["login"]);
  }
  EXPECT_THAT(logins, ::testing::ElementsAre("ada-2", "ada-3", "admin-2"));
}

TEST(OidcTest, DisabledUserIsRefused) {
  Covers({"AU-2", "AU-5", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json tokens, Visitor(platform.get()).SignIn("grace"));
  ASSERT_OK(Disable(*platform, tokens["user"].get<std::string>()));
  EXPECT_THAT(Visitor(platform.get()).SignIn("grace"), HasReason("CREDENTIALS_INVALID"));
  EXPECT_THAT(DecisionsOfAll(*platform), Contains("session.sign_in CREDENTIALS_INVALID"));
}

TEST(OidcTest, AccountWithoutPasswordKeepsItsLastIdentity) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  Visitor grace(platform.get());
  ASSERT_OK_AND_ASSIGN(const nlohmann::json tokens, grace.SignIn("grace"));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json identities, grace.Ask("/v1/users/me/identities", tokens));
  auth::v1::DeleteIdentityRequest unlink;
  unlink.set_name(identities["identities"][0]["name"].get<std::string>());
  EXPECT_THAT(CallWithToken<UserService>(*platform, tokens["accessToken"].get<std::string>(),
                                         &UserService::Stub::DeleteIdentity, unlink),
              HasReason(absl::StatusCode::kFailedPrecondition, "IDENTITY_IS_LAST"));
  // No password is no password: the empty one neither.
  for (const char* password : {"", "anything at all"}) {
    auth::v1::SignInRequest request;
    request.set_login("grace");
    request.set_password(password);
    EXPECT_THAT(CallWithToken<SessionService>(*platform, "", &SessionService::Stub::SignIn, request),
                HasReason("CREDENTIALS_INVALID"));
  }
}

TEST(OidcTest, NewKeysOfTheProviderAreFollowedAtOnce) {
  Covers({"AU-2", "AU-6"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  ASSERT_OK(Visitor(platform.get()).SignIn("grace"));
  ASSERT_OK(Visitor(platform.get()).SignIn("grace"));
  EXPECT_EQ(provider->Requests("/jwks"), 1) << "keys are kept";
  ASSERT_OK(provider->RotateKeys());
  EXPECT_OK(Visitor(platform.get()).SignIn("grace"));
  EXPECT_EQ(provider->Requests("/jwks"), 2);
}

TEST(OidcTest, ProviderIsTrustedByItsCertificateOnly) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts, .tls = true}));
  {
    ASSERT_OK_AND_ASSIGN(auto platform,
                         PlatformWith({.issuer = provider->issuer(), .ca_file = OpenIdProvider::TlsCertificate()}));
    EXPECT_OK(Visitor(platform.get(), OpenIdProvider::TlsCertificate()).SignIn("grace"));
  }
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  EXPECT_THAT(Visitor(platform.get()).SignIn("grace"), HasReason("PROVIDER_UNREACHABLE"));
  // The certificate is for the name, not for whoever has it.
  EXPECT_THAT(Browser(OpenIdProvider::TlsCertificate())
                  .Get(absl::StrReplaceAll(provider->issuer(), {{"localhost", "127.0.0.1"}})),
              HasReason("TLS_FAILED"));
}

TEST(OidcTest, ProviderThatIsAwayHoldsUpNobodyElse) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}, {"ada"}));
  Visitor grace(platform.get());
  ASSERT_OK_AND_ASSIGN(Browser::Page page, grace.Start());
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(grace.browser(), std::move(page), "grace"));
  provider->Stop();
  EXPECT_THAT(grace.Finish(page.query()), HasReason("PROVIDER_UNREACHABLE"));
  EXPECT_OK(platform->As("ada").SignIn());

  // After a restart nothing of it is known, and nobody can begin.
  ASSERT_OK(platform->Restart());
  EXPECT_THAT(Visitor(platform.get()).SignIn("grace"), HasReason("PROVIDER_UNREACHABLE"));
  EXPECT_OK(platform->As("ada").SignIn());
}

TEST(OidcTest, ProgramsSignInWithARedirectToAPortOfTheirOwn) {
  Covers({"AU-2"});
  ASSERT_OK_AND_ASSIGN(auto provider, OpenIdProvider::Start({.accounts = kAccounts}));
  ASSERT_OK_AND_ASSIGN(auto platform, PlatformWith({.issuer = provider->issuer()}));
  ASSERT_OK_AND_ASSIGN(const auto offered,
                       CallWithToken<SessionService>(*platform, "", &SessionService::Stub::ListProviders,
                                                     auth::v1::ListProvidersRequest()));
  ASSERT_THAT(offered.providers(), SizeIs(1));
  EXPECT_EQ(offered.providers(0).name(), "providers/corp");
  EXPECT_EQ(offered.providers(0).display_name(), "The corp");

  // RFC 8252: the program listens on a port of the loopback and looks at the query itself.
  auth::v1::BeginProviderSignInRequest begin;
  begin.set_provider("providers/corp");
  begin.set_redirect_uri("http://127.0.0.1:9/v1/oidc/callback");
  begin.set_device("Grace's terminal");
  ASSERT_OK_AND_ASSIGN(const auto begun,
                       CallWithToken<SessionService>(*platform, "", &SessionService::Stub::BeginProviderSignIn, begin));
  Browser browser;
  ASSERT_OK_AND_ASSIGN(Browser::Page page, browser.Get(begun.authorization_uri()));
  ASSERT_OK_AND_ASSIGN(page, browser.Submit(page, {{"login", "grace"}, {"password", "x"}}));
  ASSERT_OK_AND_ASSIGN(page, browser.SubmitUntil(page, {}, begin.redirect_uri()));
  auth::v1::CompleteProviderSignInRequest complete;
  complete.set_redirect_query(page.query());
  complete.set_state(begun.state());
  ASSERT_OK_AND_ASSIGN(const auto tokens, CallWithToken<SessionService>(
                                              *platform, "", &SessionService::Stub::CompleteProviderSignIn, complete));
  ASSERT_OK_AND_ASSIGN(const auto sessions, CallWithToken<SessionService>(*platform, tokens.access_token(),
                                                                          &SessionService::Stub::ListSessions,
                                                                          auth::v1::ListSessionsRequest()));
  EXPECT_EQ(sessions.sessions(0).device(), "Grace's terminal");
  begin.set_provider("providers/nobody");
  EXPECT_THAT(CallWithToken<SessionService>(*platform, "", &SessionService::Stub::BeginProviderSignIn, begin),
              HasReason(absl::StatusCode::kNotFound, "PROVIDER_NOT_FOUND"));
}

}  // namespace
}  // namespace bulkhead::testing
