// What has been revoked: the table, and the tail that others follow.
#ifndef SERVICES_AUTH_REVOCATION_LOG_H_
#define SERVICES_AUTH_REVOCATION_LOG_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// One row.
struct RevocationRecord {
  uint64_t sequence = 0;  // Grows; with gaps.
  absl::Time time;
  rpc::Revocation revocation;
};

// Thread-safe. Rows are kept as long as a token can exist that falls under them, and pruned as others are added.
class RevocationLog : public std::enable_shared_from_this<RevocationLog> {
 public:
  // `lifetime`: the longest that a token may live, and be accepted. Both pointers outlive the log; `database` has the tables of schema.h.
  static absl::StatusOr<std::shared_ptr<RevocationLog>> Open(absl::Duration lifetime, storage::Database* database,
                                                             const Clock* clock);

  // Within the caller's transaction, so that a revocation and what it ends become durable together or not at all; who follows hears of it right
  // after the commit. `reason`: "SESSION_REVOKED", "USER_DISABLED", "USER_DELETED", "PASSWORD_CHANGED", "REFRESH_TOKEN_REUSED", "KEY_REVOKED".
  absl::Status AppendSession(storage::Connection& connection, std::string_view user, std::string_view session,
                             std::string_view reason);
  absl::Status AppendKey(storage::Connection& connection, std::string_view key_id, std::string_view reason);

  absl::Time Now() const { return clock_->Now(); }

  // Oldest first, at most `limit`, of those that still count.
  absl::StatusOr<std::vector<RevocationRecord>> List(uint64_t after, int limit) const;
  // Takes what was committed since into the set, and wakes who waits. Called by itself after each append; again where that may have failed.
  void Follow();

  // Of the last one, 0 when there was none.
  uint64_t last() const;

  // Requested when something was appended since this was called, or at Close.
  std::stop_token NextChange();
  // Ends what follows: NextChange is requested from now on.
  void Close();
  bool closed() const;

  // All of it, for the calls of the auth service itself.
  rpc::RevocationSet& set() { return set_; }

 private:
  RevocationLog(absl::Duration lifetime, storage::Database* database, const Clock* clock)
      : lifetime_(lifetime), database_(database), clock_(clock), set_(clock) {}

  absl::Status Append(storage::Connection& connection, std::string_view session, std::string_view key,
                      std::string_view reason);
  void Wake();

  const absl::Duration lifetime_;
  storage::Database* const database_;
  const Clock* const clock_;
  rpc::RevocationSet set_;

  absl::Mutex follow_mutex_;  // One reader at a time, so that the set gets them in order.
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(follow_mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::stop_source change_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_REVOCATION_LOG_H_
