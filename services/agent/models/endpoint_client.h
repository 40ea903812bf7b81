// Models behind OpenAI-compatible endpoints, over HTTP.
#ifndef SERVICES_AGENT_MODELS_ENDPOINT_CLIENT_H_
#define SERVICES_AGENT_MODELS_ENDPOINT_CLIENT_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/models/model_client.h"
#include "services/agent/models/model_endpoint.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// INVALID_ARGUMENT `MODEL_ENDPOINT_INVALID`: an id that is repeated or none, an address that is none, or http to another machine without leave; and
// `CA_FILE_INVALID`. `clock` outlives the client.
absl::StatusOr<std::unique_ptr<ModelClient>> CreateEndpointClient(std::vector<ModelEndpoint> endpoints, Clock* clock);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_ENDPOINT_CLIENT_H_
