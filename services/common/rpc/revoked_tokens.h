// What is revoked, and the memory of a verifier.
#ifndef SERVICES_COMMON_RPC_REVOKED_TOKENS_H_
#define SERVICES_COMMON_RPC_REVOKED_TOKENS_H_

#include <memory>

#include "services/common/identity/token_verifier.h"
#include "services/common/rpc/revocation_set.h"

namespace bulkhead::rpc {

// From now on `verifier` forgets the tokens that a revocation ends as soon as `revocations` has it: they are refused by the set in any case, and
// need no room. The verifier lives as long as the set.
void ForgetRevokedTokens(RevocationSet& revocations, std::shared_ptr<const TokenVerifier> verifier);

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_REVOKED_TOKENS_H_
