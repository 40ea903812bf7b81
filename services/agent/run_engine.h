// Takes runs up, in fair order, and sees each to its end.
#ifndef SERVICES_AGENT_RUN_ENGINE_H_
#define SERVICES_AGENT_RUN_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/agent/agent_registry.h"
#include "services/agent/defined_agents.h"
#include "services/agent/execution.h"
#include "services/agent/instances.h"
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
    uint64_t max_journal_bytes_per_run = uint64_t{256} << 20;
    // Turns in a round, by role; a user gets the largest of his roles', and 1 when none is named.
    std::map<std::string, int, std::less<>> role_weights;
    absl::Duration cancel_grace = absl::Seconds(10);
    absl::Duration unresponsive_after = absl::Seconds(30);  // Real time. Zero lets agents hold their threads.
    // What the agent of one run may hold on the heap; 0 sets no limit. See HeapAccount: it ends agents that allocate without end.
    uint64_t max_heap_bytes_per_run = uint64_t{1} << 30;
    // Runs all of whose branches wait, for people or for time, that keep their coroutines. Beyond it those that wait longest are put away:
    // only their journals are left of them, and they are taken up again, without a trace in their events, when what they wait for comes.
    size_t max_waiting_in_memory = 1000;
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

  // As a crash: what runs is let go of and stays in the store as its journal has it. Returns within seconds, also when agents hold their
  // threads. Idempotent.
  void Abandon();

  // Before an orderly end: threads that agents hold are replaced within moments, so that nothing waits for them, and no run is failed for
  // that any more.
  void ReleaseThreads();

  // After Shutdown or Abandon: the runs whose agents held threads and still do. The next Start takes them up, as all others.
  std::vector<std::string> held_runs() const;

  // A run has been created.
  void Submit(const RunRecord& run);
  // A run has been cancelled, or is being.
  void Cancel(const RunRecord& run);
  // The same for a run that has lost the right to go on: it is given a moment, not the grace.
  void CancelAtOnce(const RunRecord& run);
  void ApprovalDecided(std::string_view run);
  // A run shall be held back before its next command, or may go on, as the store has it.
  void HoldChanged(std::string_view run);

  // Runs that wait for their turn, and the engine's coroutines.
  int waiting() const;
  // Runs all of whose branches wait, for people or for time, and so leave their places to others; and those of them that are put away.
  int parked() const;
  int put_away() const;
  int executing() const;
  // The agents' instances.
  const Instances& instances() const;

 private:
  struct State;
  explicit RunEngine(std::shared_ptr<State> state);
  const std::shared_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_ENGINE_H_
