#include "services/common/rpc/remote_key_source.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "grpcpp/channel.h"
#include "services/common/identity/base64url.h"
#include "services/common/rpc/client.h"
#include "services/common/rpc/single_flight.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::rpc {
namespace {

struct RemoteKey {
  std::shared_ptr<const crypto::VerifyingKey> key;
  std::string parameters;  // Its curve and its public parameters as they came: a key that stays is not made anew.
  absl::Time expires_at = absl::InfiniteFuture();
};

using KeyMap = std::map<std::string, RemoteKey, std::less<>>;

absl::StatusOr<std::shared_ptr<const crypto::VerifyingKey>> ParseJwk(const auth::v1::Jwk& jwk) {
  const std::optional<std::string> x = DecodeBase64Url(jwk.x());
  const std::optional<std::string> y = DecodeBase64Url(jwk.y());
  if (x.has_value() && y.has_value()) {
    if (jwk.kty() == "OKP" && jwk.crv() == "Ed25519") {
      return crypto::VerifyingKey::FromEd25519(*x);
    }
    if (jwk.kty() == "EC" && jwk.crv() == "P-256") {
      return crypto::VerifyingKey::FromP256(*x, *y);
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("key '", jwk.kid(), "' of type ", jwk.kty(), " ", jwk.crv(), " is not usable"),
                   {.domain = "bulkhead.rpc", .reason = "JWK_UNUSABLE", .metadata = {{"kid", jwk.kid()}}});
}

// `before`: what is known already. What verifiers remember hangs on the objects that are kept.
KeyMap ReadKeySet(const auth::v1::KeySet& set, const KeyMap& before) {
  KeyMap keys;
  for (const auth::v1::Jwk& jwk : set.keys()) {
    std::string parameters = absl::StrCat(jwk.kty(), " ", jwk.crv(), " ", jwk.x(), " ", jwk.y());
    const auto known = before.find(jwk.kid());
    const bool stays = known != before.end() && known->second.parameters == parameters;
    absl::StatusOr<std::shared_ptr<const crypto::VerifyingKey>> key =
        stays ? absl::StatusOr<std::shared_ptr<const crypto::VerifyingKey>>(known->second.key) : ParseJwk(jwk);
    if (!key.ok()) {
      ABSL_LOG(WARNING) << "Ignoring a key of the auth service: " << key.status();
      continue;
    }
    absl::Time expires_at = absl::InfiniteFuture();
    if (jwk.has_expire_time()) {
      expires_at = absl::FromUnixSeconds(jwk.expire_time().seconds()) + absl::Nanoseconds(jwk.expire_time().nanos());
    }
    keys.insert_or_assign(jwk.kid(), RemoteKey{*std::move(key), std::move(parameters), expires_at});
  }
  return keys;
}

}  // namespace

// Shared with the coroutines that refresh.
struct RemoteKeySource::State : std::enable_shared_from_this<State> {
  State(Options o, std::shared_ptr<grpc::Channel> auth, Clock* c, Executor* e)
      : options(o), stub(auth::v1::TokenService::NewStub(std::move(auth))), clock(c), executor(e) {}

  Awaitable<absl::Status> Fetch();
  Awaitable<absl::Status> Refresh();
  Awaitable<absl::Status> RefreshForUnknownKey(std::string key_id);
  // Refreshes by time until `stop`.
  static Awaitable<void> KeepFresh(std::shared_ptr<State> self, absl::Status last);

  const Options options;
  const std::unique_ptr<auth::v1::TokenService::Stub> stub;
  Clock* const clock;
  Executor* const executor;
  const std::shared_ptr<SingleFlight> flight = std::make_shared<SingleFlight>();
  std::stop_source stop;

  absl::Mutex mutex;
  KeyMap keys ABSL_GUARDED_BY(mutex);
  int64_t fetches ABSL_GUARDED_BY(mutex) = 0;  // That have begun.
  absl::Time in_vain_until ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
};

Awaitable<absl::Status> RemoteKeySource::State::Fetch() {
  {
    absl::MutexLock lock(mutex);
    ++fetches;
  }
  const auth::v1::GetKeySetRequest request;
  CO_ASSIGN_OR_RETURN(auth::v1::KeySet set,
                      co_await CallUnary<auth::v1::KeySet>(
                          CallContext{.stop = stop.get_token()},
                          {.method = "bulkhead.auth.v1.TokenService/GetKeySet", .timeout = absl::Seconds(10)}, request,
                          [this](auto* context, auto* request, auto* response, auto done) {
                            stub->async()->GetKeySet(context, request, response, std::move(done));
                          }));
  absl::MutexLock lock(mutex);
  keys = ReadKeySet(set, keys);
  co_return absl::OkStatus();
}

Awaitable<absl::Status> RemoteKeySource::State::Refresh() {
  co_return co_await flight->Join(executor, [self = shared_from_this()] { return self->Fetch(); });
}

Awaitable<absl::Status> RemoteKeySource::State::RefreshForUnknownKey(std::string key_id) {
  std::shared_ptr<State> self = shared_from_this();
  int64_t fetches_before = 0;
  {
    absl::MutexLock lock(mutex);
    // Somebody else's refresh may have brought it since the caller looked.
    if (keys.contains(key_id) || clock->Now() < in_vain_until) {
      co_return absl::OkStatus();
    }
    fetches_before = fetches;
  }
  absl::Status status = co_await Refresh();
  bool again = false;
  {
    // A fetch that had begun before was perhaps answered before the key was made: that it brought nothing says nothing.
    absl::MutexLock lock(mutex);
    again = fetches == fetches_before && !keys.contains(key_id);
  }
  if (again) {
    status = co_await Refresh();
  }
  absl::MutexLock lock(mutex);
  if (!keys.contains(key_id)) {
    in_vain_until = clock->Now() + options.unknown_key_pause;
  }
  co_return status;
}

Awaitable<void> RemoteKeySource::State::KeepFresh(std::shared_ptr<State> self, absl::Status last) {
  while (true) {
    absl::Duration wait = last.ok() ? self->options.refresh_interval : self->options.retry_interval;
    if (!(co_await SleepUntil(self->clock, self->clock->Now() + wait, self->stop.get_token())).ok()) {
      co_return;
    }
    last = co_await self->Refresh();
    if (!last.ok() && !self->stop.stop_requested()) {
      ABSL_LOG(WARNING) << "Could not refresh the verification keys; the last ones stay: " << last;
    }
  }
}

std::unique_ptr<RemoteKeySource> RemoteKeySource::Create(Options options, std::shared_ptr<grpc::Channel> auth,
                                                         Clock* clock, Executor* executor) {
  return std::unique_ptr<RemoteKeySource>(
      new RemoteKeySource(std::make_shared<State>(options, std::move(auth), clock, executor)));
}

RemoteKeySource::RemoteKeySource(std::shared_ptr<State> state) : state_(std::move(state)) {}

RemoteKeySource::~RemoteKeySource() { Shutdown(); }

Awaitable<absl::Status> RemoteKeySource::Start() {
  std::shared_ptr<State> state = state_;
  absl::Status first = co_await state->Refresh();
  state->executor->Spawn(State::KeepFresh(state, first));
  co_return first;
}

Awaitable<absl::Status> RemoteKeySource::Refresh() { return state_->Refresh(); }

Awaitable<absl::Status> RemoteKeySource::RefreshForUnknownKey(std::string key_id) {
  return state_->RefreshForUnknownKey(std::move(key_id));
}

void RemoteKeySource::Shutdown() { state_->stop.request_stop(); }

std::shared_ptr<const crypto::VerifyingKey> RemoteKeySource::Find(std::string_view key_id) {
  absl::MutexLock lock(state_->mutex);
  auto found = state_->keys.find(key_id);
  return found != state_->keys.end() && state_->clock->Now() < found->second.expires_at ? found->second.key : nullptr;
}

}  // namespace bulkhead::rpc
