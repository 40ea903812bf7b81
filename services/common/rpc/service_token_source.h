// How a service of the platform proves who it is when it acts for itself.
#ifndef SERVICES_COMMON_RPC_SERVICE_TOKEN_SOURCE_H_
#define SERVICES_COMMON_RPC_SERVICE_TOKEN_SOURCE_H_

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/crypto/secret.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Channel;
}

namespace bulkhead::rpc {

// Client credentials (RFC 6749 section 4.4) at bulkhead.auth.v1.TokenService.IssueServiceToken. A token is kept until 80 % of its life is over; many who
// ask at once cause one call. Thread-safe. Clock, executor and channel outlive its last coroutine.
class ServiceTokenSource {
 public:
  struct Options {
    std::string service;  // "agent"
    Secret secret;
  };

  static std::unique_ptr<ServiceTokenSource> Create(Options options, std::shared_ptr<grpc::Channel> auth, Clock* clock,
                                                    Executor* executor);
  ~ServiceTokenSource();  // Gives up on calls that are under way.

  // A context for calls under the service's own identity; `stop` and `traceparent` go along. UNAUTHENTICATED
  // `SERVICE_CREDENTIALS_INVALID`, or UNAVAILABLE while auth is away.
  Awaitable<absl::StatusOr<CallContext>> ServiceContext(std::stop_token stop = {}, std::string traceparent = "");

  // Forgets the token that is kept: it was refused, or the key that signed it has been revoked.
  void Discard();

 private:
  struct State;
  explicit ServiceTokenSource(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_SERVICE_TOKEN_SOURCE_H_
