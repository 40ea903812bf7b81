#include "testing/faults/hold.h"

#include <utility>

#include "absl/log/absl_check.h"
#include "services/common/status/error.h"

namespace bulkhead::testing {

absl::Status Hold::Wait(absl::Duration guard) {
  absl::MutexLock lock(mutex_);
  if (mutex_.AwaitWithTimeout(absl::Condition(&arrived_), guard)) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded, "nobody has reached the hold",
                   {.domain = "bulkhead.testing", .reason = "HOLD_NOT_REACHED"});
}

void Hold::Resume() { Release(absl::OkStatus()); }

void Hold::Fail(absl::Status status) {
  ABSL_CHECK(!status.ok());
  Release(std::move(status));
}

bool Hold::arrived() const {
  absl::MutexLock lock(mutex_);
  return arrived_;
}

void Hold::Arrive(absl::AnyInvocable<void(absl::Status) &&> release) {
  absl::Status decision;
  {
    absl::MutexLock lock(mutex_);
    arrived_ = true;
    if (!decision_.has_value()) {
      release_ = std::move(release);
      return;
    }
    decision = *decision_;
  }
  std::move(release)(std::move(decision));
}

void Hold::Release(absl::Status status) {
  absl::AnyInvocable<void(absl::Status) &&> release;
  {
    absl::MutexLock lock(mutex_);
    if (decision_.has_value()) {
      return;
    }
    decision_ = status;
    release = std::exchange(release_, nullptr);
  }
  if (release != nullptr) {
    std::move(release)(std::move(status));
  }
}

}  // namespace bulkhead::testing
