#include "services/common/rpc/service_token_source.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "grpcpp/channel.h"
#include "services/common/rpc/client.h"
#include "services/common/rpc/single_flight.h"
#include "services/common/status/macros.h"

namespace bulkhead::rpc {

// Shared with the coroutines that fetch.
struct ServiceTokenSource::State : std::enable_shared_from_this<State> {
  State(Options o, std::shared_ptr<grpc::Channel> auth, Clock* c, Executor* e)
      : options(std::move(o)), stub(auth::v1::TokenService::NewStub(std::move(auth))), clock(c), executor(e) {}

  std::shared_ptr<const RawToken> FreshToken() {
    absl::MutexLock lock(mutex);
    return clock->Now() < renew_at ? token : nullptr;
  }
  Awaitable<absl::Status> Fetch();

  const Options options;
  const std::unique_ptr<auth::v1::TokenService::Stub> stub;
  Clock* const clock;
  Executor* const executor;
  const std::shared_ptr<SingleFlight> flight = std::make_shared<SingleFlight>();
  std::stop_source stop;

  absl::Mutex mutex;
  std::shared_ptr<const RawToken> token ABSL_GUARDED_BY(mutex);
  absl::Time renew_at ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
};

Awaitable<absl::Status> ServiceTokenSource::State::Fetch() {
  auth::v1::IssueServiceTokenRequest request;
  request.set_service(options.service);
  request.set_secret(options.secret.Reveal());
  const absl::Time asked_at = clock->Now();
  CO_ASSIGN_OR_RETURN(auth::v1::IssuedToken issued,
                      co_await CallUnary<auth::v1::IssuedToken>(
                          CallContext{.client = absl::StrCat("service-", options.service), .stop = stop.get_token()},
                          {.method = "bulkhead.auth.v1.TokenService/IssueServiceToken", .timeout = absl::Seconds(10)},
                          request, [this](auto* context, auto* request, auto* response, auto done) {
                            stub->async()->IssueServiceToken(context, request, response, std::move(done));
                          }));
  absl::Duration life = absl::Seconds(issued.expires_in().seconds()) + absl::Nanoseconds(issued.expires_in().nanos());
  absl::MutexLock lock(mutex);
  token = std::make_shared<const RawToken>(std::move(*issued.mutable_token()));
  renew_at = asked_at + 0.8 * life;
  co_return absl::OkStatus();
}

std::unique_ptr<ServiceTokenSource> ServiceTokenSource::Create(Options options, std::shared_ptr<grpc::Channel> auth,
                                                               Clock* clock, Executor* executor) {
  return std::unique_ptr<ServiceTokenSource>(
      new ServiceTokenSource(std::make_shared<State>(std::move(options), std::move(auth), clock, executor)));
}

ServiceTokenSource::ServiceTokenSource(std::shared_ptr<State> state) : state_(std::move(state)) {}

ServiceTokenSource::~ServiceTokenSource() { state_->stop.request_stop(); }

void ServiceTokenSource::Discard() {
  absl::MutexLock lock(state_->mutex);
  state_->renew_at = absl::InfinitePast();
}

Awaitable<absl::StatusOr<CallContext>> ServiceTokenSource::ServiceContext(std::stop_token stop,
                                                                          std::string traceparent) {
  std::shared_ptr<State> state = state_;
  std::shared_ptr<const RawToken> token = state->FreshToken();
  if (token == nullptr) {
    CO_RETURN_IF_ERROR(co_await state->flight->Join(state->executor, [state] { return state->Fetch(); }));
    absl::MutexLock lock(state->mutex);
    token = state->token;
  }
  co_return CallContext{.token = std::move(token),
                        .traceparent = std::move(traceparent),
                        .client = absl::StrCat("service-", state->options.service),
                        .stop = std::move(stop)};
}

}  // namespace bulkhead::rpc
