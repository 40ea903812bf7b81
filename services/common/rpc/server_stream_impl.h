// The implementation of server-streaming calls, for server.h alone.
// IWYU pragma: private, include "services/common/rpc/server.h"
#ifndef SERVICES_COMMON_RPC_SERVER_STREAM_IMPL_H_
#define SERVICES_COMMON_RPC_SERVER_STREAM_IMPL_H_

#include <stop_token>
#include <utility>

#include "services/common/rpc/server.h"

namespace bulkhead::rpc {
namespace internal {

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
grpc::ServerWriteReactor<Response>* ServeStream(const ServerDependencies& dependencies, std::string_view method,
                                                grpc::CallbackServerContext* context, const Request* request,
                                                Handler handler) {
  auto* reactor = new internal::StreamReactor<Response>();
  internal::Serve(
      dependencies, method, context, request, reactor->stop_token(),
      [request, reactor, handler = std::move(handler)](const CallContext& call) mutable -> Awaitable<absl::Status> {
        return handler(call, *request, static_cast<StreamWriter<Response>&>(*reactor));
      },
      [reactor](grpc::Status status) { reactor->Finish(std::move(status)); });
  return reactor;
}

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_SERVER_STREAM_IMPL_H_
