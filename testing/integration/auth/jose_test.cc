// Tokens held against an independent implementation: the npm package jose signs and we verify, we sign and it verifies, and what is wrong is refused by both.
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
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/jwks.h"
#include "services/common/identity/jws.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/child_process.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::nlohmann::json;

using auth::v1::TokenService;
using tool::v1::ToolService;

// What jose answers to each of `tasks`.
json AskJose(const json& tasks) {
  const std::string root = ::testing::SrcDir();
  absl::StatusOr<Finished> finished = RunToEnd(
      {.program = absl::StrCat(root, "npm/node"),
       .arguments = {absl::StrCat(root, "bulkhead/testing/integration/auth/jose_peer.mjs"), absl::StrCat(root, "npm")},
       .input = tasks.dump()});
  EXPECT_TRUE(finished.ok()) << finished.status();
  if (!finished.ok() || finished->exit_code != 0) {
    ADD_FAILURE() << (finished.ok() ? finished->errors : "");
    return json();
  }
  return json::parse(finished->output);
}

std::string EncodePart(const json& part) { return absl::WebSafeBase64Escape(part.dump()); }

json DecodePart(std::string_view part) {
  std::string text;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(part, &text));
  return json::parse(text);
}

TEST(JoseTest, WhatJoseSignsIsVerifiedForEachAlgorithm) {
  Covers({"AU-1"});
  const json claims = {
      {"sub", "ada"}, {"name", "Ada \u00e9 \"Lovelace\""}, {"exp", 1800000000}, {"nested", {{"a", {1, 2.5}}}}};
  json tasks = json::array();
  for (const char* algorithm : {"EdDSA", "ES256", "RS256", "PS256"}) {
    tasks.push_back({{"op", "sign"}, {"alg", algorithm}, {"kid", absl::StrCat("key-", algorithm)}, {"claims", claims}});
  }
  const json signed_by_jose = AskJose(tasks);
  ASSERT_EQ(signed_by_jose.size(), 4u);
  json set = {{"keys", json::array()}};
  for (const json& result : signed_by_jose) {
    set["keys"].push_back(result["jwk"]);
  }
  ASSERT_OK_AND_ASSIGN(const KeySet keys, ParseKeySet(set.dump()));
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::string token = signed_by_jose[i]["token"];
    ASSERT_OK_AND_ASSIGN(const VerifiedJws verified, VerifyJws(token, keys, {.type = "JWT"}));
    EXPECT_EQ(crypto::AlgorithmName(verified.algorithm), tasks[i]["alg"].get<std::string>());
    EXPECT_EQ(json::parse(verified.payload), claims);
    // The others' keys did not sign it.
    json renamed = set;
    renamed["keys"][i]["kid"] = "unused";
    renamed["keys"][(i + 1) % tasks.size()]["kid"] = absl::StrCat("key-", std::string(tasks[i]["alg"]));
    ASSERT_OK_AND_ASSIGN(const KeySet wrong, ParseKeySet(renamed.dump()));
    EXPECT_FALSE(VerifyJws(token, wrong, {.type = "JWT"}).ok()) << tasks[i];
  }
}

// A platform with one user, and how jose verifies its tokens with the keys that the gateway serves.
class JosePlatform {
 public:
  static absl::StatusOr<JosePlatform> Start() {
    absl::StatusOr<std::unique_ptr<Harness>> harness = Harness::Builder().WithUsers({"ada"}).Build();
    if (!harness.ok()) {
      return harness.status();
    }
    return JosePlatform(*std::move(harness));
  }

  Harness& harness() { return *harness_; }
  User& ada() { return harness_->As("ada"); }
  json KeySet() {
    absl::StatusOr<json> set = ada().Http("GET", "/.well-known/jwks.json", nullptr);
    EXPECT_TRUE(set.ok()) << set.status();
    return set.ok() ? *set : json();
  }
  json Verification(std::string_view token, const json& key_set) {
    return {{"op", "verify"},
            {"jwks", key_set},
            {"token", token},
            {"options",
             {{"issuer", "bulkhead"},
              {"audience", "bulkhead"},
              {"typ", "at+jwt"},
              {"algorithms", {"EdDSA", "ES256", "RS256", "PS256"}},
              {"clockTolerance", 30},
              {"now", absl::ToUnixSeconds(harness_->Now())}}}};
  }
  absl::Status OurAnswer(std::string_view token) {
    return CallWithToken<ToolService>(*harness_, token, &ToolService::Stub::ListTools, {}).status();
  }

 private:
  explicit JosePlatform(std::unique_ptr<Harness> harness) : harness_(std::move(harness)) {}
  std::unique_ptr<Harness> harness_;
};

TEST(JoseTest, WhatThePlatformSignsIsVerifiedByJoseWithTheKeysAsServed) {
  Covers({"AU-1", "AU-6"});
  ASSERT_OK_AND_ASSIGN(JosePlatform platform, JosePlatform::Start());
  const std::string edwards(platform.ada().token().Reveal());
  auth::v1::RotateKeysRequest rotate;
  rotate.set_algorithm("ES256");
  ASSERT_OK(Call<TokenService>(platform.harness().AsAdmin(), &TokenService::Stub::RotateKeys, rotate));
  ASSERT_OK(platform.ada().SignIn());
  const std::string ecdsa(platform.ada().token().Reveal());
  const json set = platform.KeySet();
  EXPECT_EQ(set["keys"].size(), 3u) << set;

  const json results = AskJose({platform.Verification(edwards, set), platform.Verification(ecdsa, set)});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["header"].value("alg", ""), "EdDSA") << results[0];
  EXPECT_EQ(results[1]["header"].value("alg", ""), "ES256") << results[1];
  for (const json& result : results) {
    EXPECT_EQ(result["payload"]["sub"].get<std::string>(), platform.ada().id());
    EXPECT_THAT(result["payload"]["perms"], ::testing::Contains("tool:*:invoke"));
  }
  EXPECT_OK(platform.OurAnswer(edwards));
  EXPECT_OK(platform.OurAnswer(ecdsa));
}

TEST(JoseTest, WhatIsWrongIsRefusedByBoth) {
  Covers({"AU-1"});
  ASSERT_OK_AND_ASSIGN(JosePlatform platform, JosePlatform::Start());
  const json set = platform.KeySet();
  const std::string good(platform.ada().token().Reveal());
  const std::vector<std::string> parts = absl::StrSplit(good, '.');
  const auto with_header = [&](const json& changes) {
    json header = DecodePart(parts[0]);
    header.merge_patch(changes);
    return EncodePart(header);
  };
  const auto with_payload = [&](const json& changes) {
    json payload = DecodePart(parts[1]);
    payload.merge_patch(changes);
    return EncodePart(payload);
  };
  const std::string hmac_part = absl::StrCat(with_header({{"alg", "HS256"}}), ".", parts[1]);
  const std::string public_key = set["keys"][0]["x"];
  const std::pair<std::string, const char*> wrong[] = {
      {absl::StrCat(with_header({{"alg", "none"}}), ".", parts[1], "."), "TOKEN_UNSIGNED"},
      {absl::StrCat(hmac_part, ".", absl::WebSafeBase64Escape(crypto::HmacSha256(Secret(public_key), hmac_part))),
       "TOKEN_ALGORITHM_SYMMETRIC"},
      {absl::StrCat(with_header({{"alg", "ES256"}}), ".", parts[1], ".", parts[2]), "TOKEN_ALGORITHM_REFUSED"},
      {absl::StrCat(with_header({{"kid", "key-unknown"}}), ".", parts[1], ".", parts[2]), "TOKEN_KEY_UNKNOWN"},
      {absl::StrCat(with_header({{"crit", {"exp"}}, {"exp", 1}}), ".", parts[1], ".", parts[2]),
       "TOKEN_EXTENSION_REFUSED"},
      {absl::StrCat(with_header({{"typ", "JWT"}}), ".", parts[1], ".", parts[2]), "TOKEN_TYPE_REFUSED"},
      {absl::StrCat(with_header({{"extra", 1}}), ".", parts[1], ".", parts[2]), "TOKEN_SIGNATURE_INVALID"},
      {absl::StrCat(parts[0], ".", with_payload({{"perms", {"*:*:*"}}}), ".", parts[2]), "TOKEN_SIGNATURE_INVALID"},
      {absl::StrCat(parts[0], ".", parts[1], ".", parts[2].substr(0, 80)), "TOKEN_SIGNATURE_INVALID"},
      {absl::StrCat(parts[0], ".", parts[1], ".", std::string(86, 'A')), "TOKEN_SIGNATURE_INVALID"},
      {absl::StrCat(parts[0], ".", parts[1]), "TOKEN_MALFORMED"},
      {absl::StrCat(parts[0], ".", parts[1], ".", parts[2], ".", parts[2]), "TOKEN_MALFORMED"},
      {absl::StrCat("e30.", parts[1], ".", parts[2]), "TOKEN_MALFORMED"},
      {absl::StrCat("*", good), "TOKEN_ENCODING_INVALID"},
  };
  json tasks = {platform.Verification(good, set)};
  for (const auto& [token, reason] : wrong) {
    tasks.push_back(platform.Verification(token, set));
  }
  const json results = AskJose(tasks);
  ASSERT_EQ(results.size(), tasks.size());
  EXPECT_TRUE(results[0].contains("payload")) << results[0];
  EXPECT_OK(platform.OurAnswer(good));
  size_t i = 1;
  for (const auto& [token, reason] : wrong) {
    EXPECT_TRUE(results[i].contains("error")) << reason << ": jose accepts it";
    EXPECT_THAT(platform.OurAnswer(token), HasReason(absl::StatusCode::kUnauthenticated, reason)) << token;
    ++i;
  }

  // Time, issuer and audience. The platform's time moves on; jose is told so.
  platform.harness().Advance(absl::Minutes(16));
  json expired = platform.Verification(good, set);
  json foreign = platform.Verification(good, set);
  foreign["options"]["now"] = absl::ToUnixSeconds(platform.harness().Now() - absl::Minutes(16));
  foreign["options"]["audience"] = "somebody-else";
  const json late = AskJose({expired, foreign});
  EXPECT_EQ(late[0].value("error", ""), "ERR_JWT_EXPIRED");
  EXPECT_EQ(late[1].value("error", ""), "ERR_JWT_CLAIM_VALIDATION_FAILED");
  EXPECT_THAT(platform.OurAnswer(good), HasReason("TOKEN_EXPIRED"));
}

}  // namespace
}  // namespace bulkhead::testing
