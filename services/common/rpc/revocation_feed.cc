#include "services/common/rpc/revocation_feed.h"

#include <algorithm>
#include <cstdint>
#include <stop_token>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/auth/v1/revocation_service.grpc.pb.h"
#include "bulkhead/auth/v1/revocation_service.pb.h"
#include "grpcpp/channel.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/client.h"
#include "services/common/rpc/service_token_source.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::rpc {
namespace {

constexpr char kMethod[] = "bulkhead.auth.v1.RevocationService/WatchRevocations";

Revocation FromProto(const auth::v1::Revocation& proto) {
  return {.session = proto.session(),
          .key = proto.key(),
          .reason = proto.reason(),
          .expires_at = FromTimestamp(proto.expire_time())};
}

}  // namespace

// Shared with the coroutine that follows.
struct RevocationFeed::State : std::enable_shared_from_this<State> {
  State(Options o, std::shared_ptr<grpc::Channel> auth, Clock* clock, Clock* real, Executor* e)
      : options(std::move(o)),
        stub(auth::v1::RevocationService::NewStub(auth)),
        real_clock(real),
        executor(e),
        identity(ServiceTokenSource::Create({.service = options.service, .secret = options.secret.Copy()},
                                            std::move(auth), clock, e)),
        set(clock),
        heard_at(real->Now()) {}

  // Until the end of the feed.
  static Awaitable<void> Follow(std::shared_ptr<State> self);
  // One stream, until it breaks.
  Awaitable<absl::Status> FollowOnce();
  void Take(const auth::v1::WatchRevocationsResponse& message);
  // The stream's end, when nothing comes for too long; in place of the one that was set before.
  void WatchSilence(std::stop_source broken);

  const Options options;
  const std::unique_ptr<auth::v1::RevocationService::Stub> stub;
  Clock* const real_clock;
  Executor* const executor;
  const std::unique_ptr<ServiceTokenSource> identity;
  RevocationSet set;
  std::stop_source stop;
  std::stop_source caught_up;  // Requested with the first caught_up.

  // Of the coroutine that follows alone.
  uint64_t cursor = 0;
  Clock::TimerId silence_timer = 0;

  mutable absl::Mutex mutex;
  absl::Time heard_at ABSL_GUARDED_BY(mutex);
};

void RevocationFeed::State::WatchSilence(std::stop_source broken) {
  real_clock->Cancel(silence_timer);
  silence_timer = real_clock->CallAt(real_clock->Now() + options.silence,
                                     [broken = std::move(broken)]() mutable { broken.request_stop(); });
}

void RevocationFeed::State::Take(const auth::v1::WatchRevocationsResponse& message) {
  if (message.has_revocation()) {
    cursor = message.revocation().sequence();
    set.Add(FromProto(message.revocation()));
  } else if (message.has_caught_up()) {
    // Also when it is less: then the log is another one, and begins anew.
    cursor = message.caught_up().sequence();
    caught_up.request_stop();
  }
  absl::MutexLock lock(mutex);
  heard_at = real_clock->Now();
}

Awaitable<absl::Status> RevocationFeed::State::FollowOnce() {
  std::stop_source broken;
  std::stop_callback at_end(stop.get_token(), [&broken] { broken.request_stop(); });
  WatchSilence(broken);
  CO_ASSIGN_OR_RETURN(CallContext call, co_await identity->ServiceContext(broken.get_token()));
  auth::v1::WatchRevocationsRequest request;
  request.set_after_sequence(cursor);
  co_return co_await CallStream<auth::v1::WatchRevocationsResponse>(
      std::move(call), {.method = kMethod, .timeout = absl::InfiniteDuration()}, request,
      [this](auto* context, auto* request, auto* reactor) {
        stub->async()->WatchRevocations(context, request, reactor);
      },
      [this, &broken](auth::v1::WatchRevocationsResponse message) {
        Take(message);
        WatchSilence(broken);
        return absl::OkStatus();
      });
}

Awaitable<void> RevocationFeed::State::Follow(std::shared_ptr<State> self) {
  absl::Duration backoff = self->options.min_backoff;
  while (!self->stop.stop_requested()) {
    const uint64_t before = self->cursor;
    const absl::Time begun_at = self->real_clock->Now();
    const absl::Status broken = co_await self->FollowOnce();
    self->real_clock->Cancel(self->silence_timer);
    if (self->stop.stop_requested()) {
      break;
    }
    ABSL_LOG(WARNING) << "service " << self->options.service
                      << " does not hear of revocations, and tries again: " << broken;
    if (broken.code() == absl::StatusCode::kUnauthenticated) {
      self->identity->Discard();
    }
    // One that worked for a while did not fail to connect.
    const bool worked = self->cursor != before || self->real_clock->Now() - begun_at > self->options.max_backoff;
    backoff = worked ? self->options.min_backoff : std::min(2 * backoff, self->options.max_backoff);
    const absl::Status waited =
        co_await SleepUntil(self->real_clock, self->real_clock->Now() + backoff, self->stop.get_token());
    if (!waited.ok()) {
      break;
    }
  }
}

std::unique_ptr<RevocationFeed> RevocationFeed::Create(Options options, std::shared_ptr<grpc::Channel> auth,
                                                       Clock* clock, Clock* real_clock, Executor* executor) {
  return std::unique_ptr<RevocationFeed>(
      new RevocationFeed(std::make_shared<State>(std::move(options), std::move(auth), clock, real_clock, executor)));
}

RevocationFeed::RevocationFeed(std::shared_ptr<State> state) : state_(std::move(state)) {}

RevocationFeed::~RevocationFeed() { Shutdown(); }

Awaitable<absl::Status> RevocationFeed::Start(absl::Duration limit) {
  std::shared_ptr<State> state = state_;
  state->executor->Spawn(State::Follow(state));
  const absl::Status waited =
      co_await SleepUntil(state->real_clock, state->real_clock->Now() + limit, state->caught_up.get_token());
  if (waited.ok()) {
    co_return MakeError(
        absl::StatusCode::kDeadlineExceeded,
        absl::StrCat("service ", state->options.service, " could not ask for ", absl::FormatDuration(limit),
                     " what has been revoked: is the auth service there?"),
        {.domain = "bulkhead.rpc", .reason = "REVOCATIONS_UNKNOWN", .metadata = {{"service", state->options.service}}});
  }
  co_return absl::OkStatus();
}

void RevocationFeed::Shutdown() { state_->stop.request_stop(); }

RevocationSet& RevocationFeed::set() { return state_->set; }

absl::Duration RevocationFeed::staleness() const {
  absl::MutexLock lock(state_->mutex);
  return state_->real_clock->Now() - state_->heard_at;
}

}  // namespace bulkhead::rpc
