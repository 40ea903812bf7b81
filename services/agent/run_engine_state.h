// What the parts of the run engine share. Its parts: turns and holds (run_engine_turns.cc), runs that are put away while they
// wait (run_engine_put_away.cc), taking runs up (run_engine_take_up.cc), stopping them (run_engine_stops.cc), and the engine's
// own beginning and end (run_engine.cc).
#ifndef SERVICES_AGENT_RUN_ENGINE_STATE_H_
#define SERVICES_AGENT_RUN_ENGINE_STATE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "boost/asio/any_io_executor.hpp"
#include "services/agent/agent.h"
#include "services/agent/execution.h"
#include "services/agent/instances.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_queue.h"
#include "services/agent/run_record.h"
#include "services/agent/run_state.h"
#include "services/agent/run_store.h"
#include "services/agent/watchdog.h"
#include "services/common/identity/token.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/heap_account.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// Shared with timers and coroutines, which may come late.
struct RunEngine::State : Places, std::enable_shared_from_this<RunEngine::State> {
  // What is kept of each run that has not ended, of which there may be very many; taking it up reads the rest.
  struct Known {
    int64_t key = 0;
    std::string id;
    std::string owner;
    std::string parent;
    std::string thread;
    absl::Time deadline;
    int weight = 1;  // Of its user's next turn.
  };

  // Of the places of the running ones. Child runs need none, and are as if they had one.
  enum class Turn { kNone, kQueued, kHas };

  // Whether the coroutine of an execution is still there, which the end of its run need not be: its agent may hold a thread.
  struct Presence {
    bool here = true;
    std::string owes;  // The user whose place it takes until it is gone, when its run has ended before.
  };

  // A run that has not ended.
  struct Active {
    Known run;
    Turn turn = Turn::kNone;
    bool parked = false;     // All of its branches wait.
    bool put_away = false;   // Parked, and without an execution until what it waits for comes.
    bool taking_up = false;  // An execution is being made.
    uint64_t looks = 0;      // Times that somebody began to look up whether it may go on.
    uint64_t holds = 0;      // Times that its execution was told whether it is held back.
    Clock::TimerId deadline_timer = 0;
    Clock::TimerId timer = 0;  // Of the end of its grace, of its rest, or of its wait when it is put away.
    absl::Time cut_off = absl::InfiniteFuture();  // When the grace is over.
    // Null while it waits for its turn, while it is put away, and while it is taken up.
    std::shared_ptr<Execution> execution;
    std::shared_ptr<Presence> presence;  // Of that one.
    bool holds_thread = false;           // It has been found to.
    // Asked for. An execution that is being made is told when it is there.
    Execution::StopReason stop = Execution::StopReason::kNone;
    Places::Waits waits;         // While it is parked, and has an execution.
    std::optional<Woken> woken;  // From its waking until it is taken up.
  };

  // Counts a coroutine of the engine for as long as it lives.
  class Working {
   public:
    explicit Working(std::shared_ptr<State> state);
    Working(Working&&) noexcept = default;
    Working& operator=(Working&&) = delete;
    ~Working();

   private:
    std::shared_ptr<State> state_;
  };

  // An agent that executes, on a strand of its own: it needs no locks, and its parallel branches are not parallel threads.
  struct Executing {
    ~Executing() { state->Left(*presence); }

    std::shared_ptr<State> state;
    std::shared_ptr<Presence> presence;  // Its members are guarded by the state's mutex.
    std::shared_ptr<Execution> execution;
    std::unique_ptr<Agent> agent;
    boost::asio::any_io_executor strand;
    Watchdog::Watched watched;
  };

  State(Options o, Dependencies d) : options(std::move(o)), dependencies(d), queue(options.limits) {}

  Clock* clock() const { return dependencies.execution.clock; }
  const RunStore* store() const { return dependencies.execution.store; }
  bool is_closed();
  void Spawn(Awaitable<void> coroutine);
  // `callback` gets this state on a thread of the executor, unless it is closed by then.
  Clock::TimerId CallAt(absl::Time when, std::function<void(State&)> callback);
  Known KnownOf(const RunRecord& run) const;

  // --- the end of the engine ---
  std::vector<std::shared_ptr<Execution>> Executions();
  void Close();
  // Until all coroutines have gone but those that hold a thread, or the limit is over.
  void AwaitIdle();

  // --- turns and holds ---
  void Submit(const RunRecord& run);
  // Lets it have its turn, to begin or to go on. A child run needs none: it uses the place of its parent, which waits
  // for it.
  void Enqueue(const std::string& id);
  // Gives turns to those that may have one.
  void Pump();
  // Its turn has come: it begins, or goes on where it was held back.
  void GoOn(const std::string& id);
  // Takes its place, or its turn to get one, away. True when others may use the place.
  bool LeaveTurn(Active& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Leave(const Execution& execution, Waits waits) override;
  void Return(const Execution& execution) override;
  // Counts it among those that are parked, or not.
  void SetParked(Active& run, bool is) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Sees in the store whether the run is held back, or waits for another one of its thread, and acts on it. What is
  // held back has no place. Of several at once the one that began last counts: it knows what the others know.
  void LookUp(const std::string& id);
  // A run of the thread has ended, or been let go of: others may go on.
  void LookUpThread(const Known& run);
  // An execution's coroutine is gone.
  void Left(Presence& presence);
  // The run needs nothing of the engine any more.
  void Forget(const Known& run);
  void Released(const std::string& id, Execution::Release release);
  // The storage failed: the run is taken up again in a while, as after a crash. Its deadline and
  // cancellation hold meanwhile.
  void Rest(const Known& run);

  // --- runs that are put away ---
  // Lets go of executions that wait longest, until no more are left than may be.
  void PutAway();
  // What it waits for has come, or may have.
  void Wake(const std::string& id);
  // Whether the store has nothing new for a run that waits so.
  bool StillWaits(int64_t key, const Waits& waits) const;

  // --- taking up ---
  // Two coroutines, so that what taking a run up needs is gone while it executes, or waits for days.
  static Awaitable<void> Execute(std::shared_ptr<State> state, std::unique_ptr<const Known> run,
                                 std::optional<Woken> woken);
  // Null when there is nothing to execute.
  static Awaitable<std::unique_ptr<Executing>> TakeUp(std::shared_ptr<State> state, std::unique_ptr<const Known> known,
                                                      std::optional<Woken> woken);
  // A definition in the version that the run began with; of a linked-in agent there is one only.
  absl::StatusOr<AgentFactory> FactoryFor(const RunRecord& run) const;
  // What a run needs before it can execute. DEADLINE_EXCEEDED when its time is over.
  absl::Status Prepare(const RunRecord& run, std::string& agent_version, std::unique_ptr<Agent>& agent,
                       std::shared_ptr<const RawToken>& token);
  // For the agent of a run; null when there is no limit.
  std::shared_ptr<HeapAccount> OpenHeap(const std::string& id);
  // It outlives them: each belongs to a coroutine that owns this.
  ExecutionDependencies ForExecution();
  // Ends a run that does not execute.
  Awaitable<void> EndUnstarted(Ownership ownership, Known run, RunState to, absl::Status why);

  // --- stopping ---
  void OnDeadline(const std::string& id);
  void Cancel(const RunRecord& run, absl::Duration grace);
  // Asks a run to end, and cuts it off after the grace. One that nothing executes for ends as it stands.
  void Stop(const std::string& id, Execution::StopReason reason, absl::Duration grace);
  // Its agent holds a thread, or takes too much memory: it cannot be left to end by itself, and gets no grace.
  void OnUnresponsive(const std::string& id, const Watchdog::Report& report);
  void OnMemoryExceeded(const std::string& id);
  void CutOffAtOnce(const std::string& id, Execution::StopReason reason);
  // Nothing goes on for a run that has ended.
  static Awaitable<void> CancelChildren(std::shared_ptr<State> state, Known run);
  static Awaitable<void> CancelOrphan(std::shared_ptr<State> state, std::string owner, std::string id,
                                      std::string parent);

  const Options options;
  Dependencies dependencies;
  absl::Mutex mutex;
  int parked ABSL_GUARDED_BY(mutex) = 0;
  int put_away ABSL_GUARDED_BY(mutex) = 0;
  bool closed ABSL_GUARDED_BY(mutex) = false;
  int working ABSL_GUARDED_BY(mutex) = 0;
  RunQueue queue ABSL_GUARDED_BY(mutex);
  std::map<std::string, Active> active ABSL_GUARDED_BY(mutex);
  // The parked ones that have executions, by the time until which they wait.
  std::set<std::pair<absl::Time, std::string>> waiting_in_memory ABSL_GUARDED_BY(mutex);
  std::vector<std::string> held_runs ABSL_GUARDED_BY(mutex);  // By their agents when it was closed.
  const Instances instances;
  std::unique_ptr<Watchdog> watchdog;  // Set once, before the first run.
};

// How long a run rests whose storage failed, before it is taken up again.
inline constexpr absl::Duration kRest = absl::Seconds(1);

// Why a run ends whose time is over.
absl::Status TimedOut(const std::string& run, absl::Time deadline);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_ENGINE_STATE_H_
