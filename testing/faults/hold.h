// A handshake between a test and the code under test, instead of timing.
#ifndef TESTING_FAULTS_HOLD_H_
#define TESTING_FAULTS_HOLD_H_

#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bulkhead::testing {

// The test waits until somebody has arrived, and then lets him go on or makes him fail. For one visitor. Thread-safe.
class Hold {
 public:
  // Blocks until the visitor is there. DEADLINE_EXCEEDED `HOLD_NOT_REACHED` after `guard` of real time.
  absl::Status Wait(absl::Duration guard = absl::Seconds(30));

  // The visitor goes on, or, when he has not come yet, will pass without stopping.
  void Resume();
  // The visitor fails with `status`. `status` is not OK.
  void Fail(absl::Status status);

  bool arrived() const;

  // For the visitor: calls `release` once, when the test has decided, on the test's thread or this one.
  void Arrive(absl::AnyInvocable<void(absl::Status) &&> release);

 private:
  void Release(absl::Status status);

  mutable absl::Mutex mutex_;
  bool arrived_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> decision_ ABSL_GUARDED_BY(mutex_);
  absl::AnyInvocable<void(absl::Status) &&> release_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::testing

#endif  // TESTING_FAULTS_HOLD_H_
