// Where the time of a run goes.
#ifndef SERVICES_AGENT_TIME_LEDGER_H_
#define SERVICES_AGENT_TIME_LEDGER_H_

#include "absl/time/time.h"
#include "services/agent/run_record.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// Splits a run's time into parts that don't overlap: while anything of a higher part is under way,
// the time is that one's. Not thread-safe.
class TimeLedger {
 public:
  // Highest first.
  enum Part { kTools, kModel, kChildren, kApproval, kSleep, kInterrupted, kJournal, kPartCount };

  TimeLedger(const Clock* clock, RunTiming before);
  void Enter(Part part);
  void Leave(Part part);
  // Up to now.
  RunTiming Timing();

 private:
  void Settle();

  const Clock* clock_;
  RunTiming timing_;
  absl::Time since_;
  int under_way_[kPartCount] = {};
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_TIME_LEDGER_H_
