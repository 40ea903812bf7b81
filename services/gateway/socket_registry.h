// Which WebSockets are open: the limit a user, and closing those of a session that has ended.
#ifndef SERVICES_GATEWAY_SOCKET_REGISTRY_H_
#define SERVICES_GATEWAY_SOCKET_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "services/common/identity/token.h"

namespace bulkhead::gateway {

// Thread-safe. Outlives its entries.
class SocketRegistry {
 public:
  explicit SocketRegistry(int max_per_user) : max_per_user_(max_per_user) {}

  // A place of one socket, given back when it dies.
  class Entry {
   public:
    Entry(SocketRegistry* registry, std::string user, std::string session, std::shared_ptr<const RawToken> token)
        : registry_(registry), user_(std::move(user)), session_(std::move(session)), token_(std::move(token)) {}
    ~Entry() { registry_->Remove(this); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // Called, on any thread, when the session has been revoked. To be set once.
    void OnRevoked(absl::AnyInvocable<void()> close) {
      absl::MutexLock lock(registry_->mutex_);
      close_ = std::move(close);
    }

   private:
    friend class SocketRegistry;
    SocketRegistry* const registry_;
    const std::string user_;
    const std::string session_;
    const std::shared_ptr<const RawToken> token_;
    absl::AnyInvocable<void()> close_;
  };

  // Null when the user has as many as he may.
  std::unique_ptr<Entry> Add(std::string user, std::string session, std::shared_ptr<const RawToken> token) {
    absl::MutexLock lock(mutex_);
    std::vector<Entry*>& mine = users_[user];
    if (mine.size() >= static_cast<size_t>(max_per_user_)) {
      return nullptr;
    }
    auto entry = std::make_unique<Entry>(this, std::move(user), std::move(session), std::move(token));
    mine.push_back(entry.get());
    return entry;
  }

  // Closes the user's sockets whose session has been revoked.
  void Revoke(const std::string& user, absl::FunctionRef<bool(std::string_view session)> revoked) {
    absl::MutexLock lock(mutex_);
    auto found = users_.find(user);
    if (found == users_.end()) {
      return;
    }
    for (Entry* entry : found->second) {
      if (entry->close_ && revoked(entry->session_)) {
        entry->close_();  // Only posts.
      }
    }
  }

  // A session with open sockets, and a token of it.
  struct Session {
    std::string user;
    std::string id;
    std::shared_ptr<const RawToken> token;
  };
  std::vector<Session> Sessions() const {
    std::map<std::string_view, Session> sessions;
    absl::MutexLock lock(mutex_);
    for (const auto& [user, entries] : users_) {
      for (const Entry* entry : entries) {
        sessions.try_emplace(entry->session_, Session{.user = user, .id = entry->session_, .token = entry->token_});
      }
    }
    std::vector<Session> result;
    for (auto& [id, session] : sessions) {
      result.push_back(std::move(session));
    }
    return result;
  }

 private:
  void Remove(Entry* entry) {
    absl::MutexLock lock(mutex_);
    auto found = users_.find(entry->user_);
    std::erase(found->second, entry);
    if (found->second.empty()) {
      users_.erase(found);
    }
  }

  const int max_per_user_;
  mutable absl::Mutex mutex_;
  std::map<std::string, std::vector<Entry*>> users_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_SOCKET_REGISTRY_H_
