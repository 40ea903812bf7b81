// How many WebSockets and event streams each user has open, and the limit.
#ifndef SERVICES_GATEWAY_SOCKET_REGISTRY_H_
#define SERVICES_GATEWAY_SOCKET_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::gateway {

// Thread-safe. Outlives its entries.
class SocketRegistry {
 public:
  explicit SocketRegistry(int max_per_user) : max_per_user_(max_per_user) {}

  // A place of one connection, given back when it dies.
  class Entry {
   public:
    Entry(SocketRegistry* registry, std::string user) : registry_(registry), user_(std::move(user)) {}
    ~Entry() { registry_->Remove(user_); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    SocketRegistry* const registry_;
    const std::string user_;
  };

  // Null when the user has as many as he may.
  std::unique_ptr<Entry> Add(std::string user) {
    absl::MutexLock lock(mutex_);
    int& open = users_[user];
    if (open >= max_per_user_) {
      return nullptr;
    }
    ++open;
    return std::make_unique<Entry>(this, std::move(user));
  }

 private:
  void Remove(const std::string& user) {
    absl::MutexLock lock(mutex_);
    auto found = users_.find(user);
    if (--found->second == 0) {
      users_.erase(found);
    }
  }

  const int max_per_user_;
  absl::Mutex mutex_;
  std::map<std::string, int> users_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_SOCKET_REGISTRY_H_
