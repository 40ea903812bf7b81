// Requests of the chat completions protocol. https://platform.openai.com/docs/api-reference/chat/create
#ifndef SERVICES_AGENT_MODELS_CHAT_REQUEST_H_
#define SERVICES_AGENT_MODELS_CHAT_REQUEST_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/agent/models/model.h"

namespace bulkhead::agent {

// The body that asks for a streamed reply with its usage, but for `model`, which is the endpoint's business. INVALID_ARGUMENT `MODEL_REQUEST_INVALID`: no
// messages, a temperature or a number of tokens out of range, a tool without a good name, more than 8 MiB.
absl::StatusOr<nlohmann::json> ChatRequest(const ModelRequest& request);

// Tokens that a text of so many bytes comes to, roughly: for endpoints that don't count.
int64_t EstimateTokens(size_t bytes);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_CHAT_REQUEST_H_
