// What an agent asks a model, and what it answers, as plain data.
#ifndef SERVICES_AGENT_MODELS_MODEL_H_
#define SERVICES_AGENT_MODELS_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace bulkhead::agent {

// A model's wish to call a function. `arguments` is what it wrote: JSON text if all is well, but a model may write anything.
struct ModelToolCall {
  std::string id;  // The answer refers to it.
  std::string name;
  std::string arguments;
};

// One line of the conversation.
struct ModelMessage {
  enum class Role { kSystem, kUser, kAssistant, kTool };
  Role role = Role::kUser;
  std::string text;
  std::vector<ModelToolCall> tool_calls = {};  // Of the assistant.
  std::string tool_call_id = {};               // Of a tool: which call this answers.
};

// A function that the model may ask for.
struct ModelTool {
  std::string name;  // 1 to 64 of [A-Za-z0-9_-]
  std::string description;
  nlohmann::json parameters = nlohmann::json::object();  // JSON Schema of the arguments.
};

struct ModelRequest {
  std::string model;  // Its id in the configuration.
  std::vector<ModelMessage> messages;
  std::vector<ModelTool> tools = {};
  int64_t max_tokens = 0;                  // Of the answer; 0 leaves it to the endpoint.
  std::optional<double> temperature = {};  // 0 to 2; left to the endpoint when absent.
};

// Tokens, as the endpoint counted; estimated from the bytes when it did not say.
struct ModelUsage {
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;

  int64_t total() const { return input_tokens + output_tokens; }
};

struct ModelReply {
  std::string text;
  std::vector<ModelToolCall> tool_calls;
  std::string finish_reason;  // "stop", "tool_calls", "length" (cut off at max_tokens), or the endpoint's own.
  ModelUsage usage;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_MODEL_H_
