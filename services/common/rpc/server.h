// The server's side of a call: verify, authorize, run a coroutine, convert. For *_service.cc files only: it includes gRPC.
//
//   grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context, const GetRunRequest* request, Run* response) override {
//     return rpc::ServeUnary(calls_, "bulkhead.agent.v1.RunService/GetRun", context, request, response,
//                            [this](const rpc::CallContext& call, const GetRunRequest& request) { return GetRun(call, request); });
//   }
//
// Before the handler runs: the bearer token of the `authorization` metadata is verified and becomes a UserContext, unless the method is declared
// `(bulkhead.common.v1.anonymous)`; the permission named by `(bulkhead.common.v1.requires)` is checked, with `{field}` replaced by that
// field of the request (the last segment when it holds a resource name). A method that declares neither is refused with INTERNAL `METHOD_UNDECLARED`.
// A token whose session or key has been revoked is refused (UNAUTHENTICATED `SESSION_REVOKED`, `TOKEN_KEY_REVOKED`), and a call that is under way
// when that happens is told to stop; whatever error it then ends with, the caller is told of the revocation.
// A handler's error goes out with its ErrorInfo; an error without one becomes INTERNAL `UNSPECIFIED_ERROR` and is logged, and so does an
// exception, as INTERNAL `HANDLER_THREW`. `stop` of the CallContext is requested when the caller has gone, its deadline has passed, or its token has been
// revoked.
//
// Metadata read: `authorization`, `x-request-id` (a new one when absent), `x-parent-request-id`, `x-thread`, `x-client`, `traceparent`. Each call is
// logged with method, user, code, reason and duration at verbosity 1.
#ifndef SERVICES_COMMON_RPC_SERVER_H_
#define SERVICES_COMMON_RPC_SERVER_H_

#include <stop_token>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/server_callback.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::rpc {

class DenialObserver;
class RemoteKeySource;
class RevocationSet;

// What every service adapter holds. All pointers outlive the adapter.
struct ServerDependencies {
  Executor* executor = nullptr;
  const TokenVerifier* verifier = nullptr;
  IdGenerator* ids = nullptr;
  // Asked once for newer keys when a token names an unknown one, before the token is refused. May be null.
  RemoteKeySource* key_refresher = nullptr;
  // What has been revoked. Null where nothing can be.
  RevocationSet* revocations = nullptr;
  // Told of calls whose token does not carry the permission. May be null.
  DenialObserver* denials = nullptr;
};

namespace internal {

using Handler = absl::AnyInvocable<Awaitable<absl::Status>(const CallContext&)>;

// Type-erased: one copy in server.cc, thin templates here.
grpc::ServerUnaryReactor* ServeUnary(const ServerDependencies& dependencies, std::string_view method,
                                     grpc::CallbackServerContext* context, const google::protobuf::Message* request,
                                     Handler handler);

// Spawns the coroutine of one call, which ends by calling `finish`; the reactor may be gone after that.
void Serve(const ServerDependencies& dependencies, std::string_view method, const grpc::CallbackServerContext* context,
           const google::protobuf::Message* request, std::stop_token stop, Handler handler,
           absl::AnyInvocable<void(grpc::Status) &&> finish);

}  // namespace internal

// `handler`: (const CallContext&, const Request&) -> Awaitable<absl::StatusOr<Response>>. Request and response live until it has ended.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* ServeUnary(const ServerDependencies& dependencies, std::string_view method,
                                     grpc::CallbackServerContext* context, const Request* request, Response* response,
                                     Handler handler) {
  return internal::ServeUnary(
      dependencies, method, context, request,
      [request, response, handler = std::move(handler)](const CallContext& call) mutable -> Awaitable<absl::Status> {
        absl::StatusOr<Response> result = co_await handler(call, *request);
        if (result.ok()) {
          *response = *std::move(result);
        }
        co_return result.status();
      });
}

// Sends the messages of one server-streaming call. Write suspends until the transport has taken the message, so a slow
// reader slows its writer and nobody else.
template <typename Response>
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  // False when the client has gone: stop then.
  // One at a time.
  virtual Awaitable<bool> Write(Response message) = 0;
};

// `handler`: (const CallContext&, const Request&, StreamWriter<Response>&) -> Awaitable<absl::Status>.
template <typename Request, typename Response, typename Handler>
grpc::ServerWriteReactor<Response>* ServeStream(const ServerDependencies& dependencies, std::string_view method,
                                                grpc::CallbackServerContext* context, const Request* request,
                                                Handler handler);

// CANCELLED `RPC_CANCELLED`: how a handler ends that `stop` of its CallContext has ended early.
absl::Status Stopped(std::string_view method);

// UNIMPLEMENTED `METHOD_NOT_IMPLEMENTED` that names the method: for contract methods that this version does not serve.
absl::Status NotImplemented(std::string_view method);

}  // namespace bulkhead::rpc

#include "services/common/rpc/server_stream_impl.h"

#endif  // SERVICES_COMMON_RPC_SERVER_H_
