#include "services/common/time/real_time.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bulkhead {

absl::Time RealNow() { return absl::Now(); }

absl::Time RealDeadline(absl::Duration timeout) { return absl::Now() + timeout; }

}  // namespace bulkhead
