// How many calls go on at once, and whose is next.
#ifndef SERVICES_AGENT_MODELS_CALL_GATE_H_
#define SERVICES_AGENT_MODELS_CALL_GATE_H_

#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// Lets `places` callers in; users who wait take turns, the callers of one in the order they came. Thread-safe.
class CallGate : public std::enable_shared_from_this<CallGate> {
 public:
  // A place, until it dies.
  class Permit {
   public:
    explicit Permit(std::shared_ptr<CallGate> gate) : gate_(std::move(gate)) {}
    Permit(Permit&&) noexcept = default;
    Permit& operator=(Permit&&) = delete;
    ~Permit();

   private:
    std::shared_ptr<CallGate> gate_;
  };

  static std::shared_ptr<CallGate> Create(int places, Clock* clock);

  // Waits for a place until `deadline` of the clock. CANCELLED, DEADLINE_EXCEEDED: both without a reason, for the caller knows what it waits for.
  Awaitable<absl::StatusOr<Permit>> Enter(std::string user, absl::Time deadline, std::stop_token stop);

  int waiting() const;

 private:
  struct Waiter {
    std::stop_source woken;
    bool let_in = false;  // Under the gate's mutex.
  };
  CallGate(int places, Clock* clock) : clock_(clock), free_(places) {}

  // Queues for `user`, or takes a place at once and returns null.
  std::shared_ptr<Waiter> Queue(const std::string& user);
  // Takes a waiter out; false when it has been let in.
  bool Leave(const std::string& user, const std::shared_ptr<Waiter>& waiter);
  void Release();

  Clock* const clock_;
  mutable absl::Mutex mutex_;
  int free_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::deque<std::shared_ptr<Waiter>>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::list<std::string> turns_ ABSL_GUARDED_BY(mutex_);  // Users who wait; the first one's turn is next.
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_CALL_GATE_H_
