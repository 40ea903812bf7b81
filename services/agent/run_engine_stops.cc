#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/absl_log.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "services/agent/run_engine_state.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {

absl::Status TimedOut(const std::string& run, absl::Time deadline) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "the time of the run is over",
                   {.domain = "bulkhead.agent",
                    .reason = "RUN_TIMED_OUT",
                    .metadata = {{"run", run}, {"deadline", absl::FormatTime(deadline, absl::UTCTimeZone())}}});
}

void RunEngine::State::OnDeadline(const std::string& id) {
  Stop(id, Execution::StopReason::kTimedOut, options.cancel_grace);
}

void RunEngine::State::Cancel(const RunRecord& run, absl::Duration grace) {
  IsTerminal(run.state) ? Forget(KnownOf(run)) : Stop(run.id, Execution::StopReason::kCancelled, grace);
}

void RunEngine::State::Stop(const std::string& id, Execution::StopReason reason, absl::Duration grace) {
  std::shared_ptr<Execution> execution;
  Known run;
  {
    absl::MutexLock lock(mutex);
    auto found = active.find(id);
    if (found == active.end()) {
      return;
    }
    if (found->second.stop == Execution::StopReason::kNone) {
      found->second.stop = reason;
    }
    if (found->second.taking_up) {
      return;
    }
    execution = found->second.execution;
    if (execution == nullptr) {
      LeaveTurn(found->second);  // It gets none any more.
      run = found->second.run;
    } else {
      // The agent hears of it, and may end by itself: it is not put away.
      waiting_in_memory.erase({found->second.waits.until, id});
    }
  }
  if (execution == nullptr) {
    const bool late = reason == Execution::StopReason::kTimedOut;
    Spawn(EndUnstarted({.key = run.key, .epoch = 0}, run, late ? RunState::kTimedOut : RunState::kFailed,
                       late ? TimedOut(run.id, run.deadline) : absl::OkStatus()));
    return;
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
      std::swap(found->second.timer, timer);
    }
  }
  clock()->Cancel(timer);
}

void RunEngine::State::OnUnresponsive(const std::string& id, const Watchdog::Report& report) {
  ABSL_LOG(ERROR) << "the agent of run " << id << " holds its thread without awaiting anything: the run is failed, "
                  << "the thread is lost until it does. The memory of the process has grown by "
                  << report.grown_bytes / (1 << 20) << " MiB meanwhile";
  CutOffAtOnce(id, Execution::StopReason::kUnresponsive);
}

void RunEngine::State::OnMemoryExceeded(const std::string& id) {
  ABSL_LOG(ERROR) << "the agent of run " << id << " holds more than the " << options.max_heap_bytes_per_run / (1 << 20)
                  << " MiB of memory that it may: the run is failed";
  CutOffAtOnce(id, Execution::StopReason::kMemoryExceeded);
}

void RunEngine::State::CutOffAtOnce(const std::string& id, Execution::StopReason reason) {
  std::shared_ptr<Execution> execution;
  {
    absl::MutexLock lock(mutex);
    if (auto found = active.find(id); found != active.end() && !closed) {
      execution = found->second.execution;
      found->second.holds_thread |= reason == Execution::StopReason::kUnresponsive && execution != nullptr;
    }
  }
  if (execution != nullptr) {
    execution->RequestStop(reason);
    Spawn(Execution::CutOff(std::move(execution)));
  }
}

Awaitable<void> RunEngine::State::CancelChildren(std::shared_ptr<State> state, Known run) {
  if (absl::StatusOr<RunRecord> now = state->store()->For(run.owner).Get(run.id); now.ok() && !IsTerminal(now->state)) {
    co_return;  // Another owner has it.
  }
  absl::StatusOr<std::vector<RunRecord>> children = state->store()->UnfinishedChildrenAcrossUsers(run.id);
  if (!children.ok()) {
    ABSL_LOG(ERROR) << "the child runs of " << run.id << " could not be read: " << children.status();
    co_return;
  }
  for (const RunRecord& child : *children) {
    co_await CancelOrphan(state, child.owner, child.id, child.parent);
  }
}

Awaitable<void> RunEngine::State::CancelOrphan(std::shared_ptr<State> state, std::string owner, std::string id,
                                               std::string parent) {
  if (ChildRuns* children = state->dependencies.execution.children; children != nullptr) {
    co_await children->CancelChild(owner, id, absl::StrCat("the run that started it has ended: ", parent));
  }
}

}  // namespace bulkhead::agent
