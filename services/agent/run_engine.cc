#include "services/agent/run_engine.h"

#include <algorithm>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "services/agent/watchdog.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"

namespace bulkhead::agent {
namespace {

// How long Shutdown lets tool calls end, and how long the destructor waits for coroutines to go.
// Real time.
constexpr absl::Duration kDrainLimit = absl::Seconds(2);
constexpr absl::Duration kCloseLimit = absl::Seconds(5);
// A run that gives no sign of life for so long when the engine is closed holds its thread.
constexpr absl::Duration kHeldLimit = absl::Milliseconds(500);
// How long an agent may take to end whose run is revoked.
constexpr absl::Duration kRevokedGrace = absl::Milliseconds(500);
// How long a run rests whose storage failed, before it is taken up again.
constexpr absl::Duration kRest = absl::Seconds(1);

absl::Status TimedOut(const RunRecord& run) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "the time of the run is over",
                   {.domain = "bulkhead.agent",
                    .reason = "RUN_TIMED_OUT",
                    .metadata = {{"run", run.id}, {"deadline", absl::FormatTime(run.deadline, absl::UTCTimeZone())}}});
}

// What is kept of each run that has not ended, of which there may be very many; taking it up reads the rest.
RunRecord Brief(const RunRecord& run) {
  RunRecord brief;
  brief.key = run.key;
  brief.id = run.id;
  brief.owner = run.owner;
  brief.parent = run.parent;
  brief.thread = run.thread;
  brief.waits_for = run.waits_for;
  brief.roles = run.roles;
  brief.state = run.state;
  brief.deadline = run.deadline;
  brief.interrupt_time = run.interrupt_time;
  return brief;
}

}  // namespace

// Shared with timers and coroutines, which may come late.
struct RunEngine::State : Places, std::enable_shared_from_this<RunEngine::State> {
  // Of the places of the running ones. Child runs need none, and are as if they had one.
  enum class Turn { kNone, kQueued, kHas };

  // A run that has not ended.
  struct Active {
    RunRecord run;  // Without what it takes to execute it: see Brief.
    Turn turn = Turn::kNone;
    bool parked = false;     // All of its branches wait.
    bool taking_up = false;  // An execution is being made.
    uint64_t looks = 0;      // Times that somebody began to look up whether it may go on.
    uint64_t holds = 0;      // Times that its execution was told whether it is held back.
    Clock::TimerId deadline_timer = 0;
    Clock::TimerId grace_timer = 0;               // Also that of a run that rests.
    absl::Time cut_off = absl::InfiniteFuture();  // When the grace is over.
    // Null while it waits, and while it is taken up.
    std::shared_ptr<Execution> execution;
    // Asked for while it was taken up.
    Execution::StopReason stop = Execution::StopReason::kNone;
  };

  // Counts a coroutine of the engine for as long as it lives.
  class Working {
   public:
    explicit Working(std::shared_ptr<State> state) : state_(std::move(state)) {
      absl::MutexLock lock(state_->mutex);
      ++state_->working;
    }
    Working(Working&&) noexcept = default;
    Working& operator=(Working&&) = delete;
    ~Working() {
      if (state_ != nullptr) {
        absl::MutexLock lock(state_->mutex);
        --state_->working;
      }
    }

   private:
    std::shared_ptr<State> state_;
  };

  State(Options o, Dependencies d) : options(o), dependencies(d), queue(o.limits) {}

  // It outlives them: each belongs to a coroutine that owns this.
  ExecutionDependencies ForExecution() {
    ExecutionDependencies execution = dependencies.execution;
    execution.places = this;
    return execution;
  }

  Clock* clock() const { return dependencies.execution.clock; }
  const RunStore* store() const { return dependencies.execution.store; }

  void Spawn(Awaitable<void> coroutine) {
    dependencies.executor->Spawn([](Working, Awaitable<void> coroutine) -> Awaitable<void> {
      co_await std::move(coroutine);
    }(Working(shared_from_this()), std::move(coroutine)));
  }

  // `callback` gets this state on a thread of the executor, unless it is closed by then.
  Clock::TimerId CallAt(absl::Time when, std::function<void(State&)> callback) {
    return clock()->CallAt(when, [weak = weak_from_this(), callback = std::move(callback)]() mutable {
      if (std::shared_ptr<State> state = weak.lock()) {
        Executor* executor = state->dependencies.executor;
        executor->Post([state = std::move(state), callback = std::move(callback)] {
          if (!state->is_closed()) {
            callback(*state);
          }
        });
      }
    });
  }

  bool is_closed() {
    absl::MutexLock lock(mutex);
    return closed;
  }

  void Submit(const RunRecord& run) {
    const std::string id = run.id;
    {
      absl::MutexLock lock(mutex);
      if (closed || active.contains(id)) {
        return;
      }
      active[id].run = Brief(run);
    }
    const Clock::TimerId timer = CallAt(run.deadline, [id](State& state) { state.OnDeadline(id); });
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(id); found != active.end()) {
        found->second.deadline_timer = timer;
      }
    }
    // One that has begun is taken up even when it is held back: it stands where it stood.
    if (run.state == RunState::kPending && (!run.waits_for.empty() || run.interrupt_time.has_value())) {
      LookUp(id);
    } else {
      Enqueue(id);
    }
  }

  // Lets it have its turn, to begin or to go on. A child run needs none: it uses the place of its parent, which waits
  // for it.
  void Enqueue(const std::string& id) {
    bool queued = false;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (closed || found == active.end() || found->second.turn != Turn::kNone || found->second.parked) {
        return;
      }
      Active& run = found->second;
      queued = run.run.parent.empty();
      run.turn = queued ? Turn::kQueued : Turn::kHas;
      if (queued) {
        RunQueue::Entry entry{.user = run.run.owner, .run = id, .weight = WeightOf(run.run)};
        run.execution != nullptr ? queue.EnqueueResuming(std::move(entry)) : queue.Enqueue(std::move(entry));
      }
    }
    queued ? Pump() : GoOn(id);
  }

  // Gives turns to those that may have one.
  void Pump() {
    while (true) {
      std::string next;
      {
        absl::MutexLock lock(mutex);
        if (closed) {
          return;
        }
        std::optional<RunQueue::Entry> entry = queue.Next();
        if (!entry.has_value()) {
          return;
        }
        next = std::move(entry->run);
        active[next].turn = Turn::kHas;
      }
      GoOn(next);
    }
  }

  // Its turn has come: it begins, or goes on where it was held back.
  void GoOn(const std::string& id) {
    std::unique_ptr<const RunRecord> run;
    std::shared_ptr<Execution> execution;
    uint64_t hold = 0;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (closed || found == active.end() || found->second.taking_up) {
        return;
      }
      execution = found->second.execution;
      if (execution != nullptr) {
        hold = ++found->second.holds;
      } else {
        found->second.taking_up = true;
        run = std::make_unique<const RunRecord>(found->second.run);
      }
    }
    if (execution != nullptr) {
      execution->SetHeld(false, hold);
    } else {
      Spawn(Execute(shared_from_this(), std::move(run)));
    }
  }

  // Takes its place, or its turn to get one, away. True when others may use the place.
  bool LeaveTurn(Active& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const Turn left = std::exchange(run.turn, Turn::kNone);
    if (!run.run.parent.empty()) {
      return false;
    }
    if (left == Turn::kQueued) {
      queue.Remove(run.run.owner, run.run.id);
    } else if (left == Turn::kHas) {
      queue.Finished(run.run.owner);
    }
    return left == Turn::kHas;
  }

  void Leave(const std::string& id) override {
    std::shared_ptr<Execution> execution;
    uint64_t hold = 0;
    bool freed = false;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (closed || found == active.end() || found->second.execution == nullptr) {
        return;
      }
      SetParked(found->second, true);
      freed = LeaveTurn(found->second);
      execution = found->second.execution;
      hold = ++found->second.holds;
    }
    execution->SetHeld(true, hold);
    if (freed) {
      Pump();
    }
  }

  void Return(const std::string& id) override {
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(id); found != active.end()) {
        SetParked(found->second, false);
      }
    }
    LookUp(id);
  }

  void SetParked(Active& run, bool is) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    parked += static_cast<int>(is) - static_cast<int>(run.parked);
    run.parked = is;
  }

  // Sees in the store whether the run is held back, or waits for another one of its thread, and acts on it. What is
  // held back has no place. Of several at once the one that began last counts: it knows what the others know.
  void LookUp(const std::string& id) {
    std::string owner;
    uint64_t look = 0;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (closed || found == active.end()) {
        return;
      }
      owner = found->second.run.owner;
      look = ++found->second.looks;
    }
    const absl::StatusOr<RunRecord> now = store()->For(owner).Get(id);
    if (!now.ok()) {
      if (ReasonOf(now.status()) != "RUN_NOT_FOUND") {
        ABSL_LOG(ERROR) << "whether run " << id << " may go on cannot be read now: " << now.status();
        CallAt(clock()->Now() + kRest, [id](State& state) { state.LookUp(id); });
      }
      return;
    }
    bool held = now->interrupt_time.has_value() || !now->waits_for.empty();
    // It is taken up to be ended, when that has failed before.
    const bool ends = now->state == RunState::kCancelling || clock()->Now() >= now->deadline;
    std::shared_ptr<Execution> execution;
    uint64_t hold = 0;
    bool freed = false;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (found == active.end() || found->second.looks != look) {
        return;
      }
      if (ends && found->second.execution == nullptr && !found->second.taking_up) {
        held = false;
      }
      if (held) {
        freed = LeaveTurn(found->second);
      }
      // One that may go on hears of it when it has a place again.
      if (held || found->second.turn == Turn::kHas) {
        execution = found->second.execution;
        hold = ++found->second.holds;
      }
    }
    if (execution != nullptr) {
      execution->SetHeld(held, hold);
    }
    if (freed) {
      Pump();
    } else if (!held) {
      Enqueue(id);
    }
  }

  // A run of the thread has ended, or been let go of: others may go on.
  void LookUpThread(const RunRecord& run) {
    const absl::StatusOr<std::vector<std::string>> others = store()->For(run.owner).UnfinishedOfThread(run.thread);
    if (!others.ok()) {
      ABSL_LOG(ERROR) << "the runs of thread " << run.thread << " cannot be read now: " << others.status();
      CallAt(clock()->Now() + kRest, [run](State& state) { state.LookUpThread(run); });
      return;
    }
    for (const std::string& other : *others) {
      LookUp(other);
    }
  }

  // The run needs nothing of the engine any more.
  void Forget(const RunRecord& run) {
    Active gone;
    std::shared_ptr<Execution> parent;
    bool freed = false;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(run.id);
      if (found == active.end()) {
        return;
      }
      freed = LeaveTurn(found->second);
      SetParked(found->second, false);
      gone = std::move(found->second);  // Destroyed below, without the lock.
      active.erase(found);
      if (auto above = active.find(run.parent); above != active.end()) {
        parent = above->second.execution;
      }
    }
    clock()->Cancel(gone.deadline_timer);
    clock()->Cancel(gone.grace_timer);
    if (parent != nullptr) {
      parent->Wake();
    }
    Spawn(CancelChildren(shared_from_this(), run));
    if (!run.thread.empty()) {
      LookUpThread(run);
    }
    if (freed) {
      Pump();
    }
  }

  // Of the user's next turn. His roles are those that he had when he made the run, also after a restart.
  int WeightOf(const RunRecord& run) const {
    int weight = 1;
    for (std::string_view role : absl::StrSplit(run.roles, ' ', absl::SkipEmpty())) {
      if (auto found = options.role_weights.find(role); found != options.role_weights.end()) {
        weight = std::max(weight, found->second);
      }
    }
    return weight;
  }

  // Nothing goes on for a run that has ended.
  static Awaitable<void> CancelChildren(std::shared_ptr<State> state, RunRecord run) {
    if (absl::StatusOr<RunRecord> now = state->store()->For(run.owner).Get(run.id);
        now.ok() && !IsTerminal(now->state)) {
      co_return;  // Another owner has it.
    }
    absl::StatusOr<std::vector<RunRecord>> children = state->store()->UnfinishedChildrenAcrossUsers(run.id);
    if (!children.ok()) {
      ABSL_LOG(ERROR) << "the child runs of " << run.id << " could not be read: " << children.status();
      co_return;
    }
    for (const RunRecord& child : *children) {
      co_await state->CancelOrphan(child);
    }
  }

  Awaitable<void> CancelOrphan(const RunRecord& child) {
    if (ChildRuns* children = dependencies.execution.children; children != nullptr) {
      co_await children->CancelChild(child.owner, child.id,
                                     absl::StrCat("the run that started it has ended: ", child.parent));
    }
  }

  void Released(const std::string& id, Execution::Release release) {
    RunRecord run;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (found == active.end()) {
        return;
      }
      run = found->second.run;
    }
    release == Execution::Release::kTakeUpAgain ? Rest(run) : Forget(run);
  }

  // The storage failed: the run is taken up again in a while, as after a crash. Its deadline and
  // cancellation hold meanwhile.
  void Rest(const RunRecord& run) {
    std::shared_ptr<Execution> gone;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(run.id);
      if (closed || found == active.end()) {
        return;
      }
      gone = std::move(found->second.execution);
      found->second.cut_off = absl::InfiniteFuture();
      found->second.taking_up = false;
      SetParked(found->second, false);
      LeaveTurn(found->second);
    }
    const Clock::TimerId timer = CallAt(clock()->Now() + kRest, [id = run.id](State& state) { state.LookUp(id); });
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(run.id); found != active.end()) {
        found->second.grace_timer = timer;
      }
    }
    Pump();
  }

  // An agent that executes, on a strand of its own: it needs no locks, and its parallel branches are not parallel threads.
  struct Executing {
    std::shared_ptr<Execution> execution;
    std::unique_ptr<Agent> agent;
    boost::asio::strand<boost::asio::any_io_executor> strand;
    Watchdog::Watched watched;
  };

  // Two coroutines, so that what taking a run up needs is gone while it executes, or waits for days.
  static Awaitable<void> Execute(std::shared_ptr<State> state, std::unique_ptr<const RunRecord> run) {
    std::unique_ptr<Executing> executing = co_await TakeUp(state, std::move(run));
    if (executing != nullptr) {
      co_await boost::asio::co_spawn(executing->strand,
                                     Execution::Main(std::move(executing->execution), std::move(executing->agent)),
                                     boost::asio::use_awaitable);
    }
  }

  // Null when there is nothing to execute.
  static Awaitable<std::unique_ptr<Executing>> TakeUp(std::shared_ptr<State> state,
                                                      std::unique_ptr<const RunRecord> brief) {
    const RunRecord& run = *brief;
    absl::StatusOr<TakenUp> taken = co_await state->store()->TakeUp(run.key, state->clock()->Now());
    if (!taken.ok()) {
      const std::string reason = ReasonOf(taken.status());
      if (reason == "RUN_ENDED" || reason == "RUN_NOT_FOUND") {
        state->Forget(run);  // Cancelled or timed out in the last moment, or deleted.
      } else {
        ABSL_LOG(ERROR) << "run " << run.id << " cannot be taken up now: " << taken.status();
        state->Rest(run);
      }
      co_return nullptr;
    }
    const Ownership ownership{.key = taken->run.key, .epoch = taken->run.epoch};
    std::string agent_version;
    std::unique_ptr<Agent> agent;
    std::shared_ptr<const RawToken> token;
    absl::Status prepared = state->Prepare(taken->run, agent_version, agent, token);
    if (!prepared.ok() || taken->run.state == RunState::kCancelling) {
      co_await state->EndUnstarted(
          ownership, run,
          prepared.code() == absl::StatusCode::kDeadlineExceeded ? RunState::kTimedOut : RunState::kFailed, prepared);
      co_return nullptr;
    }

    const bool held = taken->run.interrupt_time.has_value();
    auto execution = std::make_shared<Execution>(
        Execution::Options{.max_steps = state->options.max_steps_per_run,
                           .max_bytes = state->options.max_journal_bytes_per_run,
                           .agent_version = std::move(agent_version)},
        state->ForExecution(), *std::move(taken), std::move(token),
        [weak = std::weak_ptr<State>(state), id = run.id](Execution::Release release) {
          if (std::shared_ptr<State> state = weak.lock()) {
            state->Released(id, release);
          }
        });
    Execution::StopReason stop = Execution::StopReason::kNone;
    bool left = false;
    uint64_t hold = 0;
    bool closed;
    {
      absl::MutexLock lock(state->mutex);
      closed = state->closed;
      if (auto found = state->active.find(run.id); found != state->active.end()) {
        found->second.execution = execution;
        found->second.taking_up = false;
        stop = found->second.stop;
        left = found->second.turn != Turn::kHas;
        hold = ++found->second.holds;
      }
    }
    if (closed) {
      execution->Abandon();
      co_return nullptr;
    }
    // It may have been held back, or let go on, since it was read.
    if (left) {
      execution->SetHeld(true, hold);
    } else if (held) {
      state->LookUp(run.id);
    }
    if (stop != Execution::StopReason::kNone) {
      state->Stop(run.id, stop, state->options.cancel_grace);
    }
    auto strand = boost::asio::make_strand(state->dependencies.executor->get());
    Watchdog::Watched watched = state->watchdog->Watch(
        strand, run.name(), [weak = std::weak_ptr<State>(state), id = run.id](const Watchdog::Report& report) {
          if (std::shared_ptr<State> state = weak.lock()) {
            state->OnUnresponsive(id, report);
          }
        });
    co_return std::make_unique<Executing>(std::move(execution), std::move(agent), std::move(strand),
                                          std::move(watched));
  }

  // A definition in the version that the run began with; of a linked-in agent there is one only.
  absl::StatusOr<AgentFactory> FactoryFor(const RunRecord& run) const {
    if (run.definition != 0 && dependencies.definitions != nullptr) {
      return dependencies.definitions->Version(run.definition);
    }
    ASSIGN_OR_RETURN(const AgentFactory* linked_in, dependencies.registry->Find(run.agent));
    return *linked_in;
  }

  // What a run needs before it can execute. DEADLINE_EXCEEDED when its time is over.
  absl::Status Prepare(const RunRecord& run, std::string& agent_version, std::unique_ptr<Agent>& agent,
                       std::shared_ptr<const RawToken>& token) {
    if (clock()->Now() >= run.deadline) {
      return TimedOut(run);
    }
    ASSIGN_OR_RETURN(const AgentFactory factory, FactoryFor(run));
    agent_version = factory.spec.version;
    ASSIGN_OR_RETURN(Secret secret, dependencies.sealer->Open(run.sealed_token, run.name()));
    token = std::make_shared<const RawToken>(std::move(secret));
    std::string thrown;
    try {
      agent = factory.make();
    } catch (const std::exception& e) {
      thrown = e.what();
    } catch (...) {
      thrown = "something that is no std::exception";
    }
    if (agent == nullptr) {
      return MakeError(absl::StatusCode::kInternal, absl::StrCat("no instance of the agent could be made: ", thrown),
                       {.domain = "bulkhead.agent", .reason = "AGENT_THREW", .metadata = {{"agent", run.agent}}});
    }
    agent = instances.Count(std::move(agent), run.name());
    return absl::OkStatus();
  }

  // Ends a run that does not execute.
  Awaitable<void> EndUnstarted(Ownership ownership, RunRecord run, RunState to, absl::Status why) {
    auto self = shared_from_this();
    Ending ending{.state = to, .time = clock()->Now()};
    if (!why.ok()) {
      ending.error = RunError::Of(why);
    }
    absl::StatusOr<RunRecord> ended = co_await store()->End(ownership, std::move(ending));
    if (!ended.ok() && ReasonOf(ended.status()) != "RUN_FENCED") {
      ABSL_LOG(ERROR) << "run " << run.id << " could not be ended: " << ended.status();
      Rest(run);
    } else {
      Forget(run);
    }
  }

  // Its agent holds a thread: it cannot end by itself, and gets no grace.
  void OnUnresponsive(const std::string& id, const Watchdog::Report& report) {
    std::shared_ptr<Execution> execution;
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(id); found != active.end() && !closed) {
        execution = found->second.execution;
      }
    }
    if (execution != nullptr) {
      ABSL_LOG(ERROR) << "the agent of run " << id << " holds its thread without awaiting anything: the run is failed, "
                      << "the thread is lost until it does. The memory of the process has grown by "
                      << report.grown_bytes / (1 << 20) << " MiB meanwhile";
      execution->RequestStop(Execution::StopReason::kUnresponsive);
      Spawn(Execution::CutOff(std::move(execution)));
    }
  }

  // Whether nothing executes for the run, so that it can be ended as it stands; then it gets no turn any more.
  bool LeaveUnloaded(Active& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (run.execution != nullptr || run.taking_up) {
      return false;
    }
    LeaveTurn(run);
    return true;
  }

  void OnDeadline(const std::string& id) {
    RunRecord run;
    bool unloaded;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (found == active.end()) {
        return;
      }
      run = found->second.run;
      unloaded = LeaveUnloaded(found->second);
    }
    if (unloaded) {
      Spawn(EndUnstarted({.key = run.key, .epoch = 0}, run, RunState::kTimedOut, TimedOut(run)));
    } else {
      Stop(id, Execution::StopReason::kTimedOut, options.cancel_grace);
    }
  }

  // Asks an executing run to end, and cuts it off after the grace.
  void Stop(const std::string& id, Execution::StopReason reason, absl::Duration grace) {
    std::shared_ptr<Execution> execution;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (found == active.end()) {
        return;
      }
      if (found->second.execution == nullptr) {
        found->second.stop = reason;
        return;
      }
      execution = found->second.execution;
    }
    execution->RequestStop(reason);
    const absl::Time cut_off = clock()->Now() + grace;
    std::weak_ptr<Execution> stopping = execution;
    // The earlier end of two graces holds; the other timer goes, as this one does when the run has ended meanwhile.
    Clock::TimerId timer = CallAt(cut_off, [stopping](State& state) {
      if (std::shared_ptr<Execution> execution = stopping.lock()) {
        state.Spawn(Execution::CutOff(std::move(execution)));
      }
    });
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(id); found != active.end() && cut_off < found->second.cut_off) {
        found->second.cut_off = cut_off;
        std::swap(found->second.grace_timer, timer);
      }
    }
    clock()->Cancel(timer);
  }

  void Cancel(const RunRecord& run, absl::Duration grace) {
    bool unloaded = false;
    if (!IsTerminal(run.state)) {
      absl::MutexLock lock(mutex);
      auto found = active.find(run.id);
      unloaded = found != active.end() && LeaveUnloaded(found->second);
    }
    if (IsTerminal(run.state)) {
      Forget(run);
    } else if (unloaded) {
      Spawn(EndUnstarted({.key = run.key, .epoch = 0}, run, RunState::kFailed, absl::OkStatus()));
    } else {
      Stop(run.id, Execution::StopReason::kCancelled, grace);
    }
  }

  std::vector<std::shared_ptr<Execution>> Executions() {
    std::vector<std::shared_ptr<Execution>> executions;
    absl::MutexLock lock(mutex);
    for (auto& [id, run] : active) {
      if (run.execution != nullptr) {
        executions.push_back(run.execution);
      }
    }
    return executions;
  }

  void Close() {
    std::map<std::string, Active> let_go;
    {
      absl::MutexLock lock(mutex);
      if (closed) {
        return;
      }
      closed = true;
      let_go.swap(active);
    }
    for (auto& [id, run] : let_go) {
      clock()->Cancel(run.deadline_timer);
      clock()->Cancel(run.grace_timer);
      if (run.execution != nullptr) {
        run.execution->Abandon();
      }
    }
    let_go.clear();
    watchdog->Release();
    AwaitIdle();
  }

  // Until all coroutines have gone but those that hold a thread, or the limit is over.
  void AwaitIdle() {
    auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return working == 0; };
    const absl::Time limit = RealDeadline(kCloseLimit);
    std::vector<std::string> holders;
    int left = 0;
    do {
      {
        absl::MutexLock lock(mutex);
        if (mutex.AwaitWithTimeout(absl::Condition(&idle), kHeldLimit)) {
          return;
        }
        left = working;
      }
      holders = watchdog->Holders(kHeldLimit);
    } while (left > static_cast<int>(holders.size()) && RealNow() < limit);
    for (const std::string& holder : holders) {
      ABSL_LOG(ERROR) << "the agent of " << holder << " holds its thread: the run is left as its journal has it";
    }
    ABSL_LOG_IF(ERROR, holders.empty()) << left << " runs did not let go of their agents in time";
    absl::MutexLock lock(mutex);
    held_runs = std::move(holders);
  }

  const Options options;
  Dependencies dependencies;
  absl::Mutex mutex;
  int parked ABSL_GUARDED_BY(mutex) = 0;
  bool closed ABSL_GUARDED_BY(mutex) = false;
  int working ABSL_GUARDED_BY(mutex) = 0;
  RunQueue queue ABSL_GUARDED_BY(mutex);
  std::map<std::string, Active> active ABSL_GUARDED_BY(mutex);
  std::vector<std::string> held_runs ABSL_GUARDED_BY(mutex);  // By their agents when it was closed.
  const Instances instances;
  std::unique_ptr<Watchdog> watchdog;  // Set once, before the first run.
};

std::unique_ptr<RunEngine> RunEngine::Create(Options options, Dependencies dependencies) {
  auto state = std::make_shared<State>(options, dependencies);
  state->watchdog = std::make_unique<Watchdog>(options.unresponsive_after, dependencies.executor);
  return std::unique_ptr<RunEngine>(new RunEngine(std::move(state)));
}

RunEngine::RunEngine(std::shared_ptr<State> state) : state_(std::move(state)) {}

RunEngine::~RunEngine() {
  Abandon();
  // Coroutines may own the state for longer; the executor that is watched need not be there by then.
  state_->watchdog.reset();
}

void RunEngine::SetChildRuns(ChildRuns* children) { state_->dependencies.execution.children = children; }

void RunEngine::Abandon() { state_->Close(); }

void RunEngine::ReleaseThreads() { state_->watchdog->Release(); }

std::vector<std::string> RunEngine::held_runs() const {
  absl::MutexLock lock(state_->mutex);
  return state_->held_runs;
}

const Instances& RunEngine::instances() const { return state_->instances; }

absl::Status RunEngine::Start() {
  std::vector<RunRecord> children;
  std::set<std::string> parents;
  RETURN_IF_ERROR(state_->store()->EachUnfinishedAcrossUsers([&](const RunRecord& run) {
    parents.insert(run.id);
    if (!run.parent.empty()) {
      children.push_back(Brief(run));
    }
    state_->Submit(run);
  }));
  for (const RunRecord& child : children) {
    if (!parents.contains(child.parent)) {
      // The process ended between the end of its parent and its own.
      state_->Spawn([](std::shared_ptr<State> state, RunRecord child) -> Awaitable<void> {
        co_await state->CancelOrphan(child);
      }(state_, child));
    }
  }
  return absl::OkStatus();
}

void RunEngine::Shutdown() {
  std::vector<std::shared_ptr<Execution>> executions = state_->Executions();
  for (const std::shared_ptr<Execution>& execution : executions) {
    execution->Drain();
  }
  const absl::Time limit = RealDeadline(kDrainLimit);
  for (const std::shared_ptr<Execution>& execution : executions) {
    execution->AwaitCalls(limit);
  }
  executions.clear();
  state_->Close();
}

void RunEngine::Submit(const RunRecord& run) { state_->Submit(run); }

void RunEngine::Cancel(const RunRecord& run) { state_->Cancel(run, state_->options.cancel_grace); }

void RunEngine::CancelAtOnce(const RunRecord& run) {
  state_->Cancel(run, std::min(state_->options.cancel_grace, kRevokedGrace));
}

void RunEngine::ApprovalDecided(std::string_view run) {
  std::shared_ptr<Execution> execution;
  {
    absl::MutexLock lock(state_->mutex);
    if (auto found = state_->active.find(std::string(run)); found != state_->active.end()) {
      execution = found->second.execution;
    }
  }
  if (execution != nullptr) {
    execution->Wake();
  }
}

void RunEngine::HoldChanged(std::string_view run) { state_->LookUp(std::string(run)); }

int RunEngine::waiting() const {
  absl::MutexLock lock(state_->mutex);
  return state_->queue.waiting();
}

int RunEngine::parked() const {
  absl::MutexLock lock(state_->mutex);
  return state_->parked;
}

int RunEngine::executing() const {
  absl::MutexLock lock(state_->mutex);
  return state_->working;
}

}  // namespace bulkhead::agent
