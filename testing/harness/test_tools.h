// Tools for tests: real ones, that count, wait and fail when they are told to.
#ifndef TESTING_HARNESS_TEST_TOOLS_H_
#define TESTING_HARNESS_TEST_TOOLS_H_

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "nlohmann/json.hpp"
#include "services/common/runtime/awaitable.h"
#include "services/tool/tool.h"
#include "testing/faults/hold.h"

namespace bulkhead::testing {

// What a tool was called with.
struct SeenCall {
  std::string user;  // The id.
  std::string run;   // The id, or "".
  std::string request_id;
  nlohmann::json input;
  absl::Time deadline;
};

// Takes any object and answers {"echo": <the input>, "call": <1, 2, 3...>}. Thread-safe, as the others are.
class CountingTool : public tool::Tool {
 public:
  explicit CountingTool(std::string name, tool::RepeatPolicy repeat_policy = tool::RepeatPolicy::kSafe);
  // For other schemas, time-outs and limits.
  explicit CountingTool(tool::ToolSpec spec) : spec_(std::move(spec)) {}

  const tool::ToolSpec& spec() const override { return spec_; }
  Awaitable<absl::StatusOr<nlohmann::json>> Run(tool::ToolCall& call) override;

  // How often it has begun to run.
  int runs() const;
  std::vector<SeenCall> calls() const;

 protected:
  // Notes the call and returns its number.
  int Count(const tool::ToolCall& call);

 private:
  const tool::ToolSpec spec_;
  mutable absl::Mutex mutex_;
  std::vector<SeenCall> calls_ ABSL_GUARDED_BY(mutex_);
};

// Stops inside a call until the test lets it go on.
class HoldingTool : public CountingTool {
 public:
  using CountingTool::CountingTool;

  // For the nth call from now on; others pass. The call ends as CANCELLED when it is cancelled while held, unless
  // IgnoreStop.
  std::shared_ptr<Hold> HoldCall(int nth = 1);
  // It becomes a tool that does not care that nobody wants its result.
  void IgnoreStop();

  Awaitable<absl::StatusOr<nlohmann::json>> Run(tool::ToolCall& call) override;

 private:
  mutable absl::Mutex holds_mutex_;
  std::vector<std::pair<int, std::shared_ptr<Hold>>> holds_ ABSL_GUARDED_BY(holds_mutex_);  // By the call's number.
  bool ignore_stop_ ABSL_GUARDED_BY(holds_mutex_) = false;
};

// Fails its first `times` calls with `failure`, and succeeds afterwards.
class FailingTool : public CountingTool {
 public:
  FailingTool(std::string name, absl::Status failure, int times = std::numeric_limits<int>::max())
      : CountingTool(std::move(name)), failure_(std::move(failure)), times_(times) {}

  Awaitable<absl::StatusOr<nlohmann::json>> Run(tool::ToolCall& call) override;

 private:
  const absl::Status failure_;
  const int times_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_TEST_TOOLS_H_
