// The client's side of a call: token, deadline, cancellation, trace and request id go along; retries are ours, on our clock
// (in-process channels do not do gRPC's own). For files that may include gRPC only.
//
// Metadata sent: `authorization`, `x-parent-request-id` (the context's request id; the server gives the call one of its own), `x-thread`, `x-client`,
// `traceparent`. An error of the transport names the method.
//
//   CO_ASSIGN_OR_RETURN(Run run, co_await rpc::CallUnary<Run>(call, {.method = "bulkhead.agent.v1.RunService/GetRun"}, request,
//       [stub](auto* context, auto* request, auto* response, auto done) { stub->async()->GetRun(context, request, response, std::move(done)); }));
#ifndef SERVICES_COMMON_RPC_CLIENT_H_
#define SERVICES_COMMON_RPC_CLIENT_H_

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "grpcpp/support/status.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"

namespace bulkhead::rpc {

struct CallPolicy {
  std::string_view method;                     // For messages and logs; outlives the call.
  absl::Duration timeout = absl::Seconds(30);  // Real time, of each attempt; the context's deadline bounds all.
  int attempts = 1;  // More only for calls that may be repeated. UNAVAILABLE alone is retried.
  absl::Duration backoff = absl::Milliseconds(50);  // Doubles each time, with jitter, at most 2 s.
  Clock* clock = nullptr;                           // Waits between attempts; required when attempts > 1.
  std::string_view
      thread;  // The conversation of a call whose context has no user that says so, or ""; outlives the call.
};

// `start`: (grpc::ClientContext*, const Request*, Response*, std::function<void(grpc::Status)>) -> void. `request` lives until the call has ended.
template <typename Response, typename Request, typename Start>
Awaitable<absl::StatusOr<Response>> CallUnary(CallContext call, CallPolicy policy, const Request& request, Start start);

// Calls `on_message` (returns absl::Status, or an Awaitable of it; an error cancels the call and is the result) for each message of a server-streaming call, in order, on the
// coroutine; the next one is read when it has returned. Resumes when the stream has ended. Only a call that has delivered nothing is repeated. `start`: (grpc::ClientContext*, const Request*, grpc::ClientReadReactor<Response>*) -> void.
template <typename Response, typename Request, typename Start, typename OnMessage>
Awaitable<absl::Status> CallStream(CallContext call, CallPolicy policy, const Request& request, Start start,
                                   OnMessage on_message);

}  // namespace bulkhead::rpc

#include "services/common/rpc/client_impl.h"

#endif  // SERVICES_COMMON_RPC_CLIENT_H_
