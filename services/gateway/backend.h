// The services behind the gateway, by their stubs.
#ifndef SERVICES_GATEWAY_BACKEND_H_
#define SERVICES_GATEWAY_BACKEND_H_

#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class Channel;
}
namespace bulkhead::notifier::v1 {
class SubscribeRequest;
class SubscribeResponse;
}  // namespace bulkhead::notifier::v1
namespace bulkhead::tool::v1 {
class DownloadFileRequest;
class DownloadFileResponse;
class InvokeToolRequest;
class InvokeToolResponse;
}  // namespace bulkhead::tool::v1

namespace bulkhead::gateway {

// Every call goes out under the context it is given: its token, its deadline, its cancellation. Thread-safe.
class Backend {
 public:
  struct Channels {
    std::shared_ptr<grpc::Channel> auth;
    std::shared_ptr<grpc::Channel> agent;
    std::shared_ptr<grpc::Channel> tool;
    std::shared_ptr<grpc::Channel> notifier;
  };
  template <typename Message>
  using OnMessage = absl::AnyInvocable<Awaitable<absl::Status>(Message)>;

  explicit Backend(Channels channels);
  ~Backend();

  // Any unary method, as "bulkhead.agent.v1.RunService/GetRun", with messages of its types. Both live until it has
  // ended.
  Awaitable<absl::Status> Call(rpc::CallContext call, std::string_view method, absl::Duration timeout,
                               const google::protobuf::Message& request, google::protobuf::Message* response);

  // The streaming ones. `on_message` holds the stream back until it has returned; an error from it ends the call and is
  // the result.
  Awaitable<absl::Status> Subscribe(rpc::CallContext call, const notifier::v1::SubscribeRequest& request,
                                    OnMessage<notifier::v1::SubscribeResponse> on_message);
  Awaitable<absl::Status> DownloadFile(rpc::CallContext call, const tool::v1::DownloadFileRequest& request,
                                       OnMessage<tool::v1::DownloadFileResponse> on_message);
  Awaitable<absl::Status> InvokeTool(rpc::CallContext call, absl::Duration timeout,
                                     const tool::v1::InvokeToolRequest& request,
                                     OnMessage<tool::v1::InvokeToolResponse> on_message);

 private:
  struct Stubs;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_BACKEND_H_
