#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/absl_log.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/agent/run_engine_state.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {

void RunEngine::State::Submit(const RunRecord& run) {
  const std::string id = run.id;
  {
    absl::MutexLock lock(mutex);
    if (closed || active.contains(id)) {
      return;
    }
    active[id].run = KnownOf(run);
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

void RunEngine::State::Enqueue(const std::string& id) {
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
      RunQueue::Entry entry{.user = run.run.owner, .run = id, .weight = run.run.weight};
      const bool resumes = run.execution != nullptr || run.woken.has_value();
      resumes ? queue.EnqueueResuming(std::move(entry)) : queue.Enqueue(std::move(entry));
    }
  }
  queued ? Pump() : GoOn(id);
}

void RunEngine::State::Pump() {
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

void RunEngine::State::GoOn(const std::string& id) {
  std::unique_ptr<const Known> run;
  std::optional<Woken> woken;
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
      run = std::make_unique<const Known>(found->second.run);
      woken = std::exchange(found->second.woken, std::nullopt);
    }
  }
  if (execution != nullptr) {
    execution->SetHeld(false, hold);
  } else {
    Spawn(Execute(shared_from_this(), std::move(run), woken));
  }
}

bool RunEngine::State::LeaveTurn(Active& run) {
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

void RunEngine::State::Leave(const Execution& execution, Waits waits) {
  const std::string& id = execution.run_id();
  std::shared_ptr<Execution> leaving;
  uint64_t hold = 0;
  bool freed = false;
  bool too_many = false;
  {
    absl::MutexLock lock(mutex);
    auto found = active.find(id);
    if (closed || found == active.end() || found->second.execution.get() != &execution) {
      return;
    }
    Active& run = found->second;
    SetParked(run, true);
    run.waits = std::move(waits);
    if (run.stop == Execution::StopReason::kNone) {
      waiting_in_memory.emplace(run.waits.until, id);
      too_many = waiting_in_memory.size() > options.max_waiting_in_memory;
    }
    freed = LeaveTurn(run);
    leaving = run.execution;
    hold = ++run.holds;
  }
  leaving->SetHeld(true, hold);
  if (freed) {
    Pump();
  }
  if (too_many) {
    // Not on the agent's own stack.
    dependencies.executor->Post([state = shared_from_this()] { state->PutAway(); });
  }
}

void RunEngine::State::Return(const Execution& execution) {
  const std::string& id = execution.run_id();
  {
    absl::MutexLock lock(mutex);
    auto found = active.find(id);
    if (found == active.end() || found->second.execution.get() != &execution) {
      return;
    }
    SetParked(found->second, false);
  }
  LookUp(id);
}

void RunEngine::State::SetParked(Active& run, bool is) {
  parked += static_cast<int>(is) - static_cast<int>(run.parked);
  run.parked = is;
  if (!is) {
    waiting_in_memory.erase({run.waits.until, run.run.id});
    run.waits = {};
    put_away -= static_cast<int>(std::exchange(run.put_away, false));
  }
}

void RunEngine::State::LookUp(const std::string& id) {
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

void RunEngine::State::LookUpThread(const Known& run) {
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

void RunEngine::State::Forget(const Known& run) {
  Active gone;
  std::shared_ptr<Execution> parent;
  bool freed = false;
  {
    absl::MutexLock lock(mutex);
    auto found = active.find(run.id);
    if (found == active.end()) {
      return;
    }
    Active& ended = found->second;
    if (ended.holds_thread && ended.turn == Turn::kHas && ended.presence->here && ended.run.parent.empty()) {
      // Its agent goes on without it. Another run in its place might hold a thread too, and so on until there are none.
      ended.presence->owes = ended.run.owner;
    } else {
      freed = LeaveTurn(ended);
    }
    SetParked(ended, false);
    gone = std::move(ended);  // Destroyed below, without the lock.
    active.erase(found);
    if (auto above = active.find(run.parent); above != active.end()) {
      parent = above->second.execution;
    }
  }
  clock()->Cancel(gone.deadline_timer);
  clock()->Cancel(gone.timer);
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

void RunEngine::State::Left(Presence& presence) {
  {
    absl::MutexLock lock(mutex);
    presence.here = false;
    if (presence.owes.empty()) {
      return;
    }
    queue.Finished(presence.owes);
  }
  Pump();
}

void RunEngine::State::Released(const std::string& id, Execution::Release release) {
  Known run;
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

void RunEngine::State::Rest(const Known& run) {
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
    found->second.stop = Execution::StopReason::kNone;  // The store knows what it was.
    SetParked(found->second, false);
    LeaveTurn(found->second);
  }
  const Clock::TimerId timer = CallAt(clock()->Now() + kRest, [id = run.id](State& state) { state.LookUp(id); });
  {
    absl::MutexLock lock(mutex);
    if (auto found = active.find(run.id); found != active.end()) {
      found->second.timer = timer;
    }
  }
  Pump();
}

}  // namespace bulkhead::agent
