#include "services/common/rpc/token_check.h"

#include <optional>
#include <string>

#include "absl/log/absl_log.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::rpc {

Awaitable<absl::StatusOr<VerifiedToken>> TokenCheck::Verify(const RawToken& token) const {
  const TokenCheck self = *this;  // What this is part of may be gone when keys have come.
  absl::StatusOr<VerifiedToken> verified = self.verifier->Verify(token);
  if (ReasonOf(verified.status()) == "TOKEN_KEY_UNKNOWN") {
    const std::optional<ErrorInfo> info = ErrorInfoOf(verified.status());
    const auto kid = info->metadata.find("kid");
    const std::string key_id = kid == info->metadata.end() ? "" : kid->second;
    if (self.revocations != nullptr) {
      // It was withdrawn, and is no longer among the keys for that.
      CO_RETURN_IF_ERROR(self.revocations->CheckKey(key_id));
    }
    if (self.key_refresher != nullptr) {
      // Whether that worked or not, the verifier tells what the token is worth now.
      const absl::Status refreshed = co_await self.key_refresher->RefreshForUnknownKey(key_id);
      ABSL_VLOG(1) << "Asked for keys because of an unknown one: " << refreshed;
      verified = self.verifier->Verify(token);
    }
  }
  CO_RETURN_IF_ERROR(verified.status());
  if (self.revocations != nullptr) {
    CO_RETURN_IF_ERROR(self.revocations->Check(verified->claims()));
  }
  co_return verified;
}

}  // namespace bulkhead::rpc
