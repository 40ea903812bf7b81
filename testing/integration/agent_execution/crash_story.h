// What a run of the rich agent came to, told so that two runs can be compared whatever interrupted them.
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

// `without_pay` leaves out the call of effect.pay, which the user may have decided differently.
CrashStory TellStory(const CrashOutcome& outcome, bool without_pay);

// What must hold for each outcome by itself, checked as EXPECT does: numbered without a gap, nothing twice, each begun
// call completed, one result for each command, no effect twice, the log as the subscriber saw it.
void ExpectWholeOutcome(const CrashOutcome& outcome);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_STORY_H_
