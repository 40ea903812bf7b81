// The verification keys of the auth service, as every other service sees them.
#ifndef SERVICES_COMMON_RPC_REMOTE_KEY_SOURCE_H_
#define SERVICES_COMMON_RPC_REMOTE_KEY_SOURCE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Channel;
}

namespace bulkhead::rpc {

// Keeps the key set of bulkhead.auth.v1.TokenService.GetKeySet: refreshed by time, and when a token names a key it does not know, so that a new key
// is accepted at once and a withdrawn one no longer than `refresh_interval`. While auth is away the last set goes on serving.
//
// Thread-safe, never blocks. Clock, executor and channel outlive its last coroutine: Shutdown, then drain the executor.
class RemoteKeySource : public KeySource {
 public:
  struct Options {
    absl::Duration refresh_interval = absl::Minutes(5);
    // After a refresh that failed.
    absl::Duration retry_interval = absl::Seconds(5);
    // After an unknown key id for which a refresh brought nothing new: tokens with made-up key ids must not make us hammer auth.
    absl::Duration unknown_key_pause = absl::Seconds(5);
  };

  static std::unique_ptr<RemoteKeySource> Create(Options options, std::shared_ptr<grpc::Channel> auth, Clock* clock,
                                                 Executor* executor);
  ~RemoteKeySource() override;  // Shutdown.

  // Returns how the first fetch went; later ones follow by themselves in any case.
  Awaitable<absl::Status> Start();
  // Fetches now, or joins the fetch that is under way.
  Awaitable<absl::Status> Refresh();
  // The same for a token that names a key which was not there; nothing to do when it has come meanwhile, or when a fetch brought no key that was asked
  // for a moment ago.
  Awaitable<absl::Status> RefreshForUnknownKey(std::string key_id);
  void Shutdown();

  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view key_id) override;

 private:
  struct State;
  explicit RemoteKeySource(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_REMOTE_KEY_SOURCE_H_
