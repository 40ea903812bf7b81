// Whether a token is good now: for every edge that takes tokens.
#ifndef SERVICES_COMMON_RPC_TOKEN_CHECK_H_
#define SERVICES_COMMON_RPC_TOKEN_CHECK_H_

#include "absl/status/statusor.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/rpc/remote_key_source.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::rpc {

// All pointers outlive it. Cheap to copy; thread-safe.
struct TokenCheck {
  const TokenVerifier* verifier = nullptr;
  RemoteKeySource* key_refresher =
      nullptr;                           // Asked when a token names a key that the verifier does not know; may be null.
  RevocationSet* revocations = nullptr;  // Null where nothing can be revoked.

  // UNAUTHENTICATED: those of TokenVerifier, `SESSION_REVOKED`, `TOKEN_KEY_REVOKED`. `token` lives until it has ended.
  Awaitable<absl::StatusOr<VerifiedToken>> Verify(const RawToken& token) const;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_TOKEN_CHECK_H_
