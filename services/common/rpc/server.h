// The server's side of a call: verify, authorize, run a coroutine, convert. For *_service.cc files only: it includes gRPC.
//
//   class RunServiceImpl final : public rpc::Service {
//    public:
//     RunServiceImpl(const rpc::ServerDependencies& calls, RunServiceCore* core)
//         : Service("bulkhead.agent.v1.RunService", calls), core_(core) {
//       Unary("GetRun", &RunServiceImpl::GetRun);
//     }
//
//    private:
//     Awaitable<absl::StatusOr<v1::Run>> GetRun(const rpc::CallContext& call, const v1::GetRunRequest& request);
//   };
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

#include <deque>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/impl/proto_utils.h"  // How messages travel; IWYU pragma: keep
#include "grpcpp/impl/server_callback_handlers.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/support/server_callback.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::rpc {

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

// The base of every adapter, which names its methods in its constructor. A method that the service of the proto does not
// have, or has with other messages, ends the program there. Those that are not named answer UNIMPLEMENTED.
//
// It stands in for the classes that gRPC generates, which want a function of gRPC's types for each method, and makes a
// method known to gRPC in the way that they do: an update of gRPC that changes what it generates may change what is here.
// Thread-safe once it is constructed, as far as its handlers are. Outlives the server that it is registered with.
class Service : public grpc::Service {
 protected:
  // `name` as "bulkhead.agent.v1.RunService".
  Service(std::string_view name, const ServerDependencies& dependencies) : name_(name), dependencies_(dependencies) {}

  // `handler`, a function of the adapter, answers the calls of `method`. The request lives until it has ended.
  template <typename Impl, typename Request, typename Response>
  void Unary(std::string_view method,
             Awaitable<absl::StatusOr<Response>> (Impl::*handler)(const CallContext&, const Request&)) {
    Unary<Request, Response>(method, std::bind_front(handler, static_cast<Impl*>(this)));
  }
  // `handler`: (const CallContext&, const Request&) -> Awaitable<absl::StatusOr<Response>>.
  template <typename Request, typename Response, typename Handler>
  void Unary(std::string_view method, Handler handler);

  // The same where the response is a stream.
  template <typename Impl, typename Request, typename Response>
  void Stream(std::string_view method,
              Awaitable<absl::Status> (Impl::*handler)(const CallContext&, const Request&, StreamWriter<Response>&));

 private:
  // Its full name, "bulkhead.agent.v1.RunService/GetRun", which lives as long as the service.
  std::string_view Add(std::string_view method, bool streams, const google::protobuf::Descriptor* request,
                       const google::protobuf::Descriptor* response);
  // Of the method added last.
  void SetHandler(grpc::internal::MethodHandler* handler);

  const std::string name_;
  const ServerDependencies dependencies_;
  std::deque<std::string> paths_;  // "/bulkhead.agent.v1.RunService/GetRun"; gRPC keeps pointers to them.
};

// CANCELLED `RPC_CANCELLED`: how a handler ends that `stop` of its CallContext has ended early.
absl::Status Stopped(std::string_view method);

// UNIMPLEMENTED `METHOD_NOT_IMPLEMENTED` that names the method: for contract methods that this version does not serve.
absl::Status NotImplemented(std::string_view method);

}  // namespace bulkhead::rpc

#include "services/common/rpc/server_impl.h"

#endif  // SERVICES_COMMON_RPC_SERVER_H_
