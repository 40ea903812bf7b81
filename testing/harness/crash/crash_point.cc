#include "testing/harness/crash/crash_point.h"

#include <csignal>

#include "absl/log/absl_log.h"

namespace bulkhead::testing {

void CrashPoint::Pass(std::string_view place) {
  if (place != at_) {
    return;
  }
  absl::MutexLock lock(mutex_);
  if (++passed_ == nth_) {
    std::raise(SIGKILL);
    ABSL_LOG(FATAL) << "survived SIGKILL";
  }
}

}  // namespace bulkhead::testing
