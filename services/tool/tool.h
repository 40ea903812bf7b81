// How to write a tool: what an agent, or a person, can call by name.
//
//   std::unique_ptr<Tool> WordCount() {
//     return MakeTool({.name = "text.count",
//                      .description = "Counts the words of a text.",
//                      .input_schema = R"({"type": "object", "properties": {"text": {"type":
//                      "string"}}, "required": ["text"]})", .output_schema = R"({"type": "object",
//                      "properties": {"words": {"type": "integer"}}, "required": ["words"]})"},
//                     [](ToolCall& call) -> absl::StatusOr<nlohmann::json> {
//                       std::istringstream text(call.input().at("text").get<std::string>());
//                       return nlohmann::json{{"words",
//                       std::distance(std::istream_iterator<std::string>(text), {})}};
//                     });
//   }
//
// The platform checks permission, input, quota, output and size, keeps the time, and stores results
// for repeated calls; a tool does its work.
#ifndef SERVICES_TOOL_TOOL_H_
#define SERVICES_TOOL_TOOL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/user_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/tool/workspace.h"

namespace bulkhead::tool {

// How often a tool may run for one request.
enum class RepeatPolicy {
  kSafe,        // Reads only; may run any number of times.
  kIdempotent,  // Runs again under the same key have no further effect.
  kAtMostOnce,  // Never run again by the platform; after a crash a person decides.
};

// What a tool says about itself.
struct ToolSpec {
  std::string name;               // 3 to 64 of [a-z0-9._-], as "table.load".
  std::string version = "1.0.0";  // Semantic version.
  std::string description;        // What it does and when to use it, for agents and people.
  std::string input_schema;       // JSON Schema 2020-12, with "type": "object".
  std::string output_schema;      // The same.
  RepeatPolicy repeat_policy = RepeatPolicy::kSafe;
  absl::Duration timeout;         // The configured limit when zero.
  uint64_t max_output_bytes = 0;  // The configured limit when zero.
  std::string owner;              // The id of the user who alone sees it; "" for everyone.
  std::vector<std::string> tags;  // For search.
};

// One call, from the tool's side. Thread-safe; lives until Run has ended.
class ToolCall {
 public:
  struct Context {
    UserContext user;
    nlohmann::json input;
    std::string request_id;
    absl::Time deadline = absl::InfiniteFuture();
    std::stop_token stop;
    std::shared_ptr<Workspace> workspace;
    BlockingPool* blocking = nullptr;
    std::function<void(double fraction, std::string_view text)> on_progress;
  };

  explicit ToolCall(Context context)
      : context_(std::move(context)), blocking_(context_.blocking, context_.user.user()) {}

  // Who calls. user().run() is the run that it is for, "" outside of one.
  const UserContext& user() const { return context_.user; }
  // Valid against the input schema.
  const nlohmann::json& input() const { return context_.input; }
  // The idempotency key: the same in every repetition of this call. "" when the caller will not
  // repeat it.
  const std::string& request_id() const { return context_.request_id; }
  // On the clock of the service.
  absl::Time deadline() const { return context_.deadline; }
  // Requested when the result is no longer wanted: cancelled, or out of time. A tool that goes on
  // is cut off, and its result discarded.
  const std::stop_token& stop() const { return context_.stop; }
  // CANCELLED `TOOL_CANCELLED` once stop is requested: for loops to return.
  absl::Status CheckStopped() const;

  // `fraction` from 0 to 1; negative when unknown. Best effort: a fast reporter's are thinned out.
  void ReportProgress(double fraction, std::string_view text);

  // The files of the user.
  Workspace& workspace() { return *context_.workspace; }
  // Says that the call made this file of the workspace.
  void AddArtifact(std::string_view path);
  std::vector<std::string> artifacts() const;

  // For work that blocks, within a coroutine: co_await RunBlocking(call.blocking(), ...). Users share the threads.
  BlockingLane* blocking() { return &blocking_; }

 private:
  const Context context_;
  BlockingLane blocking_;
  mutable absl::Mutex mutex_;
  std::vector<std::string> artifacts_ ABSL_GUARDED_BY(mutex_);
};

// A tool. One object serves all calls, of all users, at once.
class Tool {
 public:
  virtual ~Tool() = default;
  virtual const ToolSpec& spec() const = 0;
  // Errors go to the caller as they are. An exception becomes INTERNAL `TOOL_THREW`.
  virtual Awaitable<absl::StatusOr<nlohmann::json>> Run(ToolCall& call) = 0;
};

// A tool of one function, which may block: it runs on the pool for that.
using ToolFunction = std::function<absl::StatusOr<nlohmann::json>(ToolCall&)>;
std::unique_ptr<Tool> MakeTool(ToolSpec spec, ToolFunction function);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TOOL_H_
