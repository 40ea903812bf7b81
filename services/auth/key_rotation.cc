#include "services/auth/key_rotation.h"

#include <algorithm>
#include <optional>
#include <stop_token>

#include "absl/log/absl_log.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/rpc/call_context.h"

namespace bulkhead::auth {
namespace {

// After a rotation that failed: the old key goes on meanwhile.
constexpr absl::Duration kRetryInterval = absl::Minutes(1);

}  // namespace

void KeyRotation::Start() {
  if (interval_ > absl::ZeroDuration()) {
    dependencies_.executor->Spawn(Keep(interval_, dependencies_, stop_.get_token()));
  }
}

Awaitable<void> KeyRotation::Keep(absl::Duration interval, Dependencies dependencies, std::stop_token stop) {
  absl::Time next = absl::InfinitePast();
  while (true) {
    // Whoever rotates by hand puts off the next one.
    const absl::Time due = std::max(next, dependencies.keys->Signer()->created_at + interval);
    if (dependencies.clock->Now() < due) {
      if (!(co_await SleepUntil(dependencies.clock, due, stop)).ok()) {
        co_return;
      }
      continue;
    }
    if (stop.stop_requested()) {
      co_return;
    }
    const rpc::CallContext call{.request_id = dependencies.ids->NewId("req")};
    const absl::Status rotated = co_await dependencies.keys->Rotate(call, /*algorithm=*/std::nullopt);
    if (!rotated.ok()) {
      ABSL_LOG(ERROR) << "The signing key could not be rotated; the old one goes on: " << rotated;
      next = dependencies.clock->Now() + kRetryInterval;
    }
  }
}

}  // namespace bulkhead::auth
