// The way of events out of the agent service: from the outbox, in order, in batches, to the notifier.
#ifndef SERVICES_AGENT_OUTBOX_RELAY_H_
#define SERVICES_AGENT_OUTBOX_RELAY_H_

#include <memory>

#include "absl/status/status.h"
#include "services/agent/peers.h"
#include "services/agent/run_store.h"
#include "services/common/pipeline/pipeline.h"
#include "services/common/pipeline/stores.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// At least once: what has arrived leaves the outbox after it has arrived, and the notifier knows repetitions. Thread-safe.
class OutboxRelay {
 public:
  // All outlive the relay.
  struct Dependencies {
    Executor* executor = nullptr;
    Clock* clock = nullptr;
    const RunStore* store = nullptr;
    EventPublisher* publisher = nullptr;
  };
  explicit OutboxRelay(Dependencies dependencies);

  absl::Status Start() { return pipeline_->Start(); }
  // Events have been added.
  void Wake() { pipeline_->Wake(); }
  // Sends what is read and ends; the rest stays in the outbox.
  Awaitable<void> Stop() { return pipeline_->Stop(); }

 private:
  const std::unique_ptr<pipeline::CheckpointStore> checkpoints_;
  const std::unique_ptr<pipeline::DeadLetterStore> dead_letters_;
  const std::unique_ptr<pipeline::Source> outbox_;
  const std::unique_ptr<pipeline::Pipeline> pipeline_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_OUTBOX_RELAY_H_
