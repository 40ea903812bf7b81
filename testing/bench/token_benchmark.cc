// What each call pays for knowing who makes it.
#include <memory>
#include <string>
#include <string_view>

#include "absl/log/absl_check.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/time/simulated_clock.h"

namespace bulkhead {
namespace {

class OneKey : public KeySource {
 public:
  explicit OneKey(std::shared_ptr<const crypto::VerifyingKey> key) : key_(std::move(key)) {}
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view) override { return key_; }

 private:
  std::shared_ptr<const crypto::VerifyingKey> key_;
};

void BM_VerifyToken(benchmark::State& state, crypto::Algorithm algorithm) {
  const SimulatedClock clock(absl::UnixEpoch() + absl::Hours(24 * 365 * 56));
  const auto key = crypto::SigningKey::Generate(algorithm);
  ABSL_CHECK_OK(key);
  OneKey keys((*key)->verifying_key());
  const auto verifier =
      TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys, &clock);
  ABSL_CHECK_OK(verifier);
  const RawToken token(SignToken(
      {.issuer = "bulkhead",
       .audience = "bulkhead",
       .subject = "user-3k9x2m7q1v8b5n4c",
       .session = "session-7h2k9d4s1a6f3g8j",
       .token_id = "token-5t8y2u1i9o4p7l3k",
       .roles = {"member"},
       .permissions = {"tool:*:invoke", "run:own:*", "file:own:*", "event:own:read", "agent:own:*"},
       .issued_at = clock.Now(),
       .not_before = clock.Now(),
       .expires_at = clock.Now() + absl::Minutes(15)},
      "key-1", **key));
  for (auto _ : state) {
    auto verified = (*verifier)->Verify(token);
    ABSL_CHECK_OK(verified);
    benchmark::DoNotOptimize(verified);
  }
  state.SetLabel(std::string(crypto::AlgorithmName(algorithm)));
}
BENCHMARK_CAPTURE(BM_VerifyToken, Ed25519, crypto::Algorithm::kEdDsa)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(BM_VerifyToken, P256, crypto::Algorithm::kEs256)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace bulkhead
