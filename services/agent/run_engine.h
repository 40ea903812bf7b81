// Takes runs up, in fair order, and sees each to its end.
#ifndef SERVICES_AGENT_RUN_ENGINE_H_
#define SERVICES_AGENT_RUN_ENGINE_H_

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/agent/agent_registry.h"
#include "services/agent/defined_agents.h"
#include "services/agent/execution.h"
#include "services/agent/run_queue.h"
#include "services/agent/run_record.h"
#include "services/common/crypto/crypto.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::agent {

// Thread-safe. Executes what is in the store; callers write there first and tell the engine then.
class RunEngine {
 public:
  struct Options {
    RunQueue::Limits limits;
    int max_steps_per_run = 10'000;
    absl::Duration cancel_grace = absl::Seconds(10);
    absl::Duration unresponsive_after = absl::Seconds(30);  // Real time. Zero lets agents hold their threads.
  };
  // All pointers outlive the engine.
  struct Dependencies {
    ExecutionDependencies execution;
    Executor* executor = nullptr;
    const AgentRegistry* registry = nullptr;
    const DefinedAgents* definitions = nullptr;  // Null where users define none.
    const crypto::Sealer* sealer = nullptr;
  };

  static std::unique_ptr<RunEngine> Create(Options options, Dependencies dependencies);
  // Who starts and cancels runs of runs. Before Start; outlives the engine.
  void SetChildRuns(ChildRuns* children);
  ~RunEngine();  // Abandons.

  // Takes up what has not ended.
  absl::Status Start();
  // Tool calls under way get a moment to end; then Abandon. The next Start goes on.
  // Idempotent.
  void Shutdown();

  // As a crash: what runs is let go of and stays in the store as its journal has it. Idempotent.
  void Abandon();

  // A run has been created.
  void Submit(const RunRecord& run);
  // A run has been cancelled, or is being.
  void Cancel(const RunRecord& run);
  // The same for a run that has lost the right to go on: it is given a moment, not the grace.
  void CancelAtOnce(const RunRecord& run);
  void ApprovalDecided(std::string_view run);
  // A run shall be held back before its next command, or may go on, as the store has it.
  void HoldChanged(std::string_view run);

  // Runs that wait for their turn, and executions that exist (their agents' instances with them).
  int waiting() const;
  int executing() const;

 private:
  struct State;
  explicit RunEngine(std::shared_ptr<State> state);
  const std::shared_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_ENGINE_H_
