#include "services/gateway/backend.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "google/protobuf/message.h"
#include "grpcpp/generic/generic_stub_callback.h"
#include "grpcpp/support/byte_buffer.h"
#include "services/common/rpc/client.h"
#include "services/common/status/macros.h"
#include "services/gateway/http_message.h"

namespace bulkhead::gateway {
namespace {

grpc::ByteBuffer ToByteBuffer(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

absl::Status Parse(const grpc::ByteBuffer& buffer, std::string_view method, google::protobuf::Message* message) {
  grpc::Slice slice;
  if (buffer.DumpToSingleSlice(&slice).ok() && message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::OkStatus();
  }
  return GatewayError(absl::StatusCode::kInternal, "ANSWER_INVALID",
                      absl::StrCat("the answer of ", method, " cannot be read"));
}

}  // namespace

struct Backend::Stubs {
  explicit Stubs(const Channels& channels)
      : auth(channels.auth),
        agent(channels.agent),
        tool(channels.tool),
        notifier(channels.notifier),
        events(notifier::v1::EventService::NewStub(channels.notifier)),
        files(tool::v1::FileService::NewStub(channels.tool)),
        tools(tool::v1::ToolService::NewStub(channels.tool)) {}

  // Null for a service that is not behind this gateway.
  grpc::GenericStubCallback* StubOf(std::string_view method) {
    for (auto& [prefix, stub] : std::initializer_list<std::pair<std::string_view, grpc::GenericStubCallback*>>{
             {"bulkhead.auth.", &auth},
             {"bulkhead.agent.", &agent},
             {"bulkhead.tool.", &tool},
             {"bulkhead.notifier.", &notifier}}) {
      if (absl::StartsWith(method, prefix)) {
        return stub;
      }
    }
    return nullptr;
  }

  grpc::GenericStubCallback auth;
  grpc::GenericStubCallback agent;
  grpc::GenericStubCallback tool;
  grpc::GenericStubCallback notifier;
  std::unique_ptr<notifier::v1::EventService::Stub> events;
  std::unique_ptr<tool::v1::FileService::Stub> files;
  std::unique_ptr<tool::v1::ToolService::Stub> tools;
};

Backend::Backend(Channels channels) : stubs_(std::make_unique<Stubs>(channels)) {}
Backend::~Backend() = default;

Awaitable<absl::Status> Backend::Call(rpc::CallContext call, std::string_view method, absl::Duration timeout,
                                      const google::protobuf::Message& request, google::protobuf::Message* response) {
  grpc::GenericStubCallback* stub = stubs_->StubOf(method);
  if (stub == nullptr) {
    co_return GatewayError(absl::StatusCode::kInternal, "SERVICE_UNKNOWN", absl::StrCat("no service has ", method));
  }
  const std::string path = absl::StrCat("/", method);
  const grpc::ByteBuffer bytes = ToByteBuffer(request);
  CO_ASSIGN_OR_RETURN(grpc::ByteBuffer answer,
                      co_await rpc::CallUnary<grpc::ByteBuffer>(
                          std::move(call), {.method = method, .timeout = timeout}, bytes,
                          [stub, &path](grpc::ClientContext* context, const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response, std::function<void(grpc::Status)> done) {
                            stub->UnaryCall(context, path, {}, request, response, std::move(done));
                          }));
  co_return Parse(answer, method, response);
}

Awaitable<absl::Status> Backend::Subscribe(rpc::CallContext call, const notifier::v1::SubscribeRequest& request,
                                           OnMessage<notifier::v1::SubscribeResponse> on_message) {
  co_return co_await rpc::CallStream<notifier::v1::SubscribeResponse>(
      std::move(call), {.method = "bulkhead.notifier.v1.EventService/Subscribe", .timeout = absl::InfiniteDuration()},
      request,
      [this](auto* context, auto* request, auto* reactor) {
        stubs_->events->async()->Subscribe(context, request, reactor);
      },
      std::move(on_message));
}

Awaitable<absl::Status> Backend::DownloadFile(rpc::CallContext call, const tool::v1::DownloadFileRequest& request,
                                              OnMessage<tool::v1::DownloadFileResponse> on_message) {
  co_return co_await rpc::CallStream<tool::v1::DownloadFileResponse>(
      std::move(call), {.method = "bulkhead.tool.v1.FileService/DownloadFile", .timeout = absl::InfiniteDuration()},
      request,
      [this](auto* context, auto* request, auto* reactor) {
        stubs_->files->async()->DownloadFile(context, request, reactor);
      },
      std::move(on_message));
}

Awaitable<absl::Status> Backend::InvokeTool(rpc::CallContext call, absl::Duration timeout,
                                            const tool::v1::InvokeToolRequest& request,
                                            OnMessage<tool::v1::InvokeToolResponse> on_message) {
  co_return co_await rpc::CallStream<tool::v1::InvokeToolResponse>(
      std::move(call), {.method = "bulkhead.tool.v1.ToolService/InvokeTool", .timeout = timeout}, request,
      [this](auto* context, auto* request, auto* reactor) {
        stubs_->tools->async()->InvokeTool(context, request, reactor);
      },
      std::move(on_message));
}

}  // namespace bulkhead::gateway
