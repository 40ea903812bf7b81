// Request ids of the service's methods that make or decide something.
#ifndef SERVICES_AGENT_REQUEST_ID_H_
#define SERVICES_AGENT_REQUEST_ID_H_

#include <string_view>

#include "absl/status/status.h"

namespace bulkhead::agent {

// INVALID_ARGUMENT `REQUEST_ID_INVALID` for more than 128 bytes. "" is none.
absl::Status CheckRequestId(std::string_view id);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_REQUEST_ID_H_
