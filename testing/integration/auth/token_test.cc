// Tokens and keys: what every service believes, and what it refuses before anything happens.
#include "services/common/identity/token.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using agent::v1::RunService;
using auth::v1::TokenService;
using auth::v1::UserService;
using notifier::v1::EventService;
using tool::v1::ToolService;

// Longer than an access token lives, with the leeway of every verifier.
constexpr absl::Duration kTokenLife = absl::Minutes(16);

// How each service answers one harmless call under `token`: by its name.
std::map<std::string, absl::Status> AskEveryService(Harness& platform, std::string_view token) {
  auth::v1::GetUserRequest user;
  user.set_name("users/me");
  notifier::v1::ListEventsRequest events;
  events.set_stream("users/user-000001/runs/run-000001");
  return {
      {"auth", CallWithToken<UserService>(platform, token, &UserService::Stub::GetUser, user).status()},
      {"tool", CallWithToken<ToolService>(platform, token, &ToolService::Stub::ListTools, {}).status()},
      {"agent", CallWithToken<RunService>(platform, token, &RunService::Stub::ListRuns, {}).status()},
      {"notifier", CallWithToken<EventService>(platform, token, &EventService::Stub::ListEvents, events).status()},
  };
}

void ExpectAllRefuse(Harness& platform, std::string_view token, const std::string& reason) {
  for (const auto& [service, status] : AskEveryService(platform, token)) {
    EXPECT_THAT(status, HasReason(absl::StatusCode::kUnauthenticated, reason)) << service;
  }
}

nlohmann::json DecodePart(std::string_view part) {
  std::string json;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(part, &json));
  return nlohmann::json::parse(json);
}

std::string EncodePart(const nlohmann::json& json) { return absl::WebSafeBase64Escape(json.dump()); }

std::string KeyIdOf(const RawToken& token) {
  const std::vector<std::string> parts = absl::StrSplit(token.Reveal(), '.');
  return DecodePart(parts[0])["kid"];
}

TEST(TokenTest, ExpiredTokenIsRefusedBeforeTheToolRuns) {
  Covers({"AU-1", "TD-7"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithTool(tool).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.InvokeTool("count", nlohmann::json::object()));

  platform->Advance(kTokenLife);
  EXPECT_THAT(ada.InvokeTool("count", nlohmann::json::object()),
              HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED"));
  EXPECT_EQ(tool->runs(), 1);
  ExpectAllRefuse(*platform, ada.token().Reveal(), "TOKEN_EXPIRED");

  ASSERT_OK(ada.Refresh());
  EXPECT_OK(ada.InvokeTool("count", nlohmann::json::object()));
  EXPECT_EQ(tool->runs(), 2);
}

TEST(TokenTest, TokenOfAnotherKeyIsRefusedByEveryService) {
  Covers({"AU-1", "AU-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  // All that a good token has, but for the key.
  TokenClaims claims;
  claims.issuer = "bulkhead";
  claims.audience = "bulkhead";
  claims.subject = ada.id();
  claims.session = ada.session().substr(ada.session().rfind('/') + 1);
  claims.token_id = "token-forged";
  claims.permissions = {"*:*:*"};
  claims.issued_at = platform->Now();
  claims.not_before = platform->Now();
  claims.expires_at = platform->Now() + absl::Minutes(5);
  ASSERT_OK_AND_ASSIGN(auto key, crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa));

  ExpectAllRefuse(*platform, SignToken(claims, "key-forged", *key), "TOKEN_KEY_UNKNOWN");
  ExpectAllRefuse(*platform, SignToken(claims, KeyIdOf(ada.token()), *key), "TOKEN_SIGNATURE_INVALID");
}

TEST(TokenTest, ChangedTokenIsRefusedByEveryService) {
  Covers({"AU-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  const std::vector<std::string> parts = absl::StrSplit(platform->As("ada").token().Reveal(), '.');
  ASSERT_EQ(parts.size(), 3);

  nlohmann::json payload = DecodePart(parts[1]);
  payload["perms"] = {"*:*:*"};
  ExpectAllRefuse(*platform, absl::StrCat(parts[0], ".", EncodePart(payload), ".", parts[2]),
                  "TOKEN_SIGNATURE_INVALID");
  nlohmann::json header = DecodePart(parts[0]);
  header["alg"] = "none";
  const std::string unsigned_token = absl::StrCat(EncodePart(header), ".", EncodePart(payload), ".");
  ExpectAllRefuse(*platform, absl::StrCat(unsigned_token, parts[2]), "TOKEN_UNSIGNED");
  ExpectAllRefuse(*platform, unsigned_token, "TOKEN_UNSIGNED");
  ExpectAllRefuse(*platform, absl::StrCat(parts[0], ".", parts[1]), "TOKEN_MALFORMED");
  ExpectAllRefuse(*platform, "", "TOKEN_MISSING");
}

TEST(TokenTest, RotationRefusesNoValidTokenAndARevokedKeyIsRefusedEverywhere) {
  Covers({"AU-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  User& admin = platform->AsAdmin();
  const std::string old_key = KeyIdOf(ada.token());
  ASSERT_OK(Call<TokenService>(admin, &TokenService::Stub::RotateKeys, {}));

  // The new key is accepted at once, the old one goes on.
  ASSERT_OK(bob.SignIn());
  ASSERT_OK(admin.SignIn());
  EXPECT_NE(KeyIdOf(bob.token()), old_key);
  for (User* user : {&ada, &bob}) {
    EXPECT_OK(user->ListTools()) << user->login();
    EXPECT_OK(user->ListRuns()) << user->login();
  }

  auth::v1::RevokeKeyRequest revoke;
  revoke.set_kid(old_key);
  ASSERT_OK(Call<TokenService>(admin, &TokenService::Stub::RevokeKey, revoke));
  auth::v1::GetUserRequest me;
  me.set_name("users/me");
  EXPECT_THAT(Call<UserService>(ada, &UserService::Stub::GetUser, me), HasReason("TOKEN_KEY_REVOKED"));
  // The others are told; revocation_test has the rest. Later it is gone from their key sets as well, and the answer stays.
  platform->Advance(absl::Minutes(5));
  for (const char* service : {"tool", "agent", "notifier"}) {
    EXPECT_OK(WaitFor(
        [&] { return ReasonOf(AskEveryService(*platform, ada.token().Reveal())[service]) == "TOKEN_KEY_REVOKED"; },
        absl::StrCat("the refusal of the revoked key by ", service)));
  }
  EXPECT_OK(bob.ListTools());
  // Her session lives: it gets her a token of the new key.
  ASSERT_OK(ada.Refresh());
  EXPECT_OK(ada.ListTools());
}

TEST(TokenTest, KeysAndSessionsOutliveARestart) {
  Covers({"AU-6", "AU-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(platform->Restart());
  EXPECT_OK(ada.ListTools());
  EXPECT_OK(ada.Refresh());
  EXPECT_OK(ada.ListRuns());
}

}  // namespace
}  // namespace bulkhead::testing
