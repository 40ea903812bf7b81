// The implementation of rpc::Service, for server.h alone.
// IWYU pragma: private, include "services/common/rpc/server.h"
#ifndef SERVICES_COMMON_RPC_SERVER_IMPL_H_
#define SERVICES_COMMON_RPC_SERVER_IMPL_H_

#include <stop_token>
#include <string_view>
#include <utility>

#include "services/common/rpc/server.h"

namespace bulkhead::rpc {
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

// Owns itself: gRPC calls OnDone after Finish, which the call's coroutine calls last.
template <typename Response>
class StreamReactor final : public grpc::ServerWriteReactor<Response>, public StreamWriter<Response> {
 public:
  std::stop_token stop_token() const { return stop_.get_token(); }

  Awaitable<bool> Write(Response message) override {
    if (stop_.stop_requested()) {
      co_return false;
    }
    message_ = std::move(message);
    co_return co_await AwaitCallback<bool>([this](absl::AnyInvocable<void(bool)> done) {
      written_ = std::move(done);
      this->StartWrite(&message_);
    });
  }

 private:
  void OnWriteDone(bool ok) override {
    absl::AnyInvocable<void(bool)> written = std::exchange(written_, nullptr);
    if (!ok) {
      stop_.request_stop();
    }
    written(ok);
  }
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { delete this; }

  std::stop_source stop_;
  // Both belong to the one write that is under way.
  Response message_;
  absl::AnyInvocable<void(bool)> written_;
};

}  // namespace internal

template <typename Request, typename Response, typename Handler>
void Service::Unary(std::string_view method, Handler handler) {
  const std::string_view name = Add(method, /*streams=*/false, Request::descriptor(), Response::descriptor());
  SetHandler(new grpc::internal::CallbackUnaryHandler<Request, Response>(
      [this, name, handler = std::move(handler)](grpc::CallbackServerContext* context, const Request* request,
                                                 Response* response) {
        return internal::ServeUnary(dependencies_, name, context, request,
                                    [&handler, request, response](const CallContext& call) -> Awaitable<absl::Status> {
                                      absl::StatusOr<Response> result = co_await handler(call, *request);
                                      if (result.ok()) {
                                        *response = *std::move(result);
                                      }
                                      co_return result.status();
                                    });
      }));
}

template <typename Impl, typename Request, typename Response>
void Service::Stream(std::string_view method,
                     Awaitable<absl::Status> (Impl::*handler)(const CallContext&, const Request&,
                                                              StreamWriter<Response>&)) {
  const std::string_view name = Add(method, /*streams=*/true, Request::descriptor(), Response::descriptor());
  SetHandler(new grpc::internal::CallbackServerStreamingHandler<Request, Response>(
      [this, name, handler](grpc::CallbackServerContext* context, const Request* request) {
        auto* reactor = new internal::StreamReactor<Response>();
        internal::Serve(
            dependencies_, name, context, request, reactor->stop_token(),
            [impl = static_cast<Impl*>(this), handler, request,
             reactor](const CallContext& call) -> Awaitable<absl::Status> {
              return (impl->*handler)(call, *request, static_cast<StreamWriter<Response>&>(*reactor));
            },
            [reactor](grpc::Status status) { reactor->Finish(std::move(status)); });
        return reactor;
      }));
}

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_SERVER_IMPL_H_
