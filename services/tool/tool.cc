#include "services/tool/tool.h"

#include <exception>
#include <optional>
#include <utility>

#include "services/common/status/error.h"

namespace bulkhead::tool {
namespace {

class FunctionTool : public Tool {
 public:
  FunctionTool(ToolSpec spec, ToolFunction function) : spec_(std::move(spec)), function_(std::move(function)) {}

  const ToolSpec& spec() const override { return spec_; }

  Awaitable<absl::StatusOr<nlohmann::json>> Run(ToolCall& call) override {
    // An exception may not leave a thread of the pool: it is carried over.
    std::exception_ptr thrown;
    absl::StatusOr<nlohmann::json> result =
        co_await RunBlocking(call.blocking(), [this, &call, &thrown]() -> absl::StatusOr<nlohmann::json> {
          try {
            return function_(call);
          } catch (...) {
            thrown = std::current_exception();
            return absl::UnknownError("thrown");
          }
        });
    if (thrown != nullptr) {
      std::rethrow_exception(thrown);
    }
    co_return result;
  }

 private:
  const ToolSpec spec_;
  const ToolFunction function_;
};

}  // namespace

absl::Status ToolCall::CheckStopped() const {
  if (!context_.stop.stop_requested()) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kCancelled, "the call was cancelled",
                   {.domain = "bulkhead.tool", .reason = "TOOL_CANCELLED"});
}

void ToolCall::ReportProgress(double fraction, std::string_view text) {
  if (context_.on_progress) {
    context_.on_progress(fraction, text);
  }
}

void ToolCall::AddArtifact(std::string_view path) {
  absl::MutexLock lock(mutex_);
  artifacts_.emplace_back(path);
}

std::vector<std::string> ToolCall::artifacts() const {
  absl::MutexLock lock(mutex_);
  return artifacts_;
}

std::unique_ptr<Tool> MakeTool(ToolSpec spec, ToolFunction function) {
  return std::make_unique<FunctionTool>(std::move(spec), std::move(function));
}

}  // namespace bulkhead::tool
