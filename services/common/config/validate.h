// What no single field can tell: how values fit each other, and what production refuses.
#ifndef SERVICES_COMMON_CONFIG_VALIDATE_H_
#define SERVICES_COMMON_CONFIG_VALIDATE_H_

#include "services/common/config/verdict.h"

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead::config {

Verdict Validate(const common::v1::PlatformConfig& config);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_VALIDATE_H_
