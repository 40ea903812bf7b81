// Deletes runs that ended long ago.
#ifndef SERVICES_AGENT_RUN_RETENTION_H_
#define SERVICES_AGENT_RUN_RETENTION_H_

#include <memory>

#include "absl/time/time.h"
#include "services/agent/run_store.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// Looks every tenth of the retention, at least once an hour. Thread-safe.
class RunRetention {
 public:
  // Keeps everything when `retention` is zero. All pointers outlive it.
  RunRetention(absl::Duration retention, Clock* clock, Executor* executor, const RunStore* store);
  // Waits for a deletion that is under way.
  ~RunRetention();

  void Start();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_RETENTION_H_
