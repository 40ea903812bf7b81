#include "services/agent/models/call_gate.h"

#include <algorithm>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::agent {

CallGate::Permit::~Permit() {
  if (gate_ != nullptr) {
    gate_->Release();
  }
}

std::shared_ptr<CallGate> CallGate::Create(int places, Clock* clock) {
  return absl::WrapUnique(new CallGate(places, clock));
}

Awaitable<absl::StatusOr<CallGate::Permit>> CallGate::Enter(std::string user, absl::Time deadline,
                                                            std::stop_token stop) {
  const std::shared_ptr<CallGate> self = shared_from_this();
  const std::shared_ptr<Waiter> waiter = Queue(user);
  if (waiter == nullptr) {
    co_return Permit(self);
  }
  const std::stop_callback on_stop(stop, [waiter] { waiter->woken.request_stop(); });
  // However the wait ends, the queue says what came of it.
  const absl::Status waited = co_await SleepUntil(clock_, deadline, waiter->woken.get_token());
  static_cast<void>(waited);
  if (!Leave(user, waiter)) {
    co_return Permit(self);  // Also when it was stopped at the same time: whoever holds it gives it back.
  }
  co_return stop.stop_requested() ? absl::CancelledError() : absl::DeadlineExceededError("");
}

std::shared_ptr<CallGate::Waiter> CallGate::Queue(const std::string& user) {
  absl::MutexLock lock(mutex_);
  if (free_ > 0) {
    --free_;
    return nullptr;
  }
  std::deque<std::shared_ptr<Waiter>>& queue = waiting_[user];
  if (queue.empty()) {
    turns_.push_back(user);
  }
  return queue.emplace_back(std::make_shared<Waiter>());
}

bool CallGate::Leave(const std::string& user, const std::shared_ptr<Waiter>& waiter) {
  absl::MutexLock lock(mutex_);
  if (waiter->let_in) {
    return false;
  }
  std::deque<std::shared_ptr<Waiter>>& queue = waiting_[user];
  std::erase(queue, waiter);
  if (queue.empty()) {
    waiting_.erase(user);
    turns_.remove(user);
  }
  return true;
}

void CallGate::Release() {
  std::shared_ptr<Waiter> next;
  {
    absl::MutexLock lock(mutex_);
    if (turns_.empty()) {
      ++free_;
      return;
    }
    const std::string user = turns_.front();
    turns_.pop_front();
    const auto queue = waiting_.find(user);
    next = queue->second.front();
    queue->second.pop_front();
    next->let_in = true;
    if (queue->second.empty()) {
      waiting_.erase(queue);
    } else {
      turns_.push_back(user);
    }
  }
  next->woken.request_stop();
}

int CallGate::waiting() const {
  absl::MutexLock lock(mutex_);
  int count = 0;
  for (const auto& [user, queue] : waiting_) {
    count += static_cast<int>(queue.size());
  }
  return count;
}

}  // namespace bulkhead::agent
