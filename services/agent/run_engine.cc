#include "services/agent/run_engine.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/log/absl_log.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "services/agent/run_engine_state.h"
#include "services/common/runtime/executor.h"
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

}  // namespace

RunEngine::State::Working::Working(std::shared_ptr<State> state) : state_(std::move(state)) {
  absl::MutexLock lock(state_->mutex);
  ++state_->working;
}

RunEngine::State::Working::~Working() {
  if (state_ != nullptr) {
    absl::MutexLock lock(state_->mutex);
    --state_->working;
  }
}

void RunEngine::State::Spawn(Awaitable<void> coroutine) {
  dependencies.executor->Spawn([](Working, Awaitable<void> coroutine) -> Awaitable<void> {
    co_await std::move(coroutine);
  }(Working(shared_from_this()), std::move(coroutine)));
}

Clock::TimerId RunEngine::State::CallAt(absl::Time when, std::function<void(State&)> callback) {
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

bool RunEngine::State::is_closed() {
  absl::MutexLock lock(mutex);
  return closed;
}

RunEngine::State::Known RunEngine::State::KnownOf(const RunRecord& run) const {
  Known known{.key = run.key,
              .id = run.id,
              .owner = run.owner,
              .parent = run.parent,
              .thread = run.thread,
              .deadline = run.deadline};
  // His roles are those that he had when he made the run, also after a restart.
  for (std::string_view role : absl::StrSplit(run.roles, ' ', absl::SkipEmpty())) {
    if (auto found = options.role_weights.find(role); found != options.role_weights.end()) {
      known.weight = std::max(known.weight, found->second);
    }
  }
  return known;
}

std::vector<std::shared_ptr<Execution>> RunEngine::State::Executions() {
  std::vector<std::shared_ptr<Execution>> executions;
  absl::MutexLock lock(mutex);
  for (auto& [id, run] : active) {
    if (run.execution != nullptr) {
      executions.push_back(run.execution);
    }
  }
  return executions;
}

void RunEngine::State::Close() {
  std::map<std::string, Active> let_go;
  {
    absl::MutexLock lock(mutex);
    if (closed) {
      return;
    }
    closed = true;
    let_go.swap(active);
    waiting_in_memory.clear();
  }
  for (auto& [id, run] : let_go) {
    clock()->Cancel(run.deadline_timer);
    clock()->Cancel(run.timer);
    if (run.execution != nullptr) {
      run.execution->Abandon();
    }
  }
  let_go.clear();
  watchdog->Release();
  AwaitIdle();
}

void RunEngine::State::AwaitIdle() {
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
  std::vector<State::Known> children;
  std::set<std::string> parents;
  RETURN_IF_ERROR(state_->store()->EachUnfinishedAcrossUsers([&](const RunRecord& run) {
    parents.insert(run.id);
    if (!run.parent.empty()) {
      children.push_back(state_->KnownOf(run));
    }
    state_->Submit(run);
  }));
  for (const State::Known& child : children) {
    if (!parents.contains(child.parent)) {
      // The process ended between the end of its parent and its own.
      state_->Spawn(State::CancelOrphan(state_, child.owner, child.id, child.parent));
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
  const std::string id(run);
  std::shared_ptr<Execution> execution;
  {
    absl::MutexLock lock(state_->mutex);
    if (auto found = state_->active.find(id); found != state_->active.end()) {
      execution = found->second.execution;
    }
  }
  if (execution != nullptr) {
    execution->Wake();
  } else {
    state_->Wake(id);
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

int RunEngine::put_away() const {
  absl::MutexLock lock(state_->mutex);
  return state_->put_away;
}

int RunEngine::executing() const {
  absl::MutexLock lock(state_->mutex);
  return state_->working;
}

}  // namespace bulkhead::agent
