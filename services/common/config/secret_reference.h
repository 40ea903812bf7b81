// Secrets in the configuration are references: where the secret is, never the secret.
#ifndef SERVICES_COMMON_CONFIG_SECRET_REFERENCE_H_
#define SERVICES_COMMON_CONFIG_SECRET_REFERENCE_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/config/environment.h"
#include "services/common/crypto/secret.h"

namespace bulkhead::config {

// OK for `file:PATH` and `env:NAME`. INVALID_ARGUMENT `SECRET_REFERENCE_INVALID`; what was given is not quoted, since
// it may be a secret by mistake.
absl::Status CheckSecretReference(std::string_view reference);

// What the reference leads to, without white space around it. NOT_FOUND `SECRET_NOT_FOUND` names the reference.
absl::StatusOr<Secret> ResolveSecret(std::string_view reference, const Environment& environment);

// The same for 32 bytes in base64. INVALID_ARGUMENT `SEALING_KEY_INVALID`.
absl::StatusOr<Secret> ResolveSealingKey(std::string_view reference, const Environment& environment);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_SECRET_REFERENCE_H_
