#include "services/common/rpc/revocation_set.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"

namespace bulkhead::rpc {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::ElementsAre;

class OneKey final : public KeySource {
 public:
  explicit OneKey(std::shared_ptr<const crypto::VerifyingKey> key) : key_(std::move(key)) {}
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view) override { return key_; }

 private:
  const std::shared_ptr<const crypto::VerifyingKey> key_;
};

class RevocationSetTest : public ::testing::Test {
 protected:
  // Whoever presents a token of this session that this key signed.
  UserContext UserOf(const std::string& session, const std::string& key_id) {
    TokenClaims claims;
    claims.issuer = claims.audience = "bulkhead";
    claims.subject = "user-1";
    claims.session = session;
    claims.token_id = "token-1";
    claims.issued_at = claims.not_before = clock_.Now();
    claims.expires_at = clock_.Now() + absl::Hours(1);
    const std::unique_ptr<crypto::SigningKey> key = *crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa);
    OneKey keys(key->verifying_key());
    const auto verifier = *TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys, &clock_);
    const VerifiedToken token = *verifier->Verify(RawToken(SignToken(claims, key_id, *key)));
    return *UserContext::FromToken(token, {.request_id = "request-1"});
  }

  Revocation OfSession(const std::string& session) const {
    return {.session = "users/user-1/sessions/" + session,
            .key = "",
            .reason = "USER_DISABLED",
            .expires_at = clock_.Now() + absl::Hours(24)};
  }
  Revocation OfKey(const std::string& key) const {
    return {.session = "", .key = key, .reason = "KEY_REVOKED", .expires_at = clock_.Now() + absl::Hours(24)};
  }

  SimulatedClock clock_{absl::FromUnixSeconds(1'772'366'400)};
  RevocationSet set_{&clock_};
};

TEST_F(RevocationSetTest, RefusesWhatFallsUnderItAndNothingElse) {
  const UserContext first = UserOf("session-1", "key-1");
  const UserContext second = UserOf("session-2", "key-2");
  EXPECT_OK(set_.Check(first.claims()));
  set_.Add(OfSession("session-1"));
  EXPECT_THAT(set_.Check(first.claims()), HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  EXPECT_EQ(set_.Find(first.claims()).reason, "USER_DISABLED");
  EXPECT_OK(set_.Check(second.claims()));
  set_.Add(OfKey("key-2"));
  EXPECT_THAT(set_.Check(second.claims()), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_KEY_REVOKED"));
  EXPECT_THAT(set_.CheckKey("key-2"), HasReason("TOKEN_KEY_REVOKED"));
  EXPECT_OK(set_.CheckKey("key-1"));
}

TEST_F(RevocationSetTest, TellsWatchesOnceAndListenersWhatIsNew) {
  const UserContext user = UserOf("session-1", "key-1");
  std::map<std::string, int> told;
  RevocationSet::Watch watch = set_.WatchToken(user, [&told] { ++told["live"]; });
  {
    const RevocationSet::Watch ended = set_.WatchToken(user, [&told] { ++told["ended"]; });
  }
  const RevocationSet::Watch other = set_.WatchToken(UserOf("session-2", "key-1"), [&told] { ++told["other"]; });
  std::vector<std::string> heard;
  set_.Subscribe([&](const Revocation& revocation) {
    heard.push_back(revocation.session);
    EXPECT_FALSE(set_.Check(user.claims()).ok()) << "it counts by now";
  });
  set_.Add(OfSession("session-1"));
  set_.Add(OfSession("session-1"));
  EXPECT_THAT(told, ElementsAre(::testing::Pair("live", 1)));
  EXPECT_THAT(heard, ElementsAre("users/user-1/sessions/session-1"));
  // Work that begins too late is told at once.
  const RevocationSet::Watch late = set_.WatchToken(user, [&told] { ++told["late"]; });
  EXPECT_EQ(told["late"], 1);
}

TEST_F(RevocationSetTest, ForgetsSessionsWhenNoTokenOfThemCanBeLeft) {
  set_.Add(OfSession("session-1"));
  clock_.Advance(absl::Hours(23));
  set_.Add(OfSession("session-2"));
  EXPECT_EQ(set_.size(), 2u);
  clock_.Advance(absl::Hours(1));
  set_.Add(OfSession("session-3"));
  EXPECT_EQ(set_.size(), 2u) << "the first is gone";
  std::vector<std::string> known;
  for (const Revocation& revocation : set_.Known()) {
    known.push_back(revocation.session);
  }
  EXPECT_THAT(known,
              ::testing::UnorderedElementsAre("users/user-1/sessions/session-2", "users/user-1/sessions/session-3"));
}

}  // namespace
}  // namespace bulkhead::rpc
