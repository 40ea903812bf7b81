// What the lists of the auth service must keep: OpenID providers and OAuth clients.
#ifndef SERVICES_COMMON_CONFIG_VALIDATE_AUTH_H_
#define SERVICES_COMMON_CONFIG_VALIDATE_AUTH_H_

#include "services/common/config/verdict.h"

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead::config {

void CheckProviders(const common::v1::PlatformConfig& config, VerdictBuilder& verdict);
void CheckClients(const common::v1::PlatformConfig& config, VerdictBuilder& verdict);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_VALIDATE_AUTH_H_
