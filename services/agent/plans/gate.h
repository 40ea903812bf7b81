// Where branches of one run wait for another branch.
#ifndef SERVICES_AGENT_PLANS_GATE_H_
#define SERVICES_AGENT_PLANS_GATE_H_

#include <memory>
#include <stop_token>
#include <vector>

#include "services/common/runtime/awaitable.h"

namespace bulkhead::agent {

// Opens once. Wait and Open are called on the run's strand; a stop may be requested on any thread.
//
// Nothing of it is journalled: a branch that waits here begins its next command when the other has ended, and that is so in a replay too.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Until it is open, or `stop` is requested.
  Awaitable<void> Wait(std::stop_token stop);
  // Idempotent.
  void Open();

 private:
  class Waiter;
  bool open_ = false;
  std::vector<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_GATE_H_
