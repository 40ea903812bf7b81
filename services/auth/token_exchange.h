// Tokens that are not sessions of people: for runs and for services; and what a token is worth now.
#ifndef SERVICES_AUTH_TOKEN_EXCHANGE_H_
#define SERVICES_AUTH_TOKEN_EXCHANGE_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/audit_log.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_issuer.h"
#include "services/common/crypto/secret.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// A service of the platform: how it proves itself, and what it may do as itself.
struct ServiceAccount {
  Secret secret;
  std::vector<std::string> permissions;
};

// Thread-safe.
class TokenExchange {
 public:
  struct Options {
    absl::Duration service_token_lifetime = absl::Hours(1);
    std::map<std::string, ServiceAccount> service_accounts;
  };
  struct Dependencies {  // All outlive it.
    const Clock* clock = nullptr;
    const TokenVerifier* verifier = nullptr;
    const TokenIssuer* issuer = nullptr;
    SignIns* sign_ins = nullptr;
    AuditLog* audit = nullptr;
  };

  TokenExchange(Options options, Dependencies dependencies)
      : options_(std::move(options)), dependencies_(dependencies) {}

  struct Request {
    RawToken subject;
    std::string run_user;  // Of the run's name.
    std::string run;
    absl::Duration lifetime;
    std::vector<std::string> permissions;  // All that are possible when empty.
  };
  // UNAUTHENTICATED with a `TOKEN_...` reason or `SESSION_REVOKED`; PERMISSION_DENIED
  // `SERVICE_ONLY`; NOT_FOUND `RESOURCE_NOT_FOUND` for a run that is not the subject's;
  // INVALID_ARGUMENT `LIFETIME_INVALID`, `PERMISSION_MALFORMED`, `PERMISSIONS_TOO_MANY`.
  Awaitable<absl::StatusOr<IssuedToken>> Exchange(const rpc::CallContext& call, const Request& request);

  // UNAUTHENTICATED `SERVICE_CREDENTIALS_INVALID`, after the same work for an unknown service.
  Awaitable<absl::StatusOr<IssuedToken>> IssueForService(const rpc::CallContext& call, std::string_view service,
                                                         const Secret& secret);

  // What a token is worth now.
  struct Introspection {
    TokenClaims claims;  // Of a refresh token: subject, session and end.
    bool refresh = false;
  };
  // Of an access or a refresh token, which is not used up; nullopt when it is not good. An error only when that cannot
  // be told.
  absl::StatusOr<std::optional<Introspection>> Introspect(const RawToken& token);

  // Ends the session of an access or refresh token. OK, and nothing, for what is no valid token (RFC 7009 section 2.2).
  // INVALID_ARGUMENT `TOKEN_NOT_REVOCABLE` for the token of a run or a service.
  Awaitable<absl::Status> Revoke(const rpc::CallContext& call, const RawToken& token);

 private:
  absl::StatusOr<IssuedToken> TryExchange(const rpc::CallContext& call, const Request& request, AuditEntry& entry);
  absl::StatusOr<std::optional<Introspection>> IntrospectRefreshToken(const RawToken& token);

  const Options options_;
  const Dependencies dependencies_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_TOKEN_EXCHANGE_H_
