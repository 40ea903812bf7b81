// Definitions of agents in files, as people write them.
#ifndef SERVICES_BULKHEAD_CLI_DEFINITION_FILE_H_
#define SERVICES_BULKHEAD_CLI_DEFINITION_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace bulkhead::cli {

// The JSON of a bulkhead.agent.v1.Agent out of a file, or of standard input for "-": JSON when it begins with '{', else textproto.
// INVALID_ARGUMENT `INPUT_INVALID` with the line, also for a file that cannot be read or has more than 1 MiB.
absl::StatusOr<nlohmann::json> ReadDefinition(const std::string& file);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_DEFINITION_FILE_H_
