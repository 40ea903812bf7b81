// What each call pays for knowing who makes it, beside the least that the cryptography alone costs.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/absl_check.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "services/common/crypto/signature.h"
#include "services/common/crypto/testing/bare_verification.h"
#include "services/common/crypto/testing/rsa_signer.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/time/clock.h"
#include "services/common/time/real_time.h"

namespace bulkhead {
namespace {

using crypto::Algorithm;
using crypto::testing::BareVerification;
using crypto::testing::RsaSigner;

constexpr char kKeyId[] = "key-1";

class OneKey : public KeySource {
 public:
  explicit OneKey(std::shared_ptr<const crypto::VerifyingKey> key) : key_(std::move(key)) {}
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view) override { return key_; }

 private:
  std::shared_ptr<const crypto::VerifyingKey> key_;
};

// Signs with keys of each algorithm.
class Signer {
 public:
  explicit Signer(Algorithm algorithm) : algorithm_(algorithm) {
    if (algorithm == Algorithm::kRs256 || algorithm == Algorithm::kPs256) {
      rsa_ = RsaSigner::Generate(2048);
      auto key = crypto::VerifyingKey::FromRsa(algorithm, rsa_->modulus(), rsa_->exponent());
      ABSL_CHECK_OK(key);
      verifying_key_ = *key;
      return;
    }
    auto key = crypto::SigningKey::Generate(algorithm);
    ABSL_CHECK_OK(key);
    key_ = *std::move(key);
    verifying_key_ = key_->verifying_key();
  }

  // A token as the platform's own are, whose signature is of this algorithm.
  RawToken Token(const TokenClaims& claims) const {
    if (key_ != nullptr) {
      return RawToken(SignToken(claims, kKeyId, *key_));
    }
    // The header names the algorithm: the payload is all that is kept of a token of ours.
    const auto ours = crypto::SigningKey::Generate(Algorithm::kEdDsa);
    const std::string signed_by_us = SignToken(claims, kKeyId, **ours);
    const std::string_view payload =
        std::string_view(signed_by_us)
            .substr(signed_by_us.find('.') + 1, signed_by_us.rfind('.') - signed_by_us.find('.') - 1);
    const std::string header =
        absl::StrCat(R"({"alg":")", crypto::AlgorithmName(algorithm_), R"(","kid":")", kKeyId, R"(","typ":"at+jwt"})");
    const std::string signed_part = absl::StrCat(absl::WebSafeBase64Escape(header), ".", payload);
    return RawToken(absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(rsa_->Sign(algorithm_, signed_part))));
  }

  const std::shared_ptr<const crypto::VerifyingKey>& verifying_key() const { return verifying_key_; }
  std::pair<std::string, std::string> parameters() const {
    return key_ != nullptr ? key_->public_parameters() : std::pair(rsa_->modulus(), rsa_->exponent());
  }

 private:
  const Algorithm algorithm_;
  std::unique_ptr<crypto::SigningKey> key_;
  std::unique_ptr<RsaSigner> rsa_;
  std::shared_ptr<const crypto::VerifyingKey> verifying_key_;
};

// One key a run, so that all benchmarks of an algorithm see the same.
const Signer& SignerOf(Algorithm algorithm) {
  static const Signer* const signers[] = {new Signer(Algorithm::kEdDsa), new Signer(Algorithm::kEs256),
                                          new Signer(Algorithm::kRs256), new Signer(Algorithm::kPs256)};
  return *signers[static_cast<size_t>(algorithm)];
}

// The machine's, as in a server: asking it the time is a part of the cost.
const Clock& TheClock() {
  static const Clock& clock = *CreateSystemClock().release();
  return clock;
}

TokenClaims Claims() {
  const absl::Time now = TheClock().Now();
  return {.issuer = "bulkhead",
          .audience = "bulkhead",
          .subject = "user-3k9x2m7q1v8b5n4c",
          .session = "session-7h2k9d4s1a6f3g8j",
          .token_id = "token-5t8y2u1i9o4p7l3k",
          .roles = {"member"},
          .permissions = {"tool:*:invoke", "run:own:*", "file:own:*", "event:own:read", "agent:own:*"},
          .issued_at = now,
          .not_before = now,
          .expires_at = now + absl::Hours(1)};
}

// The signature alone, by one EVP call on the same bytes.
void BM_Bare(benchmark::State& state, Algorithm algorithm) {
  const Signer& signer = SignerOf(algorithm);
  const RawToken token = signer.Token(Claims());
  const size_t end = token.Reveal().rfind('.');
  std::string signature;
  ABSL_CHECK(absl::WebSafeBase64Unescape(token.Reveal().substr(end + 1), &signature));
  const BareVerification bare(algorithm, signer.parameters(), token.Reveal().substr(0, end), signature);
  for (auto _ : state) {
    ABSL_CHECK(bare.Run());
  }
}

// All of it: form, header, key, signature, every claim.
void BM_Verify(benchmark::State& state, Algorithm algorithm) {
  OneKey keys(SignerOf(algorithm).verifying_key());
  const auto verifier = TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys, &TheClock());
  ABSL_CHECK_OK(verifier);
  const RawToken token = SignerOf(algorithm).Token(Claims());
  for (auto _ : state) {
    auto verified = (*verifier)->Verify(token);
    ABSL_CHECK_OK(verified);
    benchmark::DoNotOptimize(verified);
  }
}

double MedianMicroseconds(std::vector<absl::Duration>& samples) {
  const auto middle = samples.begin() + samples.size() / 2;
  std::nth_element(samples.begin(), middle, samples.end());
  return absl::ToDoubleMicroseconds(*middle);
}

// Both in turn, call by call, so that whatever else the machine does meets both alike: the medians, and their ratio.
void BM_Share(benchmark::State& state, Algorithm algorithm) {
  const Signer& signer = SignerOf(algorithm);
  OneKey keys(signer.verifying_key());
  const auto verifier = TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys, &TheClock());
  ABSL_CHECK_OK(verifier);
  const RawToken token = signer.Token(Claims());
  const size_t end = token.Reveal().rfind('.');
  std::string signature;
  ABSL_CHECK(absl::WebSafeBase64Unescape(token.Reveal().substr(end + 1), &signature));
  const BareVerification bare(algorithm, signer.parameters(), token.Reveal().substr(0, end), signature);
  std::vector<absl::Duration> bare_times;
  std::vector<absl::Duration> verify_times;
  for (auto _ : state) {
    const absl::Time start = RealNow();
    ABSL_CHECK(bare.Run());
    const absl::Time between = RealNow();
    ABSL_CHECK_OK((*verifier)->Verify(token));
    const absl::Time done = RealNow();
    bare_times.push_back(between - start);
    verify_times.push_back(done - between);
  }
  const double bare_median = MedianMicroseconds(bare_times);
  const double verify_median = MedianMicroseconds(verify_times);
  state.counters["bare_us"] = bare_median;
  state.counters["verify_us"] = verify_median;
  state.counters["bare_per_verify"] = bare_median / verify_median;
}

// Believes every signature, at no cost.
class CredulousKey : public crypto::VerifyingKey {
 public:
  explicit CredulousKey(Algorithm algorithm) : algorithm_(algorithm) {}
  Algorithm algorithm() const override { return algorithm_; }
  bool Verify(std::string_view, std::string_view) const override { return true; }

 private:
  const Algorithm algorithm_;
};

// All of it but the signature: what is around the cryptography, which a busy machine blurs less than the difference of two large times.
void BM_AroundTheSignature(benchmark::State& state, Algorithm algorithm) {
  OneKey keys(std::make_shared<CredulousKey>(algorithm));
  const auto verifier = TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys, &TheClock());
  ABSL_CHECK_OK(verifier);
  const RawToken token = SignerOf(algorithm).Token(Claims());
  for (auto _ : state) {
    auto verified = (*verifier)->Verify(token);
    ABSL_CHECK_OK(verified);
    benchmark::DoNotOptimize(verified);
  }
}

// The second and later calls with the same token, among `tokens` that are remembered.
void BM_VerifyRemembered(benchmark::State& state) {
  const auto tokens = static_cast<size_t>(state.range(0));
  const Signer& signer = SignerOf(Algorithm::kEdDsa);
  OneKey keys(signer.verifying_key());
  const auto verifier = TokenVerifier::Create(
      {.issuer = "bulkhead", .audience = "bulkhead", .cache_entries = 2 * tokens}, &keys, &TheClock());
  ABSL_CHECK_OK(verifier);
  std::vector<RawToken> presented;
  for (size_t i = 0; i < tokens; ++i) {
    TokenClaims claims = Claims();
    claims.token_id = absl::StrCat("token-", i);
    presented.push_back(signer.Token(claims));
    ABSL_CHECK_OK((*verifier)->Verify(presented.back()));
  }
  size_t next = 0;
  for (auto _ : state) {
    auto verified = (*verifier)->Verify(presented[next]);
    ABSL_CHECK_OK(verified);
    benchmark::DoNotOptimize(verified);
    next = next + 1 == tokens ? 0 : next + 1;
  }
}

void BM_Issue(benchmark::State& state, Algorithm algorithm) {
  const auto key = crypto::SigningKey::Generate(algorithm);
  ABSL_CHECK_OK(key);
  const TokenClaims claims = Claims();
  for (auto _ : state) {
    benchmark::DoNotOptimize(SignToken(claims, kKeyId, **key));
  }
  state.SetItemsProcessed(state.iterations());
}

#define BULKHEAD_BENCHMARK(function, algorithm) \
  BENCHMARK_CAPTURE(function, algorithm, Algorithm::k##algorithm)->Unit(benchmark::kMicrosecond)
BULKHEAD_BENCHMARK(BM_Bare, EdDsa);
BULKHEAD_BENCHMARK(BM_Verify, EdDsa);
BULKHEAD_BENCHMARK(BM_Bare, Es256);
BULKHEAD_BENCHMARK(BM_Verify, Es256);
BULKHEAD_BENCHMARK(BM_Bare, Rs256);
BULKHEAD_BENCHMARK(BM_Verify, Rs256);
BULKHEAD_BENCHMARK(BM_Bare, Ps256);
BULKHEAD_BENCHMARK(BM_Verify, Ps256);
BULKHEAD_BENCHMARK(BM_Share, EdDsa);
BULKHEAD_BENCHMARK(BM_Share, Es256);
BULKHEAD_BENCHMARK(BM_Share, Rs256);
BULKHEAD_BENCHMARK(BM_Share, Ps256);
BULKHEAD_BENCHMARK(BM_AroundTheSignature, EdDsa);
BULKHEAD_BENCHMARK(BM_AroundTheSignature, Rs256);
BENCHMARK(BM_VerifyRemembered)->Arg(1)->Arg(1000)->Unit(benchmark::kMicrosecond);
BULKHEAD_BENCHMARK(BM_Issue, EdDsa);
BULKHEAD_BENCHMARK(BM_Issue, Es256);

}  // namespace
}  // namespace bulkhead
