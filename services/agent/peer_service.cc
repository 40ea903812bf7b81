#include "services/agent/peer_service.h"

#include <atomic>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "services/common/json/struct_json.h"
#include "services/common/rpc/call_as_service.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/client.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

namespace auth = ::bulkhead::auth::v1;
namespace notifier = ::bulkhead::notifier::v1;
namespace tool = ::bulkhead::tool::v1;

// Progress is best effort: what cannot leave at once is dropped.
constexpr int kMaxTransientUnderWay = 64;

absl::Status BrokenPeer(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, what, {.domain = "bulkhead.agent", .reason = "PEER_BROKE_CONTRACT"});
}

rpc::CallContext ContextOf(const RunIdentity& identity) {
  rpc::CallContext call;
  call.token = identity.token;
  call.traceparent = identity.traceparent;
  call.stop = identity.stop;
  return call;
}

class GrpcToolClient final : public ToolClient {
 public:
  explicit GrpcToolClient(std::shared_ptr<grpc::Channel> channel)
      : stub_(tool::ToolService::NewStub(std::move(channel))) {}

  Awaitable<absl::StatusOr<RepeatPolicy>> PolicyOf(RunIdentity identity, std::string name) override {
    CO_ASSIGN_OR_RETURN(tool::Tool found, co_await Get(identity, name));
    switch (found.repeat_policy()) {
      case tool::REPEAT_POLICY_SAFE:
        co_return RepeatPolicy::kSafe;
      case tool::REPEAT_POLICY_IDEMPOTENT:
        co_return RepeatPolicy::kIdempotent;
      default:
        co_return RepeatPolicy::kAtMostOnce;  // Also for policies of later versions.
    }
  }

  Awaitable<absl::StatusOr<ToolDescription>> Describe(RunIdentity identity, std::string name) override {
    CO_ASSIGN_OR_RETURN(tool::Tool found, co_await Get(identity, name));
    co_return ToolDescription{
        .name = std::move(name), .description = found.description(), .input_schema = ToJson(found.input_schema())};
  }

  Awaitable<absl::StatusOr<ToolResult>> Invoke(RunIdentity identity, ToolCall call) override {
    tool::InvokeToolRequest request;
    request.set_tool(absl::StrCat("tools/", call.tool));
    request.set_request_id(call.request_id);
    CO_ASSIGN_OR_RETURN(*request.mutable_input(), ToStruct(call.input));
    std::optional<tool::Invocation> invocation;
    absl::Status status = co_await rpc::CallStream<tool::InvokeToolResponse>(
        ContextOf(identity),
        {.method = "bulkhead.tool.v1.ToolService/InvokeTool", .timeout = identity.timeout, .thread = identity.thread},
        request,
        [this](auto* context, auto* request, auto* reader) { stub_->async()->InvokeTool(context, request, reader); },
        [&call, &invocation](tool::InvokeToolResponse message) -> Awaitable<absl::Status> {
          if (message.has_accepted()) {
            co_return co_await call.on_accepted();
          }
          if (message.has_progress()) {
            call.on_progress(message.progress().fraction(), message.progress().message());
          }
          if (message.has_invocation()) {
            invocation = std::move(*message.mutable_invocation());
          }
          co_return absl::OkStatus();
        });
    CO_RETURN_IF_ERROR(status);
    if (!invocation.has_value()) {
      co_return BrokenPeer("the tool service ended a call without a result");
    }
    co_return ToolResult{.output = ToJson(invocation->output()),
                         .artifacts = {invocation->artifacts().begin(), invocation->artifacts().end()}};
  }

 private:
  Awaitable<absl::StatusOr<tool::Tool>> Get(const RunIdentity& identity, const std::string& name) {
    tool::GetToolRequest request;
    request.set_name(absl::StrCat("tools/", name));
    co_return co_await rpc::CallUnary<tool::Tool>(
        ContextOf(identity), {.method = "bulkhead.tool.v1.ToolService/GetTool", .thread = identity.thread}, request,
        [this](auto* context, auto* request, auto* response, auto done) {
          stub_->async()->GetTool(context, request, response, std::move(done));
        });
  }

  const std::unique_ptr<tool::ToolService::Stub> stub_;
};

class GrpcTokenExchange final : public TokenExchange {
 public:
  GrpcTokenExchange(std::shared_ptr<grpc::Channel> channel, Clock* clock, rpc::ServiceTokenSource* tokens)
      : stub_(auth::TokenService::NewStub(std::move(channel))), clock_(clock), tokens_(tokens) {}

  Awaitable<absl::StatusOr<Secret>> Exchange(std::shared_ptr<const RawToken> subject, std::string run,
                                             absl::Duration lifetime) override {
    auth::ExchangeTokenRequest request;
    request.set_subject_token(subject->Reveal());
    request.set_run(run);
    request.mutable_lifetime()->set_seconds(absl::ToInt64Seconds(lifetime));
    CO_ASSIGN_OR_RETURN(auth::IssuedToken issued,
                        co_await rpc::CallAsService(*tokens_, {}, [this, &request](rpc::CallContext call) {
                          return rpc::CallUnary<auth::IssuedToken>(
                              std::move(call),
                              {.method = "bulkhead.auth.v1.TokenService/ExchangeToken", .attempts = 3, .clock = clock_},
                              request, [this](auto* context, auto* request, auto* response, auto done) {
                                stub_->async()->ExchangeToken(context, request, response, std::move(done));
                              });
                        }));
    co_return Secret(std::move(*issued.mutable_token()));
  }

 private:
  const std::unique_ptr<auth::TokenService::Stub> stub_;
  Clock* const clock_;
  rpc::ServiceTokenSource* const tokens_;
};

class GrpcEventPublisher final : public EventPublisher {
 public:
  GrpcEventPublisher(std::shared_ptr<grpc::Channel> channel, Executor* executor,
                     std::shared_ptr<rpc::ServiceTokenSource> tokens)
      : peer_(std::make_shared<Peer>(notifier::EventService::NewStub(std::move(channel)), std::move(tokens))),
        executor_(executor) {}

  ~GrpcEventPublisher() override { peer_->closing.request_stop(); }

  Awaitable<absl::Status> Publish(std::vector<OutboxEntry> entries, std::stop_token stop) override {
    notifier::PublishEventsRequest request;
    for (const OutboxEntry& entry : entries) {
      if (!request.add_events()->ParseFromString(entry.event)) {
        co_return MakeError(absl::StatusCode::kDataLoss, "an event of the outbox cannot be read",
                            {.domain = "bulkhead.agent", .reason = "OUTBOX_CORRUPT"});
      }
    }
    co_return co_await Send(peer_, std::move(request), std::move(stop));
  }

  void PublishTransient(std::string event) override {
    notifier::PublishEventsRequest request;
    if (peer_->transient_under_way.fetch_add(1) >= kMaxTransientUnderWay ||
        !request.add_events()->ParseFromString(event)) {
      peer_->transient_under_way.fetch_sub(1);
      return;
    }
    executor_->Spawn([](std::shared_ptr<Peer> peer, notifier::PublishEventsRequest request) -> Awaitable<void> {
      absl::Status sent = co_await Send(peer, std::move(request), peer->closing.get_token());
      peer->transient_under_way.fetch_sub(1);
      if (!sent.ok()) {
        ABSL_VLOG(1) << "a transient event is lost: " << sent;
      }
    }(peer_, std::move(request)));
  }

 private:
  // Shared with calls that are under way.
  struct Peer {
    Peer(std::unique_ptr<notifier::EventService::Stub> s, std::shared_ptr<rpc::ServiceTokenSource> t)
        : stub(std::move(s)), tokens(std::move(t)) {}
    const std::unique_ptr<notifier::EventService::Stub> stub;
    const std::shared_ptr<rpc::ServiceTokenSource> tokens;
    std::stop_source closing;
    std::atomic<int> transient_under_way = 0;
  };

  static Awaitable<absl::Status> Send(std::shared_ptr<Peer> peer, notifier::PublishEventsRequest request,
                                      std::stop_token stop) {
    absl::StatusOr<notifier::PublishEventsResponse> published =
        co_await rpc::CallAsService(*peer->tokens, stop, [&peer, &request](rpc::CallContext call) {
          return rpc::CallUnary<notifier::PublishEventsResponse>(
              std::move(call), {.method = "bulkhead.notifier.v1.EventService/PublishEvents"}, request,
              [&peer](auto* context, auto* request, auto* response, auto done) {
                peer->stub->async()->PublishEvents(context, request, response, std::move(done));
              });
        });
    co_return published.status();
  }

  const std::shared_ptr<Peer> peer_;
  Executor* const executor_;
};

}  // namespace

std::unique_ptr<ToolClient> CreateToolClient(std::shared_ptr<grpc::Channel> tool) {
  return std::make_unique<GrpcToolClient>(std::move(tool));
}

std::unique_ptr<TokenExchange> CreateTokenExchange(std::shared_ptr<grpc::Channel> auth, Clock* clock,
                                                   rpc::ServiceTokenSource* tokens) {
  return std::make_unique<GrpcTokenExchange>(std::move(auth), clock, tokens);
}

std::unique_ptr<EventPublisher> CreateEventPublisher(std::shared_ptr<grpc::Channel> notifier, Executor* executor,
                                                     std::shared_ptr<rpc::ServiceTokenSource> tokens) {
  return std::make_unique<GrpcEventPublisher>(std::move(notifier), executor, std::move(tokens));
}

}  // namespace bulkhead::agent
