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

}  // namespace

// Shared with timers and coroutines, which may come late.
struct RunEngine::State : std::enable_shared_from_this<RunEngine::State> {
  // A run that has not ended.
  struct Active {
    RunRecord run;
    Clock::TimerId deadline_timer = 0;
    Clock::TimerId grace_timer = 0;               // Also that of a run that rests.
    absl::Time cut_off = absl::InfiniteFuture();  // When the grace is over.
    // Null while it waits, and while it is taken up.
    std::shared_ptr<Execution> execution;
    // Asked for while it was taken up.
    Execution::StopReason stop = Execution::StopReason::kNone;
    bool hold_changed = false;
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
      active[id].run = run;
    }
    const Clock::TimerId timer = CallAt(run.deadline, [id](State& state) { state.OnDeadline(id); });
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(id); found != active.end()) {
        found->second.deadline_timer = timer;
      }
    }
    Enqueue(run);
  }

  // Lets it have its turn. A child run needs none: it uses the place of its parent, which waits for it.
  void Enqueue(const RunRecord& run) {
    {
      absl::MutexLock lock(mutex);
      if (closed || !active.contains(run.id)) {
        return;
      }
      if (run.parent.empty()) {
        queue.Enqueue({.user = run.owner, .run = run.id});
      }
    }
    if (run.parent.empty()) {
      Pump();
    } else {
      Spawn(Execute(shared_from_this(), run));
    }
  }

  // Starts what may start.
  void Pump() {
    while (true) {
      RunRecord run;
      {
        absl::MutexLock lock(mutex);
        if (closed) {
          return;
        }
        std::optional<RunQueue::Entry> next = queue.Next();
        if (!next.has_value()) {
          return;
        }
        run = active[next->run].run;
      }
      Spawn(Execute(shared_from_this(), std::move(run)));
    }
  }

  // The run needs nothing of the engine any more. `ran`: it held a place among the running ones.
  void Forget(const RunRecord& run, bool ran) {
    Active gone;
    std::shared_ptr<Execution> parent;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(run.id);
      if (found == active.end()) {
        return;
      }
      gone = std::move(found->second);  // Destroyed below, without the lock.
      active.erase(found);
      if (ran && run.parent.empty()) {
        queue.Finished(run.owner);
      }
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
    if (ran) {
      Pump();
    }
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

  // The storage failed: the run is taken up again in a while, as after a crash. Its deadline and
  // cancellation hold meanwhile.
  void Rest(const RunRecord& run, bool ran) {
    std::shared_ptr<Execution> gone;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(run.id);
      if (closed || found == active.end()) {
        return;
      }
      gone = std::move(found->second.execution);
      found->second.cut_off = absl::InfiniteFuture();
      if (ran && run.parent.empty()) {
        queue.Finished(run.owner);
      }
    }
    const Clock::TimerId timer = CallAt(clock()->Now() + kRest, [run](State& state) { state.Enqueue(run); });
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(run.id); found != active.end()) {
        found->second.grace_timer = timer;
      }
    }
    Pump();
  }

  static Awaitable<void> Execute(std::shared_ptr<State> state, RunRecord run) {
    absl::StatusOr<TakenUp> taken = co_await state->store()->TakeUp(run.key, state->clock()->Now());
    if (!taken.ok()) {
      const std::string reason = ReasonOf(taken.status());
      if (reason == "RUN_ENDED" || reason == "RUN_NOT_FOUND") {
        state->Forget(run, /*ran=*/true);  // Cancelled or timed out in the last moment, or deleted.
      } else {
        ABSL_LOG(ERROR) << "run " << run.id << " cannot be taken up now: " << taken.status();
        state->Rest(run, /*ran=*/true);
      }
      co_return;
    }
    const Ownership ownership{.key = taken->run.key, .epoch = taken->run.epoch};
    std::string agent_version;
    std::unique_ptr<Agent> agent;
    std::shared_ptr<const RawToken> token;
    absl::Status prepared = state->Prepare(taken->run, agent_version, agent, token);
    if (!prepared.ok() || taken->run.state == RunState::kCancelling) {
      co_await state->EndUnstarted(
          ownership, run,
          prepared.code() == absl::StatusCode::kDeadlineExceeded ? RunState::kTimedOut : RunState::kFailed, prepared,
          /*ran=*/true);
      co_return;
    }

    auto execution = std::make_shared<Execution>(
        Execution::Options{.max_steps = state->options.max_steps_per_run, .agent_version = std::move(agent_version)},
        state->dependencies.execution, *std::move(taken), std::move(token),
        [weak = std::weak_ptr<State>(state), run](Execution::Release release) {
          if (std::shared_ptr<State> state = weak.lock()) {
            release == Execution::Release::kTakeUpAgain ? state->Rest(run, /*ran=*/true)
                                                        : state->Forget(run, /*ran=*/true);
          }
        });
    Execution::StopReason stop = Execution::StopReason::kNone;
    bool hold_changed = false;
    bool closed;
    {
      absl::MutexLock lock(state->mutex);
      closed = state->closed;
      if (auto found = state->active.find(run.id); found != state->active.end()) {
        found->second.execution = execution;
        stop = found->second.stop;
        hold_changed = std::exchange(found->second.hold_changed, false);
      }
    }
    if (closed) {
      execution->Abandon();
      co_return;
    }
    if (hold_changed) {
      execution->HoldChanged();
    }
    if (stop != Execution::StopReason::kNone) {
      state->Stop(run.id, stop, state->options.cancel_grace);
    }
    // One strand a run: its agent needs no locks, and its parallel branches are not parallel
    // threads.
    auto strand = boost::asio::make_strand(state->dependencies.executor->get());
    std::optional<Watchdog::Watched> watched;
    if (state->watchdog != nullptr) {
      watched = state->watchdog->Watch(strand, [weak = std::weak_ptr<State>(state), id = run.id] {
        if (std::shared_ptr<State> state = weak.lock()) {
          state->OnUnresponsive(id);
        }
      });
    }
    co_await boost::asio::co_spawn(strand, Execution::Main(std::move(execution), std::move(agent)),
                                   boost::asio::use_awaitable);
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
    return absl::OkStatus();
  }

  // Ends a run that does not execute.
  Awaitable<void> EndUnstarted(Ownership ownership, RunRecord run, RunState to, absl::Status why, bool ran) {
    auto self = shared_from_this();
    Ending ending{.state = to, .time = clock()->Now()};
    if (!why.ok()) {
      ending.error = RunError::Of(why);
    }
    absl::StatusOr<RunRecord> ended = co_await store()->End(ownership, std::move(ending));
    if (!ended.ok() && ReasonOf(ended.status()) != "RUN_FENCED") {
      ABSL_LOG(ERROR) << "run " << run.id << " could not be ended: " << ended.status();
      Rest(run, ran);
    } else {
      Forget(run, ran);
    }
  }

  // Its agent holds a thread: it cannot end by itself, and gets no grace.
  void OnUnresponsive(const std::string& id) {
    std::shared_ptr<Execution> execution;
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(id); found != active.end() && !closed) {
        execution = found->second.execution;
      }
    }
    if (execution != nullptr) {
      ABSL_LOG(ERROR) << "the agent of run " << id << " holds its thread without awaiting anything: the run is failed, "
                      << "the thread is lost until it does";
      execution->RequestStop(Execution::StopReason::kUnresponsive);
      Spawn(Execution::CutOff(std::move(execution)));
    }
  }

  void OnDeadline(const std::string& id) {
    RunRecord run;
    bool waited;
    {
      absl::MutexLock lock(mutex);
      auto found = active.find(id);
      if (found == active.end()) {
        return;
      }
      run = found->second.run;
      waited = queue.Remove(run.owner, id);
    }
    if (waited) {
      Spawn(EndUnstarted({.key = run.key, .epoch = 0}, run, RunState::kTimedOut, TimedOut(run),
                         /*ran=*/false));
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
    bool waited;
    {
      absl::MutexLock lock(mutex);
      waited = queue.Remove(run.owner, run.id);
    }
    if (IsTerminal(run.state)) {
      Forget(run, /*ran=*/false);
    } else if (waited) {
      Spawn(EndUnstarted({.key = run.key, .epoch = 0}, run, RunState::kFailed, absl::OkStatus(),
                         /*ran=*/false));
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
    auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return working == 0; };
    absl::MutexLock lock(mutex);
    if (!mutex.AwaitWithTimeout(absl::Condition(&idle), kCloseLimit)) {
      ABSL_LOG(ERROR) << working << " runs did not let go of their agents in time";
    }
  }

  const Options options;
  Dependencies dependencies;
  absl::Mutex mutex;
  bool closed ABSL_GUARDED_BY(mutex) = false;
  int working ABSL_GUARDED_BY(mutex) = 0;
  RunQueue queue ABSL_GUARDED_BY(mutex);
  std::map<std::string, Active> active ABSL_GUARDED_BY(mutex);
  std::unique_ptr<Watchdog> watchdog;  // Set once, before the first run; null when nobody watches.
};

std::unique_ptr<RunEngine> RunEngine::Create(Options options, Dependencies dependencies) {
  auto state = std::make_shared<State>(options, dependencies);
  if (options.unresponsive_after > absl::ZeroDuration()) {
    state->watchdog = std::make_unique<Watchdog>(options.unresponsive_after, dependencies.executor);
  }
  return std::unique_ptr<RunEngine>(new RunEngine(std::move(state)));
}

RunEngine::RunEngine(std::shared_ptr<State> state) : state_(std::move(state)) {}

RunEngine::~RunEngine() {
  Abandon();
  // Its threads may be the last that end coroutines which own the state: it is not theirs to destroy it.
  state_->watchdog.reset();
}

void RunEngine::SetChildRuns(ChildRuns* children) { state_->dependencies.execution.children = children; }

void RunEngine::Abandon() { state_->Close(); }

absl::Status RunEngine::Start() {
  ASSIGN_OR_RETURN(std::vector<RunRecord> unfinished, state_->store()->UnfinishedAcrossUsers());
  std::set<std::string> ids;
  for (const RunRecord& run : unfinished) {
    ids.insert(run.id);
    state_->Submit(run);
  }
  for (const RunRecord& run : unfinished) {
    if (!run.parent.empty() && !ids.contains(run.parent)) {
      // The process ended between the end of its parent and its own.
      state_->Spawn([](std::shared_ptr<State> state, RunRecord child) -> Awaitable<void> {
        co_await state->CancelOrphan(child);
      }(state_, run));
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

void RunEngine::HoldChanged(std::string_view run) {
  std::shared_ptr<Execution> execution;
  {
    absl::MutexLock lock(state_->mutex);
    auto found = state_->active.find(std::string(run));
    if (found == state_->active.end()) {
      return;
    }
    execution = found->second.execution;
    found->second.hold_changed =
        execution == nullptr;  // It may have been read from the store by now, as it was before.
  }
  if (execution != nullptr) {
    execution->HoldChanged();
  }
}

int RunEngine::waiting() const {
  absl::MutexLock lock(state_->mutex);
  return state_->queue.waiting();
}

int RunEngine::executing() const {
  absl::MutexLock lock(state_->mutex);
  return state_->working;
}

}  // namespace bulkhead::agent
