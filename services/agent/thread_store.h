// The threads of the agent service's own data. The runs in them are RunStore's.
#ifndef SERVICES_AGENT_THREAD_STORE_H_
#define SERVICES_AGENT_THREAD_STORE_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/agent/thread_record.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::storage {
class Database;
}  // namespace bulkhead::storage

namespace bulkhead::agent {

// What of a thread shall change.
struct ThreadChange {
  std::optional<std::string> title;
  std::optional<BusyPolicy> busy_policy;
};

// Thread-safe. Errors: those of storage, and as named below with domain bulkhead.agent.
class ThreadStore {
 public:
  // `database` outlives the store.
  explicit ThreadStore(storage::Database* database) : database_(database) {}

  // What one user may see and do. Copyable.
  class Scoped {
   public:
    // NOT_FOUND `THREAD_NOT_FOUND`, also for another user's.
    absl::StatusOr<ThreadRecord> Get(std::string_view id) const;
    // Newest first, those of one time by id; those after the place of a thread with this time and id (the infinite
    // future: all), one more than `limit` at most.
    absl::StatusOr<std::vector<ThreadRecord>> List(absl::Time time, std::string_view id, int limit) const;
    // A thread with the same request id ("": none) is returned in its place. RESOURCE_EXHAUSTED `THREAD_QUOTA_EXCEEDED`
    // when the owner has `max_threads`.
    Awaitable<absl::StatusOr<ThreadRecord>> Create(ThreadRecord thread, std::string request_id, int max_threads) const;
    // NOT_FOUND `THREAD_NOT_FOUND`.
    Awaitable<absl::StatusOr<ThreadRecord>> Update(std::string id, ThreadChange change) const;
    // Its runs stay, without a thread. NOT_FOUND `THREAD_NOT_FOUND`; FAILED_PRECONDITION `THREAD_BUSY` while one of them
    // has not ended.
    Awaitable<absl::Status> Delete(std::string id) const;

   private:
    friend class ThreadStore;
    Scoped(storage::Database* database, std::string owner) : database_(database), owner_(std::move(owner)) {}
    storage::Database* database_;
    std::string owner_;
  };
  Scoped For(std::string owner) const { return Scoped(database_, std::move(owner)); }

 private:
  storage::Database* const database_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_THREAD_STORE_H_
