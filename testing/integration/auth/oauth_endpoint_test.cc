// The platform's own OAuth 2.0 endpoints, as programs of others use them: over HTTP.
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/audit_service.grpc.pb.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "services/common/status/error.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

using auth::v1::SessionService;
using auth::v1::TokenService;
using auth::v1::UserService;
using Form = std::vector<std::pair<std::string, std::string>>;

constexpr char kExchangeGrant[] = "urn:ietf:params:oauth:grant-type:token-exchange";
constexpr char kAccessTokenType[] = "urn:ietf:params:oauth:token-type:access_token";
// With bytes that a form has to encode.
constexpr char kWorkerSecret[] = "a secret: with %, & and + in it";
constexpr char kReaderSecret[] = "the reader's secret is another one";

// `text` as a form writes it.
std::string Encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._~", c)) {
      encoded.push_back(c);
    } else {
      absl::StrAppend(&encoded, "%", absl::BytesToHexString(std::string_view(&c, 1)));
    }
  }
  return encoded;
}

std::string Basic(std::string_view id, std::string_view secret) {
  return absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(Encoded(id), ":", Encoded(secret))));
}

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;
  nlohmann::json json;

  std::string Text(const std::string& member) const { return json.value(member, ""); }
};

// Two clients: `worker` may exchange tokens, `reader` may introspect.
class OAuthEndpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(secrets_.File("worker")) << kWorkerSecret;
    std::ofstream(secrets_.File("reader")) << kReaderSecret;
    absl::StatusOr<std::unique_ptr<Harness>> platform =
        Harness::Builder()
            .WithUsers({"ada", "bob"})
            .Configure([this](common::v1::PlatformConfig& config) {
              common::v1::OAuthClient& worker = *config.mutable_auth()->add_clients();
              worker.set_id("worker");
              worker.set_secret(absl::StrCat("file:", secrets_.File("worker")));
              worker.add_permissions("token:run:exchange");
              common::v1::OAuthClient& reader = *config.mutable_auth()->add_clients();
              reader.set_id("reader");
              reader.set_secret(absl::StrCat("file:", secrets_.File("reader")));
              reader.add_permissions("token:all:introspect");
            })
            .Build();
    ASSERT_OK(platform);
    platform_ = *std::move(platform);
    absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> client = ada().NewGatewayClient();
    ASSERT_OK(client);
    client_ = *std::move(client);
  }

  User& ada() { return platform_->As("ada"); }

  Answer Send(gateway::RawRequest request) {
    absl::StatusOr<gateway::RawResponse> response = client_->Send(request, RawToken());
    EXPECT_OK(response);
    return {.status = response->status,
            .headers = response->headers,
            .json = nlohmann::json::parse(response->body, nullptr, /*allow_exceptions=*/false)};
  }
  Answer PostBody(const std::string& path, const std::string& body, const std::string& authorization = "") {
    gateway::RawRequest request{.method = "POST", .path = path, .headers = {}, .body = body};
    request.headers["Content-Type"] = "application/x-www-form-urlencoded";
    if (!authorization.empty()) {
      request.headers["Authorization"] = authorization;
    }
    return Send(std::move(request));
  }
  Answer Post(const std::string& path, const Form& form, const std::string& authorization = "") {
    std::vector<std::string> parts;
    for (const auto& [name, value] : form) {
      parts.push_back(absl::StrCat(Encoded(name), "=", Encoded(value)));
    }
    return PostBody(path, absl::StrJoin(parts, "&"), authorization);
  }
  Answer Token(const Form& form, const std::string& authorization = "") {
    return Post("/v1/oauth/token", form, authorization);
  }
  Answer Refresh(const std::string& token) {
    return Token({{"grant_type", "refresh_token"}, {"refresh_token", token}});
  }
  Answer Exchange(std::string_view subject, std::string_view run, const std::string& authorization) {
    return Token({{"grant_type", kExchangeGrant},
                  {"subject_token", std::string(subject)},
                  {"subject_token_type", kAccessTokenType},
                  {"audience", std::string(run)}},
                 authorization);
  }
  Answer Introspect(std::string_view token) {
    return Post("/v1/oauth/introspect", {{"token", std::string(token)}}, Basic("reader", kReaderSecret));
  }

  // Of the user; asked of auth itself.
  absl::Status Whoami(std::string_view token) {
    auth::v1::GetUserRequest request;
    request.set_name(ada().name());
    return CallWithToken<UserService>(*platform_, token, &UserService::Stub::GetUser, request).status();
  }
  // What is on record about ada, as "session.refresh REFRESH_TOKEN_REUSED".
  std::vector<std::string> Decisions() {
    absl::StatusOr<std::vector<auth::v1::AuditRecord>> records = platform_->AuditOf("ada");
    EXPECT_OK(records);
    std::vector<std::string> lines;
    for (const auth::v1::AuditRecord& record : *records) {
      lines.push_back(absl::StrCat(record.action(), record.allowed() ? "" : " ", record.reason()));
    }
    return lines;
  }

  TempDir secrets_;
  std::unique_ptr<Harness> platform_;
  std::unique_ptr<gateway::GatewayClient> client_;
};

// `error` as RFC 6749 names it, with our own reason.
void ExpectRefused(const Answer& answer, int status, std::string_view error, std::string_view reason) {
  EXPECT_EQ(answer.status, status) << answer.json;
  EXPECT_EQ(answer.Text("error"), error) << answer.json;
  EXPECT_EQ(answer.Text("error_reason"), reason) << answer.json;
  EXPECT_FALSE(answer.Text("error_description").empty());
  EXPECT_FALSE(answer.json.contains("access_token"));
  EXPECT_EQ(answer.headers.at("cache-control"), "no-store");
}

TEST_F(OAuthEndpointTest, RefreshTokenRotatesAndTheNewAccessTokenWorks) {
  Covers({"AU-3"});
  const Answer answer = Refresh(ada().refresh_token());
  ASSERT_EQ(answer.status, 200) << answer.json;
  EXPECT_EQ(answer.headers.at("cache-control"), "no-store");
  EXPECT_EQ(answer.Text("token_type"), "Bearer");
  EXPECT_EQ(answer.json.at("expires_in"), 900);
  EXPECT_NE(answer.Text("refresh_token"), ada().refresh_token());
  EXPECT_OK(Whoami(answer.Text("access_token")));
  EXPECT_EQ(Refresh(answer.Text("refresh_token")).status, 200);
}

// RFC 9700 section 4.14: whoever of the two comes second, the thief does not keep the session.
TEST_F(OAuthEndpointTest, RefreshTokenReuseRevokesTheFamily) {
  Covers({"AU-3", "AU-8", "AU-9"});
  const Answer first = Refresh(ada().refresh_token());
  ASSERT_EQ(first.status, 200);
  ExpectRefused(Refresh(ada().refresh_token()), 400, "invalid_grant", "REFRESH_TOKEN_REUSED");
  ExpectRefused(Refresh(first.Text("refresh_token")), 400, "invalid_grant", "SESSION_REVOKED");
  EXPECT_THAT(Whoami(first.Text("access_token")), HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  EXPECT_THAT(Decisions(), Contains("session.refresh REFRESH_TOKEN_REUSED"));
  ExpectRefused(Refresh("made up"), 400, "invalid_grant", "REFRESH_TOKEN_INVALID");
}

TEST_F(OAuthEndpointTest, SessionEndsIdleAndAtTheLatestWhenOld) {
  Covers({"AU-3"});
  std::string busy = ada().refresh_token();
  const std::string idle = platform_->As("bob").refresh_token();
  for (int week = 0; week < 12; ++week) {
    platform_->Advance(absl::Hours(24 * 7));
    const Answer answer = Refresh(busy);
    ASSERT_EQ(answer.status, 200) << "week " << week << answer.json;
    busy = answer.Text("refresh_token");
  }
  ExpectRefused(Refresh(idle), 400, "invalid_grant", "SESSION_EXPIRED");
  EXPECT_EQ(Introspect(busy).json, nlohmann::json({{"active", true},
                                                   {"token_use", "refresh"},
                                                   {"sub", ada().id()},
                                                   {"sid", Introspect(busy).Text("sid")},
                                                   {"exp", Introspect(busy).json.at("exp")}}));
  platform_->Advance(absl::Hours(24 * 6));
  ExpectRefused(Refresh(busy), 400, "invalid_grant", "SESSION_EXPIRED");
  EXPECT_EQ(Introspect(busy).json, nlohmann::json({{"active", false}}));
}

TEST_F(OAuthEndpointTest, ClientGetsItsTokenByBasicOrByFormAndNotByBoth) {
  Covers({"AU-2", "AU-5"});
  const Form grant = {{"grant_type", "client_credentials"}};
  const Form by_form = {
      {"grant_type", "client_credentials"}, {"client_id", "worker"}, {"client_secret", kWorkerSecret}};
  for (const Answer& answer : {Token(grant, Basic("worker", kWorkerSecret)), Token(by_form)}) {
    ASSERT_EQ(answer.status, 200) << answer.json;
    EXPECT_EQ(answer.json.at("expires_in"), 3600);
    EXPECT_FALSE(answer.json.contains("refresh_token")) << "RFC 6749 section 4.4.3";
    // It carries what the configuration grants, and nothing else.
    EXPECT_THAT(Whoami(answer.Text("access_token")),
                HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  }
  ExpectRefused(Token(by_form, Basic("worker", kWorkerSecret)), 400, "invalid_request", "OAUTH_REQUEST_INVALID");
  for (const std::string& authorization : {Basic("worker", kReaderSecret), Basic("nobody", kWorkerSecret)}) {
    const Answer refused = Token(grant, authorization);
    ExpectRefused(refused, 401, "invalid_client", "SERVICE_CREDENTIALS_INVALID");
    EXPECT_THAT(refused.headers.at("www-authenticate"), HasSubstr("Basic"));
  }
  ExpectRefused(Token(grant), 401, "invalid_client", "OAUTH_CLIENT_MISSING");
  ExpectRefused(Token(grant, "Basic ###"), 401, "invalid_client", "OAUTH_CLIENT_INVALID");
  ExpectRefused(Token(grant, absl::StrCat("Bearer ", ada().token().Reveal())), 401, "invalid_client",
                "OAUTH_CLIENT_INVALID");
  Form with_scope = by_form;
  with_scope.emplace_back("scope", "*:*:*");
  ExpectRefused(Token(with_scope), 400, "invalid_scope", "OAUTH_SCOPE_UNSUPPORTED");
}

TEST_F(OAuthEndpointTest, ExchangedTokenIsBoundToItsRunAndNamesItsActor) {
  Covers({"AU-2", "AU-4"});
  const std::string run = absl::StrCat(ada().name(), "/runs/run-7");
  const Answer answer = Exchange(ada().token().Reveal(), run, Basic("worker", kWorkerSecret));
  ASSERT_EQ(answer.status, 200) << answer.json;
  EXPECT_EQ(answer.Text("issued_token_type"), kAccessTokenType);
  const Answer told = Introspect(answer.Text("access_token"));
  EXPECT_EQ(told.json.at("active"), true);
  EXPECT_EQ(told.Text("sub"), ada().id());
  EXPECT_EQ(told.Text("run"), "run-7");
  EXPECT_EQ(told.json.at("act"), nlohmann::json({{"sub", "service-worker"}}));
  EXPECT_EQ(absl::StrCat(ada().name(), "/sessions/", told.Text("sid")), ada().session());
  EXPECT_THAT(told.Text("scope"), Not(HasSubstr("*:*:*")));
  EXPECT_THAT(Decisions(), Contains("token.exchange"));
}

// RFC 9700 section 4.10, and the like: a token is good for what it was made for.
TEST_F(OAuthEndpointTest, AudienceConfusionAndTokenSubstitutionAreRefused) {
  Covers({"AU-1", "AU-4", "AU-5"});
  const std::string worker = Basic("worker", kWorkerSecret);
  const std::string run = absl::StrCat(ada().name(), "/runs/run-7");
  const std::string run_token = Exchange(ada().token().Reveal(), run, worker).Text("access_token");
  ASSERT_FALSE(run_token.empty());
  const std::string client_token = Token({{"grant_type", "client_credentials"}}, worker).Text("access_token");

  // A run token does not act as its user's session.
  auth::v1::RevokeSessionRequest revoke;
  revoke.set_name(ada().session());
  EXPECT_THAT(CallWithToken<SessionService>(*platform_, run_token, &SessionService::Stub::RevokeSession, revoke),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  ExpectRefused(Post("/v1/oauth/revoke", {{"token", run_token}}), 400, "unsupported_token_type", "TOKEN_NOT_REVOCABLE");
  ExpectRefused(Post("/v1/oauth/revoke", {{"token", client_token}}), 400, "unsupported_token_type",
                "TOKEN_NOT_REVOCABLE");
  // A service's token is no subject, an access token no refresh token, and a refresh token no access token.
  ExpectRefused(Exchange(client_token, run, worker), 400, "invalid_request", "TOKEN_CLAIM_INVALID");
  ExpectRefused(Refresh(std::string(ada().token().Reveal())), 400, "invalid_grant", "REFRESH_TOKEN_INVALID");
  EXPECT_EQ(Exchange(ada().refresh_token(), run, worker).Text("error"), "invalid_request");
  EXPECT_THAT(Whoami(ada().refresh_token()), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_MALFORMED"));
  // Nor is one user's token good for another's run.
  ExpectRefused(Exchange(ada().token().Reveal(), absl::StrCat(platform_->As("bob").name(), "/runs/run-7"), worker), 400,
                "invalid_target", "RESOURCE_NOT_FOUND");
  // A client that may not exchange does not, and people are no clients.
  ExpectRefused(Exchange(ada().token().Reveal(), run, Basic("reader", kReaderSecret)), 400, "unauthorized_client",
                "PERMISSION_MISSING");
  ExpectRefused(Exchange(ada().token().Reveal(), run, ""), 401, "invalid_client", "OAUTH_CLIENT_MISSING");
  // After all that, her session is as it was.
  EXPECT_OK(ada().Refresh());
}

TEST_F(OAuthEndpointTest, ExchangeAsksForWhatItCanGiveOnly) {
  Covers({"AU-2", "AU-5"});
  const std::string worker = Basic("worker", kWorkerSecret);
  const std::string run = absl::StrCat(ada().name(), "/runs/run-7");
  const auto with = [&](const std::string& name, const std::string& value) {
    Form form = {{"grant_type", kExchangeGrant},
                 {"subject_token", std::string(ada().token().Reveal())},
                 {"subject_token_type", kAccessTokenType},
                 {"audience", run}};
    bool replaced = false;
    for (auto& [key, old] : form) {
      if (key == name) {
        old = value;
        replaced = true;
      }
    }
    if (!replaced) {
      form.emplace_back(name, value);
    }
    return Token(form, worker);
  };
  ExpectRefused(with("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), 400, "invalid_request",
                "OAUTH_TOKEN_TYPE_UNSUPPORTED");
  ExpectRefused(with("actor_token", "x"), 400, "invalid_request", "OAUTH_TOKEN_TYPE_UNSUPPORTED");
  ExpectRefused(with("audience", ""), 400, "invalid_target", "OAUTH_TARGET_INVALID");
  ExpectRefused(with("resource", "https://elsewhere.example"), 400, "invalid_target", "OAUTH_TARGET_INVALID");
  ExpectRefused(with("audience", "runs/run-7"), 400, "invalid_request", "ID_MALFORMED");
  ExpectRefused(with("lifetime", "604801"), 400, "invalid_request", "LIFETIME_INVALID");
  ExpectRefused(with("scope", "everything"), 400, "invalid_scope", "PERMISSION_MALFORMED");
  // What is asked for beyond what runs may do is left out, not granted.
  const Answer narrowed = with("scope", "tool:text.replace:invoke session:own:revoke");
  ASSERT_EQ(narrowed.status, 200) << narrowed.json;
  EXPECT_EQ(Introspect(narrowed.Text("access_token")).Text("scope"), "tool:text.replace:invoke");
}

TEST_F(OAuthEndpointTest, OtherGrantsAndMalformedRequestsAreRefused) {
  Covers({"AU-2"});
  // RFC 9700 section 2.4: no password ever goes to this endpoint.
  ExpectRefused(Token({{"grant_type", "password"}, {"username", "ada"}, {"password", ada().password()}}), 400,
                "unsupported_grant_type", "OAUTH_GRANT_UNSUPPORTED");
  ExpectRefused(Token({{"grant_type", "authorization_code"}, {"code", "x"}}), 400, "unsupported_grant_type",
                "OAUTH_GRANT_UNSUPPORTED");
  ExpectRefused(Token({{"refresh_token", ada().refresh_token()}}), 400, "invalid_request", "OAUTH_REQUEST_INVALID");
  const std::string refresh = absl::StrCat("grant_type=refresh_token&refresh_token=", ada().refresh_token());
  ExpectRefused(PostBody("/v1/oauth/token", absl::StrCat(refresh, "&grant_type=refresh_token")), 400, "invalid_request",
                "OAUTH_REQUEST_INVALID");
  ExpectRefused(PostBody("/v1/oauth/token", absl::StrCat(refresh, "&x=%zz")), 400, "invalid_request",
                "OAUTH_REQUEST_INVALID");
  ExpectRefused(PostBody("/v1/oauth/token?client_id=worker", refresh), 400, "invalid_request", "OAUTH_REQUEST_INVALID");
  gateway::RawRequest json{.method = "POST", .path = "/v1/oauth/token", .headers = {}, .body = "{}"};
  json.headers["Content-Type"] = "application/json";
  ExpectRefused(Send(std::move(json)), 400, "invalid_request", "OAUTH_REQUEST_INVALID");
  ExpectRefused(PostBody("/v1/oauth/token", absl::StrCat(refresh, "&x=", std::string(70000, 'x'))), 413,
                "invalid_request", "BODY_TOO_LARGE");
  ExpectRefused(Token({{"grant_type", "refresh_token"}, {"refresh_token", ada().refresh_token()}},
                      Basic("worker", kWorkerSecret)),
                400, "invalid_grant", "OAUTH_REFRESH_CLIENT_MISMATCH");
  // None of them has used the token up.
  EXPECT_OK(ada().Refresh());
}

TEST_F(OAuthEndpointTest, RevocationEndsTheSessionByEitherTokenAndUnknownOnesAreNoError) {
  Covers({"AU-3", "AU-8", "AU-9"});
  const std::string by_access(ada().token().Reveal());
  const std::string first_session = ada().session();
  ASSERT_OK(ada().SignIn());
  EXPECT_EQ(Post("/v1/oauth/revoke", {{"token", by_access}, {"token_type_hint", "refresh_token"}}).status, 200);
  EXPECT_THAT(Whoami(by_access), HasReason("SESSION_REVOKED"));
  EXPECT_OK(Whoami(ada().token().Reveal())) << "her other session goes on";
  EXPECT_EQ(Post("/v1/oauth/revoke", {{"token", ada().refresh_token()}}).status, 200);
  EXPECT_THAT(ada().Refresh(), HasReason("SESSION_REVOKED"));

  // RFC 7009 section 2.2: the client wants it gone, and it is.
  const size_t before = Decisions().size();
  for (const std::string& token : {std::string("never heard of"), by_access, ada().refresh_token()}) {
    EXPECT_EQ(Post("/v1/oauth/revoke", {{"token", token}}).status, 200);
  }
  EXPECT_EQ(Decisions().size(), before) << "nothing was decided";
  ExpectRefused(Post("/v1/oauth/revoke", {}), 400, "invalid_request", "OAUTH_REQUEST_INVALID");
  ExpectRefused(Post("/v1/oauth/revoke", {{"token", by_access}}, Basic("worker", "wrong secret of the worker")), 401,
                "invalid_client", "SERVICE_CREDENTIALS_INVALID");
  // The record tells by which token, and never the token.
  ASSERT_OK_AND_ASSIGN(const std::vector<auth::v1::AuditRecord> records, platform_->AuditOf("ada"));
  std::vector<std::string> kinds;
  for (const auth::v1::AuditRecord& record : records) {
    if (record.action() == "session.revoke") {
      kinds.push_back(record.details().at("token"));
    }
    EXPECT_THAT(record.DebugString(), Not(HasSubstr(by_access)));
  }
  EXPECT_THAT(kinds, ::testing::ElementsAre("access", "refresh"));
}

TEST_F(OAuthEndpointTest, IntrospectionIsForThoseWhoMayAndTellsNothingOfDeadTokens) {
  Covers({"AU-1", "AU-3", "AU-5"});
  const std::string token(ada().token().Reveal());
  const Answer alive = Introspect(token);
  ASSERT_EQ(alive.status, 200) << alive.json;
  EXPECT_EQ(alive.headers.at("cache-control"), "no-store");
  EXPECT_EQ(alive.json.at("active"), true);
  EXPECT_EQ(alive.Text("sub"), ada().id());
  EXPECT_EQ(alive.Text("token_use"), "access");
  EXPECT_EQ(alive.Text("iss"), "bulkhead");
  EXPECT_EQ(alive.Text("aud"), "bulkhead");
  EXPECT_FALSE(alive.Text("jti").empty());
  EXPECT_EQ(alive.json.at("exp").get<int64_t>() - alive.json.at("iat").get<int64_t>(), 900);
  // Asking does not use a refresh token up.
  EXPECT_EQ(Introspect(ada().refresh_token()).Text("token_use"), "refresh");
  const std::string used = ada().refresh_token();
  EXPECT_OK(ada().Refresh());
  EXPECT_EQ(Introspect(used).json, nlohmann::json({{"active", false}}));

  EXPECT_EQ(Post("/v1/oauth/revoke", {{"token", token}}).status, 200);
  for (const std::string& dead : {token, ada().refresh_token(), std::string("made up")}) {
    const Answer answer = Introspect(dead);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.json, nlohmann::json({{"active", false}})) << "why is nobody's business";
  }

  const Form ask = {{"token", token}};
  ExpectRefused(Post("/v1/oauth/introspect", ask), 401, "invalid_client", "OAUTH_CLIENT_MISSING");
  ExpectRefused(Post("/v1/oauth/introspect", ask, Basic("worker", kWorkerSecret)), 403, "insufficient_scope",
                "PERMISSION_MISSING");
  User& bob = platform_->As("bob");
  ExpectRefused(Post("/v1/oauth/introspect", ask, absl::StrCat("Bearer ", bob.token().Reveal())), 403,
                "insufficient_scope", "PERMISSION_MISSING");
  const Answer unknown = Post("/v1/oauth/introspect", ask, absl::StrCat("Bearer ", token));
  ExpectRefused(unknown, 401, "invalid_token", "SESSION_REVOKED");
  EXPECT_EQ(unknown.headers.at("www-authenticate"), "Bearer error=\"invalid_token\"");
  EXPECT_EQ(Post("/v1/oauth/introspect", ask, absl::StrCat("Bearer ", platform_->AsAdmin().token().Reveal())).status,
            200);
}

TEST_F(OAuthEndpointTest, DiscoveryNamesTheConfiguredAddressAndNeverTheHostHeader) {
  Covers({"AU-2", "AU-6"});
  for (const std::string path : {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}) {
    const Answer answer = Send({.method = "GET", .path = path, .headers = {{"Host", "evil.example"}}, .body = ""});
    ASSERT_EQ(answer.status, 200) << path << answer.json;
    EXPECT_EQ(answer.Text("issuer"), "bulkhead");
    EXPECT_EQ(answer.Text("token_endpoint"), absl::StrCat(platform_->url(), "/v1/oauth/token"));
    EXPECT_EQ(answer.Text("jwks_uri"), absl::StrCat(platform_->url(), "/.well-known/jwks.json"));
    EXPECT_THAT(answer.json.dump(), Not(HasSubstr("evil")));
    EXPECT_THAT(answer.json.at("grant_types_supported"), Not(Contains("password")));
  }
  ASSERT_OK(platform_->RestartWith([](HarnessBuilder& builder) {
    builder.Configure([](common::v1::PlatformConfig& config) {
      config.mutable_auth()->set_issuer("https://bulkhead.example");
      config.mutable_gateway()->set_public_url("https://bulkhead.example");
    });
  }));
  ASSERT_OK_AND_ASSIGN(client_, ada().NewGatewayClient());
  const Answer answer = Send({.method = "GET", .path = "/.well-known/openid-configuration", .headers = {}, .body = ""});
  EXPECT_EQ(answer.Text("issuer"), "https://bulkhead.example");
  EXPECT_EQ(answer.Text("introspection_endpoint"), "https://bulkhead.example/v1/oauth/introspect");
  // Tokens say the same.
  ASSERT_OK(ada().SignIn());
  EXPECT_EQ(Introspect(ada().token().Reveal()).Text("iss"), "https://bulkhead.example");
}

TEST_F(OAuthEndpointTest, KeySetIsServedAsOneAndChangesItsTagWithTheKeys) {
  Covers({"AU-6"});
  const gateway::RawRequest get{.method = "GET", .path = "/.well-known/jwks.json", .headers = {}, .body = ""};
  const Answer answer = Send(get);
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/jwk-set+json");
  EXPECT_EQ(answer.headers.at("cache-control"), "public, max-age=300");
  ASSERT_EQ(answer.json.at("keys").size(), 2u) << "the one that signs and the next one";
  const nlohmann::json& key = answer.json.at("keys")[0];
  EXPECT_EQ(key.at("kty"), "OKP");
  EXPECT_EQ(key.at("use"), "sig");
  EXPECT_FALSE(key.contains("d"));
  EXPECT_FALSE(key.contains("y")) << "an empty member is no member";
  const auto unchanged = [&] {
    gateway::RawRequest again = get;
    again.headers["If-None-Match"] = answer.headers.at("etag");
    return Send(again).status;
  };
  EXPECT_EQ(unchanged(), 304);
  auth::v1::RotateKeysRequest rotate;
  rotate.set_algorithm("ES256");
  ASSERT_OK(Call<TokenService>(platform_->AsAdmin(), &TokenService::Stub::RotateKeys, rotate));
  EXPECT_EQ(unchanged(), 200);
  EXPECT_EQ(Send(get).json.at("keys").size(), 3u);
}

}  // namespace
}  // namespace bulkhead::testing
