// Waiting for what other threads do, without sleeping, and with an answer when it does not happen.
#ifndef TESTING_BASE_WAIT_H_
#define TESTING_BASE_WAIT_H_

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bulkhead::testing {

// Real time after which waiting is given up: far more than anything takes, so that only a hang meets it.
inline constexpr absl::Duration kWaitGuard = absl::Seconds(30);

// Waits until `condition`, which reads what `mutex` guards, is true; it is looked at whenever `mutex` is released. The
// caller does not hold `mutex`. DEADLINE_EXCEEDED `WAIT_TIMED_OUT`: "timed out waiting for <awaited>; saw <seen()>".
//
//   ASSERT_OK(WaitFor(
//       mutex, [&] { return types.back() == "agent_completed"; }, "agent_completed",
//       [&] { return absl::StrJoin(types, ", "); }));
absl::Status WaitFor(absl::Mutex& mutex, absl::FunctionRef<bool()> condition, std::string_view awaited,
                     absl::FunctionRef<std::string()> seen, absl::Duration guard = kWaitGuard);

// The same for conditions that no mutex announces (another process, a counter behind an interface): looks again every
// few milliseconds.
absl::Status WaitFor(absl::FunctionRef<bool()> condition, std::string_view awaited,
                     absl::FunctionRef<std::string()> seen, absl::Duration guard = kWaitGuard);
absl::Status WaitFor(absl::FunctionRef<bool()> condition, std::string_view awaited);

}  // namespace bulkhead::testing

#endif  // TESTING_BASE_WAIT_H_
