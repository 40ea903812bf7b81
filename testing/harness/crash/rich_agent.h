// An agent that does everything that an agent can do, and tools that leave a trace of what they did: for tests that kill
// it anywhere.
#ifndef TESTING_HARNESS_CRASH_RICH_AGENT_H_
#define TESTING_HARNESS_CRASH_RICH_AGENT_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/agent/agent.h"
#include "services/common/time/clock.h"
#include "services/tool/tool.h"
#include "testing/harness/crash/crash_point.h"

namespace bulkhead::testing {

// A file of effects, one a line: "tool<TAB>idempotency key<TAB>input". It outlives its process. Thread-safe.
class EffectLog {
 public:
  // Passes "effect before" and "effect after" around each effect. `crash_point` outlives this.
  EffectLog(std::string path, CrashPoint* crash_point) : path_(std::move(path)), crash_point_(crash_point) {}

  void Append(const tool::ToolCall& call, std::string_view tool);
  // The same, unless this tool has done it under this key, in whatever process.
  void AppendOnce(const tool::ToolCall& call, std::string_view tool);
  // Whether the first effect of this tool was under the call's key.
  bool IsFirst(const tool::ToolCall& call, std::string_view tool);

 private:
  void Write(std::string_view line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  CrashPoint* const crash_point_;
  absl::Mutex mutex_;
};

// The tools: "effect.weigh" (SAFE), "effect.book" (IDEMPOTENT), "effect.pay" (AT_MOST_ONCE), "effect.knock" (IDEMPOTENT; UNAVAILABLE
// the first time, and as often as it is called under that key), "effect.closed" (always fails), "effect.endless" (ends
// when it is stopped). Pointers outlive them.
std::vector<std::shared_ptr<tool::Tool>> EffectTools(EffectLog* log, Clock* clock);

// "rich" and its child "errand". "rich" asks whether to pay, and answers {"paid": whether effect.pay succeeded}; when it
// must not be called again, that is no error.
std::vector<agent::AgentFactory> RichAgents();

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_CRASH_RICH_AGENT_H_
