// The way to the models, as a plain interface.
#ifndef SERVICES_AGENT_MODELS_MODEL_CLIENT_H_
#define SERVICES_AGENT_MODELS_MODEL_CLIENT_H_

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/agent/models/model.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::agent {

struct ModelCall {
  std::string user;  // Whose call it is: users who wait for one endpoint take turns.
  ModelRequest request;
  std::stop_token stop;
  absl::Duration timeout;  // Not longer than this, however long the endpoint's own time limit is.
  // The next piece of the reply's text. Called on any thread, never twice at once, and not after the call has returned.
  std::function<void(std::string_view text)> on_text;
};

struct ModelOutcome {
  absl::StatusOr<ModelReply> reply;
  ModelUsage usage;  // Also of a call that failed on its way.
};

// Thread-safe.
class ModelClient {
 public:
  virtual ~ModelClient() = default;

  // NOT_FOUND `MODEL_UNKNOWN` unless the configuration has it.
  virtual absl::Status Check(std::string_view model) const = 0;

  // One attempt. Errors as model_errors.h has them; CANCELLED `HTTP_CANCELLED` when `stop` was requested.
  virtual Awaitable<ModelOutcome> Call(ModelCall call) = 0;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_MODEL_CLIENT_H_
