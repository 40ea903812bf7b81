// Ends the runs whose tokens have been revoked.
#ifndef SERVICES_AGENT_REVOCATION_GUARD_H_
#define SERVICES_AGENT_REVOCATION_GUARD_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_record.h"
#include "services/agent/run_store.h"
#include "services/common/crypto/crypto.h"
#include "services/common/identity/token.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

// A run acts under a token of its own, bound to the session that started it. When that session or the key that signed the token is revoked, the run
// is cancelled, whatever it is doing: waiting for its turn, running, sleeping, asking. Thread-safe.
class RevocationGuard : public std::enable_shared_from_this<RevocationGuard> {
 public:
  // All pointers live until Close has returned; the set longer.
  struct Dependencies {
    rpc::RevocationSet* revocations = nullptr;
    const RunStore* store = nullptr;
    RunEngine* engine = nullptr;
    const crypto::Sealer* sealer = nullptr;
    Executor* executor = nullptr;
    Clock* clock = nullptr;
  };

  explicit RevocationGuard(Dependencies dependencies) : dependencies_(dependencies) {}

  // Ends what was revoked while nobody was here, and from now on what is. Before the engine takes runs up: what may not go on is not begun again. Once.
  Awaitable<absl::Status> Start();

  // For a run that was created while its token was being revoked.
  Awaitable<absl::Status> EndIfRevoked(const RunRecord& run);

  // Blocks until nothing is under way, and begins nothing more. Not on a thread of the executor.
  void Close();

 private:
  static Awaitable<void> OnRevoked(std::shared_ptr<RevocationGuard> self, rpc::Revocation revocation);
  Awaitable<absl::Status> EndRunsUnder(const rpc::Revocation& revocation);
  Awaitable<absl::Status> End(const RunRecord& run, const rpc::Revocation& revocation);
  // What its token says of it.
  TokenClaims ClaimsOf(const RunRecord& run) const;
  // False when closed.
  bool Begin();
  void Done();

  const Dependencies dependencies_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int working_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_REVOCATION_GUARD_H_
