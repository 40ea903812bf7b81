// Permissions as patterns: `<resource>:<which>:<verb>`, as in `tool:table.load:invoke`, `run:own:read`,
// `event:*:publish`.
#ifndef SERVICES_COMMON_IDENTITY_PERMISSION_H_
#define SERVICES_COMMON_IDENTITY_PERMISSION_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace bulkhead {

// OK when `pattern` has three parts, each `*` or 1 to 64 of [a-z0-9._-]. Else INVALID_ARGUMENT `PERMISSION_MALFORMED`.
absl::Status ValidatePermissionPattern(std::string_view pattern);

// True when one of `granted` covers `wanted`: part by part equal, or `*` on the granted side. `*` matches one part.
// Deny by default.
bool IsGranted(const std::vector<std::string>& granted, std::string_view wanted);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_PERMISSION_H_
