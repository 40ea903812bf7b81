// What no single field can tell: how values fit each other, and what production refuses.
#ifndef SERVICES_COMMON_CONFIG_VALIDATE_H_
#define SERVICES_COMMON_CONFIG_VALIDATE_H_

#include <string>
#include <vector>

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead::config {

struct Violation {
  std::string path;
  std::string problem;  // "must be ...". Quotes no secret.
};

struct Verdict {
  std::vector<Violation> violations;
  // What production would refuse, in staging.
  std::vector<Violation> warnings;
};

Verdict Validate(const common::v1::PlatformConfig& config);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_VALIDATE_H_
