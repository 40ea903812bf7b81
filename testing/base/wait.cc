#include "testing/base/wait.h"

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/time/real_time.h"

namespace bulkhead::testing {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(5);

absl::Status TimedOut(std::string_view awaited, absl::FunctionRef<std::string()> seen) {
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat("timed out waiting for ", awaited, "; saw ", seen()),
                   {.domain = "bulkhead.testing", .reason = "WAIT_TIMED_OUT"});
}

}  // namespace

absl::Status WaitFor(absl::Mutex& mutex, absl::FunctionRef<bool()> condition, std::string_view awaited,
                     absl::FunctionRef<std::string()> seen, absl::Duration guard) {
  absl::MutexLock lock(mutex);
  if (mutex.AwaitWithTimeout(absl::Condition(&condition), guard)) {
    return absl::OkStatus();
  }
  return TimedOut(awaited, seen);
}

absl::Status WaitFor(absl::FunctionRef<bool()> condition, std::string_view awaited,
                     absl::FunctionRef<std::string()> seen, absl::Duration guard) {
  const absl::Time deadline = RealDeadline(guard);
  absl::Mutex pause;
  while (!condition()) {
    if (RealNow() > deadline) {
      return TimedOut(awaited, seen);
    }
    absl::MutexLock lock(pause);
    absl::CondVar never;
    never.WaitWithTimeout(&pause, kPollInterval);
  }
  return absl::OkStatus();
}

absl::Status WaitFor(absl::FunctionRef<bool()> condition, std::string_view awaited) {
  return WaitFor(condition, awaited, [] { return std::string("no sign of it"); });
}

}  // namespace bulkhead::testing
