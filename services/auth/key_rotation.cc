#include "services/auth/key_rotation.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/log/absl_log.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/rpc/call_context.h"

namespace bulkhead::auth {
namespace {

// After a rotation that failed: the old key goes on meanwhile.
constexpr absl::Duration kRetryInterval = absl::Minutes(1);
// Longer than anybody may go on with a key set that he has fetched: services and the JWKS endpoint's Cache-Control say 5 minutes.
constexpr absl::Duration kPublishedFor = absl::Minutes(10);

// The key that signs when the algorithm was configured to be another one since; empty when there is none.
std::string Outdated(const KeyStore& keys) {
  const std::shared_ptr<const KeyStore::Key> signer = keys.Signer();
  const std::shared_ptr<const KeyStore::Key> upcoming = keys.Upcoming();
  const bool differs = upcoming != nullptr && upcoming->key->algorithm() != signer->key->algorithm();
  return differs ? signer->id : "";
}

}  // namespace

void KeyRotation::Start() {
  if (interval_ > absl::ZeroDuration()) {
    dependencies_.executor->Spawn(Keep(interval_, dependencies_, stop_.get_token()));
  }
}

Awaitable<void> KeyRotation::Keep(absl::Duration interval, Dependencies dependencies, std::stop_token stop) {
  absl::Time next = absl::InfinitePast();
  const std::string outdated = Outdated(*dependencies.keys);
  while (true) {
    // Whoever rotates by hand puts off the next one.
    const std::shared_ptr<const KeyStore::Key> signer = dependencies.keys->Signer();
    const std::shared_ptr<const KeyStore::Key> upcoming = dependencies.keys->Upcoming();
    absl::Time due = signer->signs_since.value_or(signer->created_at) + interval;
    if (signer->id == outdated && upcoming != nullptr) {
      due = std::min(due, upcoming->created_at + kPublishedFor);
    }
    due = std::max(due, next);
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
