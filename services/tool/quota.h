// How many calls one user may make, so that he cannot slow the others.
#ifndef SERVICES_TOOL_QUOTA_H_
#define SERVICES_TOOL_QUOTA_H_

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/time/clock.h"

namespace bulkhead::tool {

// A token bucket and a count of running calls for each user. Thread-safe.
class Quota {
 public:
  struct Options {
    int max_calls_per_minute = 1;
    int max_concurrent_calls = 1;
  };

  // `clock` outlives the quota.
  Quota(Options options, const Clock* clock) : options_(options), clock_(clock) {}

  // Counts a call that begins. RESOURCE_EXHAUSTED `TOOL_QUOTA_EXCEEDED` (metadata `quota`:
  // calls_per_minute or concurrent_calls), with the time after which a later try may succeed.
  absl::Status Begin(const std::string& user);
  // The call has ended, or is known to have ended.
  void End(const std::string& user);

 private:
  struct Usage {
    double tokens = 0;
    absl::Time counted_at;
    int running = 0;
  };

  void ForgetIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  double TokensAt(const Usage& usage, absl::Time now) const;

  const Options options_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  std::map<std::string, Usage> usage_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_QUOTA_H_
