#include "testing/harness/test_tools.h"

#include <stop_token>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::testing {
namespace {

nlohmann::json Echo(const tool::ToolCall& call, int number) { return {{"echo", call.input()}, {"call", number}}; }

Awaitable<absl::Status> Visit(std::shared_ptr<Hold> hold) {
  co_return co_await AwaitCallback<absl::Status>([hold](absl::AnyInvocable<void(absl::Status)> done) {
    hold->Arrive([done = std::move(done)](absl::Status status) mutable { done(std::move(status)); });
  });
}

}  // namespace

CountingTool::CountingTool(std::string name, tool::RepeatPolicy repeat_policy)
    : spec_({.name = std::move(name),
             .description = "Counts its calls, for tests.",
             .input_schema = R"({"type": "object"})",
             .output_schema = R"({"type": "object", "required": ["echo", "call"]})",
             .repeat_policy = repeat_policy}) {}

Awaitable<absl::StatusOr<nlohmann::json>> CountingTool::Run(tool::ToolCall& call) { co_return Echo(call, Count(call)); }

int CountingTool::runs() const {
  absl::MutexLock lock(mutex_);
  return static_cast<int>(calls_.size());
}

std::vector<SeenCall> CountingTool::calls() const {
  absl::MutexLock lock(mutex_);
  return calls_;
}

int CountingTool::Count(const tool::ToolCall& call) {
  absl::MutexLock lock(mutex_);
  calls_.push_back({.user = call.user().user(),
                    .run = call.user().run(),
                    .request_id = call.request_id(),
                    .input = call.input(),
                    .deadline = call.deadline()});
  return static_cast<int>(calls_.size());
}

std::shared_ptr<Hold> HoldingTool::HoldCall(int nth) {
  auto hold = std::make_shared<Hold>();
  absl::MutexLock lock(holds_mutex_);
  holds_.emplace_back(runs() + nth, hold);
  return hold;
}

void HoldingTool::IgnoreStop() {
  absl::MutexLock lock(holds_mutex_);
  ignore_stop_ = true;
}

Awaitable<absl::StatusOr<nlohmann::json>> HoldingTool::Run(tool::ToolCall& call) {
  const int number = Count(call);
  std::shared_ptr<Hold> hold;
  bool ignore_stop = false;
  {
    absl::MutexLock lock(holds_mutex_);
    ignore_stop = ignore_stop_;
    for (const auto& [at, held] : holds_) {
      if (at == number) {
        hold = held;
      }
    }
  }
  if (hold != nullptr) {
    // A call that is cancelled lets itself go.
    const std::stop_callback cancelled(ignore_stop ? std::stop_token() : call.stop(), [hold] {
      hold->Fail(MakeError(absl::StatusCode::kCancelled, "cancelled while it was held",
                           {.domain = "bulkhead.testing", .reason = "HELD_CALL_CANCELLED"}));
    });
    CO_RETURN_IF_ERROR(co_await Visit(hold));
  }
  co_return Echo(call, number);
}

Awaitable<absl::StatusOr<nlohmann::json>> FailingTool::Run(tool::ToolCall& call) {
  const int number = Count(call);
  if (number <= times_) {
    co_return failure_;
  }
  co_return Echo(call, number);
}

}  // namespace bulkhead::testing
