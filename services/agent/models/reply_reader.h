// Replies of the chat completions protocol, put together from their chunks.
// https://platform.openai.com/docs/api-reference/chat-streaming
#ifndef SERVICES_AGENT_MODELS_REPLY_READER_H_
#define SERVICES_AGENT_MODELS_REPLY_READER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/agent/models/model.h"

namespace bulkhead::agent {

// Strict: what is not as the protocol has it is an error, and so is a reply without an end. Not thread-safe.
class ReplyReader {
 public:
  explicit ReplyReader(std::string model) : model_(std::move(model)) {}

  // The data of one event. `on_text` gets the next piece of the text, if there is one. ABORTED `MODEL_REPLY_INVALID`; or what an error that the endpoint sends
  // in place of a chunk means: `MODEL_RATE_LIMITED`, `MODEL_REFUSED`, `MODEL_UNREACHABLE`.
  absl::Status Add(std::string_view data, absl::FunctionRef<void(std::string_view)> on_text);

  // The whole reply, after the last event. ABORTED `MODEL_REPLY_INVALID`, UNAVAILABLE `MODEL_UNREACHABLE` when it broke off, FAILED_PRECONDITION `MODEL_REFUSED`
  // when a filter of the endpoint cut it.
  absl::StatusOr<ModelReply> Finish() &&;

  // What the endpoint has counted so far, if it has.
  const std::optional<ModelUsage>& usage() const { return usage_; }
  // Of text and arguments until now.
  size_t bytes() const { return bytes_; }

 private:
  absl::Status AddChoice(const nlohmann::json& choice, absl::FunctionRef<void(std::string_view)> on_text);
  absl::Status AddToolCall(const nlohmann::json& call);
  absl::Status SetUsage(const nlohmann::json& usage);
  absl::Status Invalid(std::string_view problem) const;
  absl::Status Grow(size_t bytes);

  const std::string model_;
  ModelReply reply_;
  std::optional<ModelUsage> usage_;
  size_t bytes_ = 0;
  bool done_ = false;
};

// What an error of the endpoint means: its body is {"error": {"message", ...}}. `key` occurs in no message.
absl::Status EndpointError(std::string_view model, int http_status, const nlohmann::json& body, std::string_view key);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_REPLY_READER_H_
