// The machine's time where a simulated clock would be wrong: deadlines of RPCs, and guards against waiting for ever. A
// test that stops the clock must not stop these. Everything else takes a Clock.
#ifndef SERVICES_COMMON_TIME_REAL_TIME_H_
#define SERVICES_COMMON_TIME_REAL_TIME_H_

#include "absl/time/time.h"

namespace bulkhead {

absl::Time RealNow();

// `timeout` from now.
absl::Time RealDeadline(absl::Duration timeout);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_TIME_REAL_TIME_H_
