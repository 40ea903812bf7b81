// What a run came to, told so that two runs can be compared whatever interrupted them.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_STORY_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_STORY_H_

#include <string>
#include <vector>

#include "testing/integration/agent_execution/crash_run.h"

namespace bulkhead::testing {

// Without what differs between any two runs: ids, times, chance, the numbers of steps that ran in parallel, and what the
// losers of a contest had begun.
struct CrashStory {
  std::vector<std::string> thoughts;  // Each run's in their order.
  std::vector<std::string> events;    // Of all runs, sorted: parallel branches have no order.
  std::vector<std::string> journal;   // Each command of all runs with its result, sorted.
  std::vector<std::string> effects;   // Each effect under its key, sorted.
};

// What a story leaves out.
struct CrashStoryOptions {
  bool without_pay = false;  // The call of effect.pay, which the user may have decided differently.
  bool without_end = false;  // The terminal event, where that decision decides how the run ends.
};
CrashStory TellStory(const CrashOutcome& outcome, CrashStoryOptions options);

// What must hold for each outcome by itself, checked as EXPECT does: numbered without a gap, nothing twice, each begun
// call completed, one result for each command (of a run that was cancelled: at most one), no effect twice, the log as the
// subscriber saw it, the audit log intact.
void ExpectWholeOutcome(const CrashOutcome& outcome);
// And what a run of the rich agent comes to, if it is not cancelled.
void ExpectRichEnd(const CrashOutcome& outcome);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_STORY_H_
