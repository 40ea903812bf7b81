// Slows down whoever guesses passwords.
#ifndef SERVICES_AUTH_SIGN_IN_THROTTLE_H_
#define SERVICES_AUTH_SIGN_IN_THROTTLE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// Counts failed attempts by login and by address. After the free ones each further failure doubles
// the pause before the next attempt, up to a limit: there is no lock that only an administrator
// opens, since anybody could lock anybody out with it. An attempt counts as failed from its
// beginning, so that many at once do not slip through. Thread-safe.
//
// What counts is in memory; the table `sign_in_failures` of schema.h brings it through a restart.
// It has hashes of logins and addresses, and no more rows than `capacity` and the attempts of a moment.
class SignInThrottle {
 public:
  struct Options {
    int free_failures_by_login = 5;
    int free_failures_by_address = 50;  // Many people may share one.
    absl::Duration first_pause = absl::Seconds(1);
    absl::Duration longest_pause = absl::Minutes(15);
    absl::Duration forget_after = absl::Hours(1);  // Without a failure.
    size_t capacity = 100'000;                     // Logins and addresses remembered; the stalest go first.
  };

  // `clock` outlives the throttle.
  SignInThrottle(Options options, const Clock* clock);

  // Takes up what was saved before. The errors of the database.
  absl::Status Restore(storage::Database& database);

  // RESOURCE_EXHAUSTED `SIGN_IN_THROTTLED`, with the time to wait, when login or address must
  // pause; a refused attempt does not count. `address` may be empty: then only the login counts.
  // Of an IPv6 address its network of 64 bits counts: each customer has one for himself.
  absl::Status Begin(std::string_view login, std::string_view address);

  // How many attempts in a row Begin has refused to login or address, whichever has more. A flood of them is not worth a line each in a record:
  // see IsWorthRecording.
  int Refused(std::string_view login, std::string_view address);
  // True of 1, 2, 4, 8...: what is recorded grows with the logarithm of what is tried.
  static bool IsWorthRecording(int refused);

  // The attempt was no failure: clears the login and takes this attempt back from the address.
  void Succeed(std::string_view login, std::string_view address);

  // Writes what is now known of both, within the caller's transaction: the one that records how the attempt ended.
  // Also forgets in the table what was forgotten in memory.
  absl::Status Save(storage::Connection& connection, std::string_view login, std::string_view address);

 private:
  struct Failures {
    int count = 0;
    absl::Time last;
    int refused = 0;  // Since the last one that was admitted.
  };

  absl::Duration PauseAfter(int failures, int free) const;
  // How long `key` has to wait yet; not positive when it may go on.
  absl::Duration Remaining(const std::string& key, int free, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(const std::string& key, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeRoom(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SaveKey(storage::Connection& connection, const std::string& key);

  const Options options_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Failures> failures_ ABSL_GUARDED_BY(mutex_);
  // Of those whose last failure is not newer than this, some were forgotten to make room.
  absl::Time forgotten_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_SIGN_IN_THROTTLE_H_
