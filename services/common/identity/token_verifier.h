// Checks the tokens of this platform. RFC 7515, RFC 7519, RFC 8725.
#ifndef SERVICES_COMMON_IDENTITY_TOKEN_VERIFIER_H_
#define SERVICES_COMMON_IDENTITY_TOKEN_VERIFIER_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/jws.h"
#include "services/common/identity/token.h"
#include "services/common/time/clock.h"

namespace bulkhead {

class VerifiedTokenCache;

// Where verification keys come from. Thread-safe; does not block.
class KeySource {
 public:
  virtual ~KeySource() = default;
  // The key named `key_id`, or null. A source that refreshes itself may start to do so when it does not know the id.
  virtual std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view key_id) = 0;
};

// Checks tokens that the auth service has signed. Thread-safe. Does no I/O: keys come from the KeySource.
class TokenVerifier {
 public:
  struct Options {
    std::string issuer;
    std::string audience;
    absl::Duration leeway = absl::Seconds(30);  // For clocks that differ; at most 5 minutes.
    // Verified tokens to remember, so that they need not be verified again; 0 remembers none.
    size_t cache_entries = 0;
  };

  // INVALID_ARGUMENT `TOKEN_OPTIONS_INVALID` when issuer or audience is empty, or leeway negative or too long.
  // `keys` and `clock` outlive the verifier.
  static absl::StatusOr<std::unique_ptr<TokenVerifier>> Create(Options options, KeySource* keys, const Clock* clock);
  ~TokenVerifier();

  // UNAUTHENTICATED, domain bulkhead.auth: the reasons of Jws (jws.h), whose type is "at+jwt" and whose key id is required;
  // TOKEN_KEY_UNKNOWN, TOKEN_ISSUER_REFUSED, TOKEN_AUDIENCE_REFUSED, TOKEN_NOT_YET_VALID, TOKEN_EXPIRED,
  // TOKEN_CLAIM_INVALID (metadata `claim`). The message never quotes the token.
  //
  // A remembered token has its times and its key looked at again: the answer is the one that a full verification would give. Whether its session or key
  // has been revoked is not asked here.
  absl::StatusOr<VerifiedToken> Verify(const RawToken& token) const;

  // Forgets the remembered tokens of a session, or of a key, that has been revoked.
  void ForgetSession(std::string_view user, std::string_view session) const;
  void ForgetKey(std::string_view key_id) const;

 private:
  TokenVerifier(Options options, KeySource* keys, const Clock* clock);
  absl::StatusOr<VerifiedToken> VerifyAnew(const RawToken& token,
                                           std::shared_ptr<const crypto::VerifyingKey>& key) const;

  const Options options_;
  const JwsPolicy policy_;
  KeySource* const keys_;
  const Clock* const clock_;
  const std::unique_ptr<VerifiedTokenCache> cache_;  // Null when it remembers none.
  // That of the last token whose signature was right: the tokens of one key all have the same.
  mutable std::atomic<std::shared_ptr<const JwsHeader>> last_header_;
};

// Signs `claims` as a JWS in compact form with `typ` "at+jwt" (RFC 9068) and the given key id. Used by the auth service
// alone.
std::string SignToken(const TokenClaims& claims, std::string_view key_id, const crypto::SigningKey& key);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_TOKEN_VERIFIER_H_
