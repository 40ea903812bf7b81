// How a service learns what the auth service has revoked.
#ifndef SERVICES_COMMON_RPC_REVOCATION_FEED_H_
#define SERVICES_COMMON_RPC_REVOCATION_FEED_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/crypto/secret.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Channel;
}

namespace bulkhead::rpc {

// Follows bulkhead.auth.v1.RevocationService.WatchRevocations and fills a RevocationSet. After a break it goes on by its cursor, so nothing is missed;
// meanwhile what is known goes on to count, and staleness() grows. A stream on which nothing came for `silence` counts as broken.
//
// Thread-safe. Clocks, executor and channel outlive its last coroutine: Shutdown, then drain the executor.
class RevocationFeed {
 public:
  struct Options {
    std::string service;  // "tool"; who follows.
    Secret secret;        // Its own.
    absl::Duration silence = absl::Seconds(15);
    absl::Duration min_backoff = absl::Milliseconds(50);
    absl::Duration max_backoff = absl::Seconds(1);
  };

  // `clock` is the domain's: revocations are forgotten by it. `real_clock` is the machine's: how long a connection is waited for is no matter of the domain.
  static std::unique_ptr<RevocationFeed> Create(Options options, std::shared_ptr<grpc::Channel> auth, Clock* clock,
                                                Clock* real_clock, Executor* executor);
  ~RevocationFeed();  // Shutdown.

  // Resumes when all that was revoked until now is in the set, or at the latest after `limit` (real time), and goes on following in any
  // case. DEADLINE_EXCEEDED `REVOCATIONS_UNKNOWN`.
  Awaitable<absl::Status> Start(absl::Duration limit);
  void Shutdown();

  RevocationSet& set();
  // For how long nothing has been heard of the auth service; up to some seconds when all is well.
  absl::Duration staleness() const;

 private:
  struct State;
  explicit RevocationFeed(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_REVOCATION_FEED_H_
