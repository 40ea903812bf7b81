// The weakest layer.
#ifndef SERVICES_COMMON_CONFIG_DEFAULTS_H_
#define SERVICES_COMMON_CONFIG_DEFAULTS_H_

#include <string_view>

namespace bulkhead::config {

// The values that hold when nobody says otherwise, as a configuration file would state them: one person's machine.
extern const std::string_view kBuiltInDefaults;

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_DEFAULTS_H_
