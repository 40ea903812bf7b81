#include "services/agent/revocation_guard.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/log/absl_log.h"
#include "absl/status/statusor.h"
#include "services/common/identity/jws.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

// Real time: what is under way is a write of the database.
constexpr absl::Duration kCloseLimit = absl::Seconds(5);

}  // namespace

Awaitable<absl::Status> RevocationGuard::Start() {
  // First this, then what is known: nothing falls in between.
  dependencies_.revocations->Subscribe([weak = weak_from_this()](const rpc::Revocation& revocation) {
    if (std::shared_ptr<RevocationGuard> guard = weak.lock(); guard != nullptr && guard->Begin()) {
      Executor* const executor = guard->dependencies_.executor;
      executor->Spawn(OnRevoked(std::move(guard), revocation));
    }
  });
  CO_ASSIGN_OR_RETURN(std::vector<RunRecord> unfinished, dependencies_.store->UnfinishedAcrossUsers());
  for (const RunRecord& run : unfinished) {
    CO_RETURN_IF_ERROR(co_await EndIfRevoked(run));
  }
  co_return absl::OkStatus();
}

Awaitable<void> RevocationGuard::OnRevoked(std::shared_ptr<RevocationGuard> self, rpc::Revocation revocation) {
  const absl::Status status = co_await self->EndRunsUnder(revocation);
  if (!status.ok()) {
    // They can do nothing any more: every service refuses their tokens. The next start ends them.
    ABSL_LOG(ERROR) << "runs of " << revocation.session << revocation.key << " could not be cancelled: " << status;
  }
  self->Done();
}

Awaitable<absl::Status> RevocationGuard::EndRunsUnder(const rpc::Revocation& revocation) {
  CO_ASSIGN_OR_RETURN(std::vector<RunRecord> unfinished, dependencies_.store->UnfinishedAcrossUsers());
  absl::Status first;
  for (const RunRecord& run : unfinished) {
    if (rpc::FallsUnder(ClaimsOf(run), revocation)) {
      first.Update(co_await End(run, revocation));
    }
  }
  co_return first;
}

Awaitable<absl::Status> RevocationGuard::End(const RunRecord& run, const rpc::Revocation& revocation) {
  absl::StatusOr<RunRecord> cancelled = co_await dependencies_.store->CancelRevokedAcrossUsers(
      run.key, {.target = revocation.key.empty() ? "session" : "key", .reason = revocation.reason},
      dependencies_.clock->Now());
  if (cancelled.ok()) {
    dependencies_.engine->CancelAtOnce(*cancelled);
    co_return absl::OkStatus();
  }
  const std::string reason = ReasonOf(cancelled.status());
  co_return reason == "RUN_ENDED" || reason == "RUN_NOT_FOUND" ? absl::OkStatus() : cancelled.status();
}

Awaitable<absl::Status> RevocationGuard::EndIfRevoked(const RunRecord& run) {
  const rpc::Revocation revocation = dependencies_.revocations->Find(ClaimsOf(run));
  if (revocation.session.empty() && revocation.key.empty()) {
    co_return absl::OkStatus();
  }
  co_return co_await End(run, revocation);
}

TokenClaims RevocationGuard::ClaimsOf(const RunRecord& run) const {
  TokenClaims claims;
  claims.subject = run.owner;
  claims.session = run.session;
  // One that does not open is none that anybody could use.
  const absl::StatusOr<Secret> token = dependencies_.sealer->Open(run.sealed_token, run.name());
  if (token.ok()) {
    const absl::StatusOr<Jws> jws = Jws::Parse(token->Reveal(), {.type = "at+jwt"});
    claims.key_id = jws.ok() ? jws->key_id() : "";
  }
  return claims;
}

bool RevocationGuard::Begin() {
  absl::MutexLock lock(mutex_);
  if (closed_) {
    return false;
  }
  ++working_;
  return true;
}

void RevocationGuard::Done() {
  absl::MutexLock lock(mutex_);
  --working_;
}

void RevocationGuard::Close() {
  auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return working_ == 0; };
  absl::MutexLock lock(mutex_);
  closed_ = true;
  if (!mutex_.AwaitWithTimeout(absl::Condition(&idle), kCloseLimit)) {
    ABSL_LOG(ERROR) << working_ << " revocations are still being carried out";
  }
}

}  // namespace bulkhead::agent
