#include "services/agent/run_state.h"

#include <algorithm>
#include <utility>

namespace bulkhead::agent {
namespace {

constexpr std::pair<RunState, RunState> kTransitions[] = {
    {RunState::kPending, RunState::kRunning},              // Its turn has come.
    {RunState::kPending, RunState::kFailed},               // It cannot start: its agent is gone.
    {RunState::kPending, RunState::kCancelled},            // Nothing executes yet, so nothing needs to end.
    {RunState::kPending, RunState::kTimedOut},             // Its time was over before its turn came.
    {RunState::kRunning, RunState::kAwaitingApproval},     // Asks a person.
    {RunState::kRunning, RunState::kCancelling},           // Asked to stop.
    {RunState::kRunning, RunState::kSucceeded},            // The agent answered.
    {RunState::kRunning, RunState::kFailed},               // The agent failed.
    {RunState::kRunning, RunState::kTimedOut},             // Its time is over.
    {RunState::kAwaitingApproval, RunState::kRunning},     // Decided, or expired.
    {RunState::kAwaitingApproval, RunState::kCancelling},  // Asked to stop.
    {RunState::kAwaitingApproval, RunState::kFailed},      // A parallel branch failed the run.
    {RunState::kAwaitingApproval, RunState::kTimedOut},    // Its time is over.
    {RunState::kCancelling, RunState::kCancelled},         // The agent has ended, or was cut off.
};

}  // namespace

bool IsAllowed(RunState from, RunState to) {
  return std::ranges::find(kTransitions, std::pair(from, to)) != std::end(kTransitions);
}

bool IsTerminal(RunState state) {
  switch (state) {
    case RunState::kPending:
    case RunState::kRunning:
    case RunState::kAwaitingApproval:
    case RunState::kCancelling:
      return false;
    case RunState::kSucceeded:
    case RunState::kFailed:
    case RunState::kCancelled:
    case RunState::kTimedOut:
      return true;
  }
  return false;
}

std::string_view RunStateName(RunState state) {
  switch (state) {
    case RunState::kPending:
      return "PENDING";
    case RunState::kRunning:
      return "RUNNING";
    case RunState::kAwaitingApproval:
      return "AWAITING_APPROVAL";
    case RunState::kCancelling:
      return "CANCELLING";
    case RunState::kSucceeded:
      return "SUCCEEDED";
    case RunState::kFailed:
      return "FAILED";
    case RunState::kCancelled:
      return "CANCELLED";
    case RunState::kTimedOut:
      return "TIMED_OUT";
  }
  return "UNKNOWN";
}

}  // namespace bulkhead::agent
