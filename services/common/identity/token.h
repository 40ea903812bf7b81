// A token before and after its verification: two types, so that no claim can be read too early.
#ifndef SERVICES_COMMON_IDENTITY_TOKEN_H_
#define SERVICES_COMMON_IDENTITY_TOKEN_H_

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/common/crypto/secret.h"

namespace bulkhead {

// A bearer token as it arrived, or as it will be sent. Believed by nobody.
class RawToken {
 public:
  RawToken() = default;
  explicit RawToken(std::string compact) : compact_(std::move(compact)) {}
  explicit RawToken(Secret compact) : compact_(std::move(compact)) {}
  std::string_view Reveal() const { return compact_.Reveal(); }
  RawToken Copy() const { return RawToken(compact_.Copy()); }
  bool empty() const { return compact_.empty(); }

  friend std::ostream& operator<<(std::ostream& out, const RawToken& token) { return out << token.compact_; }

 private:
  Secret compact_;
};

// The claims of Bulkhead's tokens (RFC 7519; `act` RFC 8693 section 4.1).
struct TokenClaims {
  std::string issuer;                    // iss
  std::string audience;                  // aud
  std::string subject;                   // sub: the user's id; "service-<name>" for services of the platform.
  std::string session;                   // sid; empty in service tokens.
  std::string run;                       // run; only in run tokens.
  std::string actor;                     // act.sub: who acts for the subject, as "service-agent".
  std::string token_id;                  // jti
  std::vector<std::string> roles;        // roles
  std::vector<std::string> permissions;  // perms: permission patterns.
  absl::Time issued_at;                  // iat
  absl::Time not_before;                 // nbf
  absl::Time expires_at;                 // exp
  std::string key_id;                    // The header's kid: no claim, but what the token stands on as well.
};

// Proof that TokenVerifier accepted a token: only it makes one. Immutable, cheap to copy.
class VerifiedToken {
 public:
  const TokenClaims& claims() const { return state_->claims; }
  // The claims, for those that keep them.
  std::shared_ptr<const TokenClaims> shared_claims() const { return {state_, &state_->claims}; }
  // The id of the key that signed it: what a revoked key is found by.
  const std::string& key_id() const { return state_->claims.key_id; }

 private:
  friend class TokenVerifier;
  struct State {
    TokenClaims claims;
  };
  explicit VerifiedToken(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_TOKEN_H_
