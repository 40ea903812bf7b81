// The keys that sign: replaced while everything goes on, by hand, by schedule and when one is compromised.
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using agent::v1::RunService;
using auth::v1::TokenService;
using auth::v1::UserService;
using tool::v1::ToolService;

nlohmann::json HeaderOf(const RawToken& token) {
  std::string header;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(token.Reveal().substr(0, token.Reveal().find('.')), &header));
  return nlohmann::json::parse(header);
}

// One harmless call of each of three services, which have nothing in common but the keys; the first refusal.
absl::Status UseEverywhere(Harness& platform, std::string_view token) {
  auth::v1::GetUserRequest me;
  me.set_name("users/me");
  absl::Status status = CallWithToken<UserService>(platform, token, &UserService::Stub::GetUser, me).status();
  if (status.ok()) {
    status = CallWithToken<ToolService>(platform, token, &ToolService::Stub::ListTools, {}).status();
  }
  if (status.ok()) {
    status = CallWithToken<RunService>(platform, token, &RunService::Stub::ListRuns, {}).status();
  }
  return status;
}

absl::StatusOr<std::vector<auth::v1::SigningKey>> ListKeys(User& admin) {
  absl::StatusOr<auth::v1::ListKeysResponse> response = Call<TokenService>(admin, &TokenService::Stub::ListKeys, {});
  if (!response.ok()) {
    return response.status();
  }
  return std::vector<auth::v1::SigningKey>(response->keys().begin(), response->keys().end());
}

std::string SigningKeyId(User& admin) {
  const absl::StatusOr<std::vector<auth::v1::SigningKey>> keys = ListKeys(admin);
  EXPECT_TRUE(keys.ok()) << keys.status();
  return keys.ok() && !keys->empty() ? keys->front().kid() : "";
}

TEST(KeyRotationTest, NoValidTokenIsRefusedWhileKeysRotate) {
  Covers({"AU-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& admin = platform->AsAdmin();
  const std::string oldest(platform->As("ada").token().Reveal());
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0;
  // Each takes a token of whatever key is the newest, and uses it everywhere at once: the services see new keys by their tokens first.
  const auto work = [&](User& user) {
    while (!stop) {
      const absl::Status signed_in = user.Refresh();
      EXPECT_TRUE(signed_in.ok()) << signed_in;
      const absl::Status used = UseEverywhere(*platform, user.token().Reveal());
      EXPECT_TRUE(used.ok()) << used;
      ++calls;
    }
  };
  std::thread ada(work, std::ref(platform->As("ada")));
  std::thread bob(work, std::ref(platform->As("bob")));
  for (int i = 0; i < 8; ++i) {
    auth::v1::RotateKeysRequest rotate;
    rotate.set_algorithm(i % 2 == 0 ? "ES256" : "EdDSA");
    EXPECT_OK(Call<TokenService>(admin, &TokenService::Stub::RotateKeys, rotate));
    const int before = calls;
    EXPECT_OK(WaitFor([&] { return calls >= before + 4; }, "calls under the new key"));
  }
  stop = true;
  ada.join();
  bob.join();
  EXPECT_OK(UseEverywhere(*platform, oldest)) << "eight keys later";
  ASSERT_OK_AND_ASSIGN(const std::vector<auth::v1::SigningKey> keys, ListKeys(admin));
  ASSERT_EQ(keys.size(), 10u) << "the first, eight more, and the next one";
  EXPECT_EQ(keys[0].state(), auth::v1::KEY_STATE_SIGNING);
  int upcoming = 0;
  for (size_t i = 1; i < keys.size(); ++i) {
    EXPECT_EQ(keys[i].state(), auth::v1::KEY_STATE_VERIFYING);
    upcoming += keys[i].has_expire_time() ? 0 : 1;
  }
  EXPECT_EQ(upcoming, 1);
}

TEST(KeyRotationTest, TheScheduleCountsFromTheKeysMakingAlsoAcrossARestart) {
  Covers({"AU-6", "CF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .WithUsers({"ada"})
                           .Configure([](common::v1::PlatformConfig& config) {
                             config.mutable_auth()->mutable_key_rotation_interval()->set_seconds(24 * 3600);
                             config.mutable_auth()->set_key_algorithm("ES256");
                           })
                           .Build());
  User& admin = platform->AsAdmin();
  EXPECT_EQ(HeaderOf(platform->As("ada").token())["alg"].get<std::string>(), "ES256");
  const std::string first = SigningKeyId(admin);
  platform->Advance(absl::Hours(20));
  ASSERT_OK(platform->Restart());
  ASSERT_OK(platform->AsAdmin().SignIn());
  EXPECT_EQ(SigningKeyId(platform->AsAdmin()), first);
  platform->Advance(absl::Hours(4));
  ASSERT_OK(platform->AsAdmin().SignIn());
  EXPECT_OK(WaitFor([&] { return SigningKeyId(platform->AsAdmin()) != first; }, "the rotation"));
  // The token of the old key goes on with all services, and so does a new one.
  EXPECT_OK(UseEverywhere(*platform, platform->AsAdmin().token().Reveal()));
  ASSERT_OK(platform->As("ada").SignIn());
  EXPECT_EQ(HeaderOf(platform->As("ada").token())["alg"].get<std::string>(), "ES256");
  EXPECT_OK(UseEverywhere(*platform, platform->As("ada").token().Reveal()));
}

TEST(KeyRotationTest, ACompromisedSigningKeyIsReplacedAndListedAsRevoked) {
  Covers({"AU-6", "AU-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  const std::string compromised = SigningKeyId(platform->AsAdmin());
  auth::v1::RevokeKeyRequest revoke;
  revoke.set_kid(compromised);
  EXPECT_THAT(Call<TokenService>(ada, &TokenService::Stub::RevokeKey, revoke),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_THAT(ListKeys(ada).status(), HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_EQ(SigningKeyId(platform->AsAdmin()), compromised) << "a refusal changes nothing";

  ASSERT_OK(Call<TokenService>(platform->AsAdmin(), &TokenService::Stub::RevokeKey, revoke));
  auth::v1::GetUserRequest me;
  me.set_name("users/me");
  EXPECT_THAT(Call<UserService>(ada, &UserService::Stub::GetUser, me).status().code(),
              absl::StatusCode::kUnauthenticated)
      << "auth itself refuses it at once";
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(platform->AsAdmin().SignIn());
  EXPECT_NE(HeaderOf(ada.token())["kid"].get<std::string>(), compromised);
  EXPECT_OK(UseEverywhere(*platform, ada.token().Reveal()));
  EXPECT_OK(Call<TokenService>(platform->AsAdmin(), &TokenService::Stub::RevokeKey, revoke)) << "it stays revoked";
  ASSERT_OK_AND_ASSIGN(const std::vector<auth::v1::SigningKey> keys, ListKeys(platform->AsAdmin()));
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys[0].state(), auth::v1::KEY_STATE_SIGNING);
  const auto revoked = absl::c_find_if(keys, [&](const auto& key) { return key.kid() == compromised; });
  ASSERT_NE(revoked, keys.end());
  EXPECT_EQ(revoked->state(), auth::v1::KEY_STATE_REVOKED);
  EXPECT_TRUE(revoked->has_revoke_time());
  revoke.set_kid("key-unknown");
  EXPECT_THAT(Call<TokenService>(platform->AsAdmin(), &TokenService::Stub::RevokeKey, revoke),
              HasReason(absl::StatusCode::kNotFound, "KEY_NOT_FOUND"));
}

// Key ids that somebody made up keep services from asking auth again for a while: that must not shut out the next key.
TEST(KeyRotationTest, TheFirstTokenOfANewKeyIsAcceptedDuringAFloodOfMadeUpKeyIds) {
  Covers({"AU-6", "AU-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  // The clock stands still, so the pause that these cause is not over when the key changes.
  const std::string own(ada.token().Reveal());
  const std::string made_up = absl::StrCat(
      absl::WebSafeBase64Escape(R"({"alg":"EdDSA","kid":"key-made-up","typ":"at+jwt"})"), own.substr(own.find('.')));
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(UseEverywhere(*platform, made_up).ok());
  }
  const std::string before = SigningKeyId(platform->AsAdmin());
  ASSERT_OK(Call<TokenService>(platform->AsAdmin(), &TokenService::Stub::RotateKeys, {}));
  ASSERT_OK(ada.SignIn());
  EXPECT_NE(HeaderOf(ada.token())["kid"].get<std::string>(), before);
  EXPECT_OK(UseEverywhere(*platform, ada.token().Reveal()));
}

}  // namespace
}  // namespace bulkhead::testing
