#include "services/common/rpc/revoked_tokens.h"

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"

namespace bulkhead::rpc {

void ForgetRevokedTokens(RevocationSet& revocations, std::shared_ptr<const TokenVerifier> verifier) {
  revocations.Subscribe([verifier = std::move(verifier)](const Revocation& revocation) {
    if (!revocation.key.empty()) {
      verifier->ForgetKey(revocation.key);
      return;
    }
    const std::vector<std::string_view> name = absl::StrSplit(revocation.session, '/');
    if (name.size() == 4) {  // users/{user}/sessions/{session}
      verifier->ForgetSession(name[1], name[3]);
    }
  });
}

}  // namespace bulkhead::rpc
