#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/agent/run_engine_state.h"

namespace bulkhead::agent {

void RunEngine::State::PutAway() {
  while (true) {
    Known run;
    Waits waits;
    std::shared_ptr<Execution> execution;
    {
      absl::MutexLock lock(mutex);
      if (closed || waiting_in_memory.size() <= options.max_waiting_in_memory) {
        return;
      }
      // The one that will be missed last.
      const auto last = std::prev(waiting_in_memory.end());
      Active& away = active.at(last->second);
      waiting_in_memory.erase(last);
      run = away.run;
      waits = std::exchange(away.waits, {});
      execution = std::move(away.execution);
      away.woken = Woken{.asked = !waits.questions.empty()};
      away.put_away = true;
      ++put_away;
    }
    execution->PutAway();
    execution.reset();
    Clock::TimerId timer = CallAt(waits.until, [id = run.id](State& state) { state.Wake(id); });
    {
      absl::MutexLock lock(mutex);
      if (auto found = active.find(run.id); found != active.end() && found->second.put_away) {
        std::swap(found->second.timer, timer);
      }
    }
    clock()->Cancel(timer);
    // Who decided a moment ago told the execution that is gone, but the store first.
    if (!StillWaits(run.key, waits)) {
      Wake(run.id);
    }
  }
}

void RunEngine::State::Wake(const std::string& id) {
  Clock::TimerId timer = 0;
  {
    absl::MutexLock lock(mutex);
    auto found = active.find(id);
    if (closed || found == active.end() || !found->second.put_away) {
      return;
    }
    found->second.woken->at = clock()->Now();
    timer = std::exchange(found->second.timer, 0);
    SetParked(found->second, false);
  }
  clock()->Cancel(timer);
  LookUp(id);
}

bool RunEngine::State::StillWaits(int64_t key, const Waits& waits) const {
  for (const std::string& question : waits.questions) {
    const absl::StatusOr<std::optional<ApprovalRecord>> asked = store()->FindApproval(key, question);
    if (!asked.ok() || !asked->has_value() || (*asked)->verdict != ApprovalRecord::Verdict::kPending) {
      return false;
    }
  }
  return true;
}

}  // namespace bulkhead::agent
