#include "services/common/rpc/revoked_tokens.h"

#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"

namespace bulkhead::rpc {
namespace {

class OneKey : public KeySource {
 public:
  explicit OneKey(std::shared_ptr<const crypto::VerifyingKey> key) : key_(std::move(key)) {}
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view) override { return key_; }

 private:
  std::shared_ptr<const crypto::VerifyingKey> key_;
};

TEST(RevokedTokensTest, WhatIsRevokedIsForgottenAndNothingElse) {
  SimulatedClock clock(absl::FromUnixSeconds(1'700'000'000));
  ASSERT_OK_AND_ASSIGN(const auto key, crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa));
  OneKey keys(key->verifying_key());
  // Enough that two tokens never want the same place.
  ASSERT_OK_AND_ASSIGN(
      const std::shared_ptr<const TokenVerifier> verifier,
      TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead", .cache_entries = 64}, &keys, &clock));
  RevocationSet revocations(&clock);
  ForgetRevokedTokens(revocations, verifier);
  const auto token = [&](std::string_view user, std::string_view key_id) {
    return RawToken(SignToken({.issuer = "bulkhead",
                               .audience = "bulkhead",
                               .subject = std::string(user),
                               .session = "session-1",
                               .token_id = "token-1",
                               .issued_at = clock.Now(),
                               .not_before = clock.Now(),
                               .expires_at = clock.Now() + absl::Minutes(15)},
                              key_id, *key));
  };
  const RawToken ada = token("ada", "key-1");
  const RawToken bob = token("bob", "key-2");
  // Whether it comes from memory: it is the same object then.
  const auto remembered = [&](const RawToken& raw, const VerifiedToken& before) {
    const auto again = verifier->Verify(raw);
    EXPECT_TRUE(again.ok()) << again.status();
    return again.ok() && again->shared_claims() == before.shared_claims();
  };
  ASSERT_OK_AND_ASSIGN(const VerifiedToken first_ada, verifier->Verify(ada));
  ASSERT_OK_AND_ASSIGN(const VerifiedToken first_bob, verifier->Verify(bob));
  ASSERT_TRUE(remembered(ada, first_ada));
  ASSERT_TRUE(remembered(bob, first_bob));

  revocations.Add({.session = "users/ada/sessions/session-1", .key = "", .reason = "SESSION_REVOKED"});
  EXPECT_FALSE(remembered(ada, first_ada));
  EXPECT_TRUE(remembered(bob, first_bob));
  revocations.Add({.session = "", .key = "key-2", .reason = "KEY_REVOKED"});
  EXPECT_FALSE(remembered(bob, first_bob));
}

}  // namespace
}  // namespace bulkhead::rpc
