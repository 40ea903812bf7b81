#include "services/agent/models/chat_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/agent/models/model_errors.h"

namespace bulkhead::agent {
namespace {

constexpr size_t kMaxRequestBytes = 8 << 20;
constexpr int64_t kMaxTokens = 1'000'000'000;
constexpr size_t kBytesPerToken = 4;

std::string_view RoleName(ModelMessage::Role role) {
  switch (role) {
    case ModelMessage::Role::kSystem:
      return "system";
    case ModelMessage::Role::kUser:
      return "user";
    case ModelMessage::Role::kAssistant:
      return "assistant";
    case ModelMessage::Role::kTool:
      return "tool";
  }
  return "user";
}

bool IsFunctionName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
}

nlohmann::json MessageJson(const ModelMessage& message) {
  nlohmann::json json = {{"role", RoleName(message.role)}, {"content", message.text}};
  if (!message.tool_calls.empty()) {
    nlohmann::json& calls = json["tool_calls"] = nlohmann::json::array();
    for (const ModelToolCall& call : message.tool_calls) {
      calls.push_back(
          {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
  }
  if (message.role == ModelMessage::Role::kTool) {
    json["tool_call_id"] = message.tool_call_id;
  }
  return json;
}

}  // namespace

absl::StatusOr<nlohmann::json> ChatRequest(const ModelRequest& request) {
  if (request.messages.empty()) {
    return ModelRequestInvalid(request.model, "has no messages");
  }
  if (request.temperature.has_value() && !(*request.temperature >= 0 && *request.temperature <= 2)) {
    return ModelRequestInvalid(request.model, "has a temperature that is not 0 to 2");
  }
  if (request.max_tokens < 0 || request.max_tokens > kMaxTokens) {
    return ModelRequestInvalid(request.model, absl::StrCat("has a max_tokens that is not 0 to ", kMaxTokens));
  }
  nlohmann::json body = {{"stream", true}, {"stream_options", {{"include_usage", true}}}};
  nlohmann::json& messages = body["messages"] = nlohmann::json::array();
  for (const ModelMessage& message : request.messages) {
    messages.push_back(MessageJson(message));
  }
  if (!request.tools.empty()) {
    nlohmann::json& tools = body["tools"] = nlohmann::json::array();
    for (const ModelTool& tool : request.tools) {
      if (!IsFunctionName(tool.name)) {
        return ModelRequestInvalid(request.model,
                                   absl::StrCat("has a tool '", tool.name, "' that is not 1 to 64 of [A-Za-z0-9_-]"));
      }
      tools.push_back(
          {{"type", "function"},
           {"function", {{"name", tool.name}, {"description", tool.description}, {"parameters", tool.parameters}}}});
    }
  }
  if (request.max_tokens > 0) {
    body["max_tokens"] = request.max_tokens;
  }
  if (request.temperature.has_value()) {
    body["temperature"] = *request.temperature;
  }
  if (body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).size() > kMaxRequestBytes) {
    return ModelRequestInvalid(request.model, absl::StrCat("has more than ", kMaxRequestBytes, " bytes"));
  }
  return body;
}

int64_t EstimateTokens(size_t bytes) { return static_cast<int64_t>((bytes + kBytesPerToken - 1) / kBytesPerToken); }

}  // namespace bulkhead::agent
