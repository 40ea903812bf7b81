// The commands about signing keys.
#ifndef SERVICES_BULKHEAD_CLI_KEYS_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_KEYS_COMMANDS_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

absl::Status ListKeys(const RemoteContext& context);
// `algorithm` is "EdDSA" or "ES256"; "" leaves it to the server.
absl::Status RotateKeys(const RemoteContext& context, const std::string& algorithm);
// At once, with all that the key signed.
absl::Status RevokeKey(const RemoteContext& context, const std::string& key);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_KEYS_COMMANDS_H_
