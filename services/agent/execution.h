// One run under execution: the journal, the replay, and the RunContext that the agent sees.
#ifndef SERVICES_AGENT_EXECUTION_H_
#define SERVICES_AGENT_EXECUTION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/model_usage.h"
#include "services/agent/models/model.h"
#include "services/agent/models/model_client.h"
#include "services/agent/peers.h"
#include "services/agent/run_changes.h"
#include "services/agent/run_events.h"
#include "services/agent/run_record.h"
#include "services/agent/run_store.h"
#include "services/agent/time_ledger.h"
#include "services/common/identity/token.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/heap_account.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

class Execution;

// Gives runs that only wait the way to leave their places to others. Thread-safe.
class Places {
 public:
  // What a run waits for.
  struct Waits {
    absl::Time until = absl::InfiniteFuture();  // The first of its sleeps and questions is over.
    std::vector<std::string> questions;         // The paths of the commands that ask people.
  };

  virtual ~Places() = default;
  // Every branch of the run waits, for people or for time. It is held back until it gets a place again.
  virtual void Leave(const Execution& execution, Waits waits) = 0;
  // One of them goes on.
  virtual void Return(const Execution& execution) = 0;
};

// What an execution works with. All pointers outlive it.
struct ExecutionDependencies {
  Clock* clock = nullptr;
  IdGenerator* ids = nullptr;
  const RunStore* store = nullptr;
  ToolClient* tools = nullptr;
  EventPublisher* events = nullptr;
  ChildRuns* children = nullptr;
  ModelClient* models = nullptr;
  const ModelBudget* model_budget = nullptr;
  Places* places = nullptr;  // Null when runs keep theirs.
};

// Owned by its coroutines. Main and the operations of contexts run on one strand; the rest is
// thread-safe.
class Execution : public std::enable_shared_from_this<Execution> {
 public:
  enum class StopReason { kNone, kCancelled, kTimedOut, kUnresponsive, kMemoryExceeded };

  // How an execution lets go of its run: it has ended, or is another's; or the storage failed, and
  // it must be taken up again.
  enum class Release { kDone, kTakeUpAgain };

  struct Options {
    int max_steps = 10'000;
    uint64_t max_bytes = uint64_t{256} << 20;  // Of the journal and the events that go with it.
    std::string agent_version;                 // Of the code that executes now.
    std::shared_ptr<HeapAccount> heap = {};    // In scope when the agent runs. Null when it has no limit.
  };
  // `on_released` is called once, on any thread.
  Execution(Options options, ExecutionDependencies dependencies, TakenUp taken, std::shared_ptr<const RawToken> token,
            std::function<void(Release)> on_released);
  ~Execution();

  // Runs the agent to its end. To be spawned on a strand. When the run is cut off the coroutine is
  // destroyed and never returns.
  static Awaitable<void> Main(std::shared_ptr<Execution> self, std::unique_ptr<Agent> agent);

  // Asks the agent to end; the first reason counts.
  void RequestStop(StopReason reason);
  // Ends the run without waiting for its agent, which never resumes.
  static Awaitable<void> CutOff(std::shared_ptr<Execution> self);
  // While the run is held back, no new command begins; what is under way goes on. `order` grows with each change: what
  // comes late is ignored.
  void SetHeld(bool held, uint64_t order);
  // What a command waits for has come, or may have: the decision of an approval, the end of a child run.
  void Wake();
  // Begins no new command any more; what is under way goes on.
  void Drain();
  // Lets go of the run as a crash would: nothing more is written, the agent never resumes.
  void Abandon(Release release = Release::kDone);
  // The same for one that only waits, and is taken up again by who does this: nobody is told.
  void PutAway();

  const std::string& run_id() const { return run_.id; }

  // Blocks until this execution has no tool call under way, at most until `deadline` (real time).
  void AwaitCalls(absl::Time deadline) const;

 private:
  class Context;

  static constexpr int kMaxAttempts = 4;  // Of a call whose failure may pass.

  // The agent's own. Lives no longer than this.
  std::unique_ptr<RunContext> NewContext();

  // A command of the journal, or one that is new.
  struct Entry {
    int step = 0;
    std::string command;
    bool visited = false;  // The agent has asked for it in this execution.
    std::optional<nlohmann::json> intent;
    bool executing = false;
    int policy = 0;     // Of the tool, when it is executing: a RepeatPolicy.
    std::string tool;   // Whose call it is, when it is executing.
    std::string child;  // The id of the run, when it is one that is executing.
    std::string model;  // Which one it asks, when it is executing.
    std::optional<nlohmann::json> result;
  };

  // Where a command is asked for.
  struct Place {
    std::string path;      // In the journal.
    absl::Status misuse;   // Refuses the command when it is not OK.
    std::stop_token stop;  // The branch shall end, or the run.
  };

  // Whether the agent must not go on: the run has ended without it, or has been let go of.
  bool gone() const;
  // Why the run shall end.
  absl::Status stop_status() const;
  // Why what waits at this place shall end: as above, or its branch has lost.
  absl::Status stop_status(const std::stop_token& stop) const;
  Ownership ownership() const { return {.key = run_.key, .epoch = run_.epoch}; }
  RunIdentity identity(std::stop_token stop) const;

  // The steps of every command. Each destroys the coroutine in place of returning when the run is
  // gone.
  Awaitable<Entry*> Enter(const Place& place, std::string command);
  // Until the run is not held back.
  Awaitable<void> AwaitGo(std::stop_token stop);
  // Counts what is about to be written. The run ends here when it is more than it may leave behind.
  Awaitable<void> Spend(uint64_t bytes);
  // The same for what may be written in any case.
  void Keep(uint64_t bytes);
  Awaitable<void> Journal(std::vector<JournalRecord> records, std::vector<std::string> events);
  Awaitable<void> JournalIntent(const std::string& path, Entry* entry, nlohmann::json intent);
  Awaitable<void> JournalResult(const std::string& path, Entry* entry, nlohmann::json result,
                                std::vector<std::string> events);
  Awaitable<void> StayIfNotGone();
  // Suspends for ever, which destroys the coroutine with all that called it.
  static Awaitable<void> Never();
  // For operations that are refused because the run, or their branch, shall end.
  Awaitable<absl::Status> RefuseStopped(std::stop_token stop);
  // The journal has another command than the agent asks for.
  absl::Status Mismatch(std::string_view path, std::string_view journal, std::string_view asked) const;

  Awaitable<absl::StatusOr<nlohmann::json>> CallTool(Place place, std::string tool, nlohmann::json input);
  // Returns at once, unless `refused` is for the run's own token: the run is being cancelled for that, which its agent must not take for an answer.
  Awaitable<void> AwaitStopIfRevoked(const absl::Status& refused, std::stop_token stop);
  Awaitable<absl::StatusOr<RepeatPolicy>> PolicyOf(const std::string& tool, std::stop_token stop);
  void CountCall(int change);
  // When the user may call the next tool, after a refusal for his quota; nullopt when it is another one, or too late for the run.
  std::optional<absl::Time> AfterQuota(const absl::Status& refused) const;
  // Before the next attempt. False when the call shall end instead.
  Awaitable<bool> Pause(int attempt, std::stop_token stop);
  Awaitable<absl::StatusOr<ToolResult>> InvokeWithRetries(const Place& place, Entry* entry, const std::string& tool,
                                                          const nlohmann::json& input, RepeatPolicy policy);
  Awaitable<absl::StatusOr<std::vector<ToolDescription>>> DescribeTools(Place place, std::vector<std::string> tools);
  Awaitable<absl::StatusOr<ToolDescription>> Describe(const std::string& tool, std::stop_token stop);
  Awaitable<absl::StatusOr<ModelReply>> CallModel(Place place, ModelRequest request);
  // Whether the call may be made now.
  absl::Status CheckModelCall(const ModelRequest& request) const;
  // Makes it, with its events, and journals how it ended.
  Awaitable<void> AskModel(const Place& place, Entry* entry, ModelRequest request);
  Awaitable<ModelOutcome> AskWithRetries(const Place& place, int step, const ModelRequest& request);
  // What is journalled when a tool has accepted a call.
  Append Accepted(const Place& place, const Entry& entry, const std::string& tool, const nlohmann::json& input,
                  RepeatPolicy policy);
  Awaitable<absl::StatusOr<nlohmann::json>> Approve(Place place, ApprovalRequest request);
  Awaitable<absl::StatusOr<Answer>> RunAgent(Place place, std::string agent, nlohmann::json input);
  // Starts the child of the command, unless it is known.
  Awaitable<absl::Status> StartChild(const Place& place, Entry* entry, const std::string& agent, nlohmann::json input);
  // How the child ended, or why nobody waits for it any more; then it is asked to end.
  Awaitable<absl::StatusOr<nlohmann::json>> AwaitChild(const Place& place, const std::string& child);
  // The event that follows `child_started`.
  std::string ChildEnded(const Entry& entry, absl::Time began, const absl::Status& status) const;
  Awaitable<absl::Status> Sleep(Place place, absl::Duration duration);
  Awaitable<std::vector<PastRun>> History(Place place);
  // As SleepUntil, but this branch counts as waiting when it takes long: for time, or for people when it has a `question`, the path of a
  // command. Before the agent goes on comes AwaitGo.
  Awaitable<absl::Status> WaitUntil(absl::Time when, std::stop_token stop, std::string question = "");
  // The number of branches that do not only wait has changed.
  void Busy(int change);
  // A command whose result is made here: `make` is called unless the journal has it. Its event, if
  // any, goes with it.
  Awaitable<nlohmann::json> Value(Place place, std::string command, std::function<nlohmann::json()> make,
                                  std::function<std::string()> event);
  // The branches of the group at `path` but the one at `winner` are not executed again: what the journal has of them is
  // settled, and calls that a crash left open are closed.
  Awaitable<void> SettleLosers(const std::string& path, size_t winner);

  // Ends the run with the agent's result, or what stands in its place.
  Awaitable<void> End(absl::StatusOr<Answer> result);
  [[nodiscard]] bool ClaimEnd();
  void LetGo(Release release);
  void AfterEnd(const absl::Status& written);
  // Nothing more can be written for this run here. Never resumes.
  Awaitable<void> GiveUp(absl::Status written);
  JournalRecord RecordOf(const std::string& path, const Entry& entry, JournalRecord::Kind kind,
                         const nlohmann::json& payload) const;

  const Options options_;
  const ExecutionDependencies dependencies_;
  const RunRecord run_;
  const std::string name_;
  const RunEvents events_;
  const std::shared_ptr<const RawToken> token_;

  // On the strand only.
  std::map<std::string, Entry> entries_;  // By path.
  std::map<std::string, RepeatPolicy> policies_;
  std::map<std::string, bool> patches_;               // What Patched answered, by name.
  int busy_ = 1;                                      // Branches that do not only wait.
  std::multimap<absl::Time, std::string> waits_for_;  // Those that do: until when, and the question if it is one.
  int steps_ = 0;
  uint64_t bytes_ = 0;
  int refused_ = 0;
  TimeLedger ledger_;

  std::stop_source stop_;
  mutable absl::Mutex mutex_;
  StopReason stop_reason_ ABSL_GUARDED_BY(mutex_) = StopReason::kNone;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_ ABSL_GUARDED_BY(mutex_);
  uint64_t hold_order_ ABSL_GUARDED_BY(mutex_) = 0;
  int calls_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::stop_source> waits_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::stop_source> hold_waits_ ABSL_GUARDED_BY(mutex_);
  std::function<void(Release)> on_released_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_EXECUTION_H_
