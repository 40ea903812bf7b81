#include "services/agent/time_ledger.h"

namespace bulkhead::agent {

TimeLedger::TimeLedger(const Clock* clock, RunTiming before) : clock_(clock), timing_(before), since_(clock->Now()) {}

void TimeLedger::Enter(Part part) {
  Settle();
  ++under_way_[part];
}

void TimeLedger::Leave(Part part) {
  Settle();
  --under_way_[part];
}

RunTiming TimeLedger::Timing() {
  Settle();
  return timing_;
}

void TimeLedger::Settle() {
  const absl::Time now = clock_->Now();
  const absl::Duration passed = now - since_;
  since_ = now;
  if (under_way_[kTools] > 0) {
    timing_.tools += passed;
  } else if (under_way_[kModel] > 0) {
    timing_.model += passed;
  } else if (under_way_[kChildren] > 0) {
    timing_.children += passed;
  } else if (under_way_[kApproval] > 0) {
    timing_.approval += passed;
  } else if (under_way_[kSleep] > 0) {
    timing_.sleep += passed;
  } else if (under_way_[kInterrupted] > 0) {
    timing_.interrupted += passed;
  } else if (under_way_[kJournal] > 0) {
    timing_.journal += passed;
  } else {
    timing_.agent += passed;
  }
}

}  // namespace bulkhead::agent
