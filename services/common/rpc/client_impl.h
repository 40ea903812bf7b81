// The implementation of client.h, which alone includes it.
// IWYU pragma: private, include "services/common/rpc/client.h"
#ifndef SERVICES_COMMON_RPC_CLIENT_IMPL_H_
#define SERVICES_COMMON_RPC_CLIENT_IMPL_H_

#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "services/common/rpc/client.h"

namespace bulkhead::rpc {
namespace internal {

// One attempt under a prepared context.
using Attempt = absl::AnyInvocable<Awaitable<grpc::Status>(grpc::ClientContext&)>;

// Prepares contexts, makes attempts, waits between them, converts the last status. An attempt that sets `begun` is not repeated.
Awaitable<absl::Status> CallWithRetries(const CallContext& call, const CallPolicy& policy, const bool& begun,
                                        Attempt attempt);

// gRPC wants its callbacks copyable.
inline std::function<void(grpc::Status)> Copyable(absl::AnyInvocable<void(grpc::Status)> done) {
  return [shared = std::make_shared<absl::AnyInvocable<void(grpc::Status)>>(std::move(done))](grpc::Status status) {
    (*shared)(std::move(status));
  };
}

// Reads one server-streaming call. Lives until End has resumed.
template <typename Response>
class StreamReader final : public grpc::ClientReadReactor<Response> {
 public:
  // After the stub has bound it. The hold lets reads start between reactions.
  void Begin() {
    this->AddHold();
    this->StartCall();
  }

  // False at the end of the stream.
  Awaitable<bool> Read(Response* message) {
    co_return co_await AwaitCallback<bool>([this, message](absl::AnyInvocable<void(bool)> done) {
      read_ = std::move(done);
      this->StartRead(message);
    });
  }

  Awaitable<grpc::Status> End() {
    co_return co_await AwaitCallback<grpc::Status>([this](absl::AnyInvocable<void(grpc::Status)> done) {
      ended_ = std::move(done);
      this->RemoveHold();
    });
  }

 private:
  void OnReadDone(bool ok) override { std::exchange(read_, nullptr)(ok); }
  // Not before RemoveHold, so `ended_` is set.
  void OnDone(const grpc::Status& status) override { std::exchange(ended_, nullptr)(status); }

  absl::AnyInvocable<void(bool)> read_;
  absl::AnyInvocable<void(grpc::Status)> ended_;
};

// `begun` and `consumed` tell whether a message came, and what `on_message` said to the last.
template <typename Response, typename Request, typename Start, typename OnMessage>
Awaitable<grpc::Status> ReadStream(grpc::ClientContext& context, const Request& request, Start& start,
                                   OnMessage& on_message, bool& begun, absl::Status& consumed) {
  StreamReader<Response> reader;
  start(&context, &request, &reader);
  reader.Begin();
  std::exception_ptr thrown;
  try {
    Response message;
    while (consumed.ok() && co_await reader.Read(&message)) {
      begun = true;
      if constexpr (std::is_same_v<std::invoke_result_t<OnMessage&, Response>, absl::Status>) {
        consumed = on_message(std::move(message));
      } else {
        consumed = co_await on_message(std::move(message));
      }
      message.Clear();
    }
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown != nullptr || !consumed.ok()) {
    context.TryCancel();
  }
  grpc::Status status = co_await reader.End();
  if (thrown != nullptr) {
    std::rethrow_exception(thrown);
  }
  co_return status;
}

}  // namespace internal

template <typename Response, typename Request, typename Start>
Awaitable<absl::StatusOr<Response>> CallUnary(CallContext call, CallPolicy policy, const Request& request,
                                              Start start) {
  Response response;
  const bool begun = false;
  absl::Status status = co_await internal::CallWithRetries(
      call, policy, begun, [&request, &response, &start](grpc::ClientContext& context) {
        response.Clear();
        return AwaitCallback<grpc::Status>(
            [&context, &request, &response, &start](absl::AnyInvocable<void(grpc::Status)> done) {
              start(&context, &request, &response, internal::Copyable(std::move(done)));
            });
      });
  if (!status.ok()) {
    co_return status;
  }
  co_return response;
}

template <typename Response, typename Request, typename Start, typename OnMessage>
Awaitable<absl::Status> CallStream(CallContext call, CallPolicy policy, const Request& request, Start start,
                                   OnMessage on_message) {
  bool begun = false;
  absl::Status consumed;
  absl::Status status = co_await internal::CallWithRetries(
      call, policy, begun, [&request, &start, &on_message, &begun, &consumed](grpc::ClientContext& context) {
        return internal::ReadStream<Response>(context, request, start, on_message, begun, consumed);
      });
  co_return consumed.ok() ? status : consumed;
}

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_CLIENT_IMPL_H_
