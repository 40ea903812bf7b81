// What has been revoked, as one service knows it, and the work that must end when more is.
#ifndef SERVICES_COMMON_RPC_REVOCATION_SET_H_
#define SERVICES_COMMON_RPC_REVOCATION_SET_H_

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/identity/token.h"
#include "services/common/identity/user_context.h"
#include "services/common/time/clock.h"

namespace bulkhead::rpc {

// One end: of a session, or of a signing key.
struct Revocation {
  std::string session;  // users/{user}/sessions/{session}; "" for a key's.
  std::string key;      // A key id; "" for a session's.
  std::string reason;   // Why, as "SESSION_REVOKED", "USER_DISABLED", "KEY_REVOKED".
  // From then on no token can exist that falls under it.
  absl::Time expires_at = absl::InfiniteFuture();
};

// Whether `revocation` ends tokens with these claims.
bool FallsUnder(const TokenClaims& claims, const Revocation& revocation);

// Filled by a RevocationFeed, or in the auth service by its own log. Keeps one entry for each revocation until its `expires_at`, which is days
// away: what bounds it is how much can be revoked in these. Thread-safe.
class RevocationSet {
 public:
  explicit RevocationSet(const Clock* clock) : clock_(clock) {}
  RevocationSet(const RevocationSet&) = delete;
  RevocationSet& operator=(const RevocationSet&) = delete;

  // UNAUTHENTICATED `SESSION_REVOKED` or `TOKEN_KEY_REVOKED` (metadata `cause`: the revocation's reason) for claims that fall under something here.
  absl::Status Check(const TokenClaims& claims) const;
  absl::Status CheckKey(std::string_view key_id) const;
  // The revocation that these claims fall under; one with neither session nor key when there is none.
  Revocation Find(const TokenClaims& claims) const;

  // Work that is done under a token. Ends the watch when it dies; a call of the function that has begun goes on, so the function owns what it uses.
  class Watch {
   public:
    Watch() = default;
    ~Watch();
    Watch(Watch&& other) noexcept : set_(std::exchange(other.set_, nullptr)), place_(other.place_) {}
    Watch& operator=(Watch&& other) noexcept;

   private:
    friend class RevocationSet;
    struct Entry {
      UserContext user;
      std::shared_ptr<std::function<void()>> on_revoked;
    };
    Watch(RevocationSet* set, std::list<Entry>::iterator place) : set_(set), place_(place) {}

    RevocationSet* set_ = nullptr;
    std::list<Entry>::iterator place_;
  };
  // Calls `on_revoked` as soon as the user's token falls under a revocation: at once when it does already, perhaps more than once. On the thread of Add; short.
  [[nodiscard]] Watch WatchToken(const UserContext& user, std::function<void()> on_revoked);

  // Calls `listener` with each revocation that is new, after it counts for Check, in order; not with those that are known already (`known`
  // returns them). It stays for the life of the set.
  void Subscribe(std::function<void(const Revocation&)> listener);
  // All that count now.
  std::vector<Revocation> Known() const;

  // Takes note of it; one that is known already changes nothing. One thread at a time.
  void Add(const Revocation& revocation);

  size_t size() const;

 private:
  void Forget(std::list<Watch::Entry>::iterator place);
  void Prune(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Revocation* FindLocked(const TokenClaims& claims) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const Clock* const clock_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Revocation> sessions_ ABSL_GUARDED_BY(mutex_);  // By name.
  absl::flat_hash_map<std::string, Revocation> keys_ ABSL_GUARDED_BY(mutex_);      // By key id.
  std::multimap<absl::Time, std::string> expiries_ ABSL_GUARDED_BY(mutex_);        // Names of sessions.
  std::list<Watch::Entry> watches_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<std::function<void(const Revocation&)>>> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_REVOCATION_SET_H_
