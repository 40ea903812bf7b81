// Of resource names (AIP-122), as a caller of the HTTP API needs them.
#ifndef TESTING_BASE_RESOURCE_NAME_H_
#define TESTING_BASE_RESOURCE_NAME_H_

#include <string>
#include <string_view>

namespace bulkhead::testing {

// The last segment: "r" of "users/u/runs/r".
inline std::string IdOf(std::string_view name) { return std::string(name.substr(name.rfind('/') + 1)); }

}  // namespace bulkhead::testing

#endif  // TESTING_BASE_RESOURCE_NAME_H_
