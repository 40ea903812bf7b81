// Where a process dies on purpose.
#ifndef TESTING_HARNESS_CRASH_CRASH_POINT_H_
#define TESTING_HARNESS_CRASH_CRASH_POINT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::testing {

// Thread-safe.
class CrashPoint {
 public:
  // The process dies when it passes the place `at` for the `nth` time, from 1; "" never.
  CrashPoint(std::string at, int64_t nth) : at_(std::move(at)), nth_(nth) {}

  // SIGKILL, from which nothing is saved, when this is the point. Does not return then.
  void Pass(std::string_view place);

 private:
  const std::string at_;
  const int64_t nth_;
  absl::Mutex mutex_;
  int64_t passed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_CRASH_CRASH_POINT_H_
