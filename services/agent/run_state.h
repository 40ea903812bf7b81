// The life of a run, in one place.
//
//   PENDING ──> RUNNING <──> AWAITING_APPROVAL
//      │           │ └──────────┐    │
//      │           │        CANCELLING
//      v           v             v
//   CANCELLED   SUCCEEDED     CANCELLED
//   TIMED_OUT   FAILED, TIMED_OUT
//   FAILED
#ifndef SERVICES_AGENT_RUN_STATE_H_
#define SERVICES_AGENT_RUN_STATE_H_

#include <array>
#include <string_view>

namespace bulkhead::agent {

// The numbers are those of bulkhead.agent.v1.RunState; they are stored.
enum class RunState {
  kPending = 1,
  kRunning = 2,
  kAwaitingApproval = 3,
  kCancelling = 4,
  kSucceeded = 5,
  kFailed = 6,
  kCancelled = 7,
  kTimedOut = 8,
};

inline constexpr std::array kAllRunStates = {RunState::kPending,    RunState::kRunning,   RunState::kAwaitingApproval,
                                             RunState::kCancelling, RunState::kSucceeded, RunState::kFailed,
                                             RunState::kCancelled,  RunState::kTimedOut};

// Whether a run may go from one state to another. Staying where it is is no transition.
bool IsAllowed(RunState from, RunState to);

// Whether a run ends with this state. Nothing follows it.
bool IsTerminal(RunState state);

std::string_view RunStateName(RunState state);  // "RUNNING"

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_STATE_H_
