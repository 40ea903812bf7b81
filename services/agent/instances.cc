#include "services/agent/instances.h"

#include <list>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::agent {

struct Instances::State {
  mutable absl::Mutex mutex;
  std::list<std::string> runs ABSL_GUARDED_BY(mutex);
};

namespace {

class Counted final : public Agent {
 public:
  Counted(std::unique_ptr<Agent> agent, std::shared_ptr<void> token)
      : token_(std::move(token)), agent_(std::move(agent)) {}

  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const nlohmann::json& input) override {
    return agent_->Run(run, input);
  }

 private:
  const std::shared_ptr<void> token_;  // Goes after the agent.
  const std::unique_ptr<Agent> agent_;
};

}  // namespace

Instances::Instances() : state_(std::make_shared<State>()) {}

std::unique_ptr<Agent> Instances::Count(std::unique_ptr<Agent> agent, std::string run) const {
  std::list<std::string>::iterator place;
  {
    absl::MutexLock lock(state_->mutex);
    place = state_->runs.insert(state_->runs.end(), std::move(run));
  }
  std::shared_ptr<void> token(nullptr, [state = state_, place](void*) {
    absl::MutexLock lock(state->mutex);
    state->runs.erase(place);
  });
  return std::make_unique<Counted>(std::move(agent), std::move(token));
}

int Instances::live() const {
  absl::MutexLock lock(state_->mutex);
  return static_cast<int>(state_->runs.size());
}

std::vector<std::string> Instances::runs() const {
  absl::MutexLock lock(state_->mutex);
  return {state_->runs.begin(), state_->runs.end()};
}

}  // namespace bulkhead::agent
