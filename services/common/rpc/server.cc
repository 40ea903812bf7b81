#include "services/common/rpc/server.h"

#include <chrono>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/log/absl_check.h"
#include "absl/log/absl_log.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/options.pb.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/impl/rpc_method.h"
#include "grpcpp/impl/rpc_service_method.h"
#include "grpcpp/server_context.h"
#include "services/common/rpc/denial_observer.h"
#include "services/common/rpc/metadata.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/rpc/token_check.h"
#include "services/common/rpc/token_guard.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"

namespace bulkhead::rpc {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::DescriptorPool;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::MethodDescriptor;
using ::google::protobuf::MethodOptions;

constexpr char kDomain[] = "bulkhead.rpc";

absl::Status Undeclared(std::string_view method, std::string_view why) {
  return MakeError(absl::StatusCode::kInternal, absl::StrCat(method, " ", why),
                   {.domain = kDomain, .reason = "METHOD_UNDECLARED", .metadata = {{"method", std::string(method)}}});
}

// "pkg.Service/Method" as its proto declares it, or null.
const MethodDescriptor* FindMethod(std::string_view method) {
  return DescriptorPool::generated_pool()->FindMethodByName(absl::StrReplaceAll(method, {{"/", "."}}));
}

// The string that `path` ("tool", "run.name") leads to; nullopt when it leads to no string.
std::optional<std::string> StringField(const Message& request, std::string_view path) {
  const Message* message = &request;
  std::vector<std::string_view> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i < names.size(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(names[i]);
    if (field == nullptr || field->is_repeated()) {
      return std::nullopt;
    }
    if (i + 1 == names.size()) {
      return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING
                 ? std::optional(message->GetReflection()->GetString(*message, field))
                 : std::nullopt;
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return std::nullopt;
    }
    message = &message->GetReflection()->GetMessage(*message, field);
  }
  return std::nullopt;
}

// The permission that `pattern` asks of `request`: "tool:{tool}:invoke" becomes "tool:table.load:invoke".
absl::StatusOr<std::string> FillIn(std::string_view method, std::string_view pattern, const Message& request) {
  std::string permission;
  while (!pattern.empty()) {
    size_t open = pattern.find('{');
    permission.append(pattern.substr(0, open));
    if (open == std::string_view::npos) {
      break;
    }
    size_t close = pattern.find('}', open);
    if (close == std::string_view::npos) {
      return Undeclared(method, "declares a permission whose brace does not close");
    }
    std::string_view path = pattern.substr(open + 1, close - open - 1);
    std::optional<std::string> value = StringField(request, path);
    if (!value.has_value()) {
      return Undeclared(method, absl::StrCat("declares a permission of '", path, "', which is no string field"));
    }
    permission.append(value->substr(value->rfind('/') + 1));  // npos + 1 is 0: all of it.
    pattern.remove_prefix(close + 1);
  }
  return permission;
}

// The only value of `key`; "" when it is absent or ambiguous.
std::string Metadata(const grpc::CallbackServerContext& context, const char* key) {
  auto [begin, end] = context.client_metadata().equal_range(key);
  if (begin == end || std::next(begin) != end) {
    return "";
  }
  return std::string(begin->second.data(), begin->second.size());
}

RawToken BearerToken(const grpc::CallbackServerContext& context) {
  std::string value = Metadata(context, kAuthorization);
  constexpr std::string_view kScheme = kBearerPrefix;
  if (!absl::StartsWithIgnoreCase(value, kScheme)) {
    return RawToken();
  }
  return RawToken(std::string(absl::StripAsciiWhitespace(std::string_view(value).substr(kScheme.size()))));
}

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  std::chrono::system_clock::time_point deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture() : absl::FromChrono(deadline);
}

// What the metadata says, checked for form.
absl::StatusOr<RequestInfo> ParseRequestInfo(const grpc::CallbackServerContext& context, IdGenerator& ids) {
  RequestInfo info;
  info.request_id = Metadata(context, kRequestId);
  if (info.request_id.empty()) {
    info.request_id = ids.NewId("req");
  }
  RETURN_IF_ERROR(ValidateId("request", info.request_id));
  info.parent_request_id = Metadata(context, kParentRequestId);
  if (!info.parent_request_id.empty()) {
    RETURN_IF_ERROR(ValidateId("parent request", info.parent_request_id));
  }
  info.thread = Metadata(context, kThread);
  std::string client = Metadata(context, kClient);
  info.client = PrintableClient(client.empty() ? Metadata(context, "user-agent") : client);
  // A trace context that is malformed is dropped, as W3C asks.
  std::string traceparent = Metadata(context, kTraceparent);
  if (IsTraceparent(traceparent)) {
    info.traceparent = std::move(traceparent);
  }
  info.deadline = DeadlineOf(context);
  return info;
}

// Fills `call`, or tells why it may not go on.
Awaitable<absl::Status> Admit(const ServerDependencies& dependencies, std::string_view method,
                              const grpc::CallbackServerContext& context, const Message& request, CallContext& call) {
  const MethodOptions& options = FindMethod(method)->options();  // Service::Add has found it.
  const bool anonymous = options.GetExtension(common::v1::anonymous);
  const std::string& pattern = options.GetExtension(common::v1::requires_);
  if (anonymous != pattern.empty()) {
    co_return Undeclared(method, "must declare either `requires` or `anonymous`");
  }

  CO_ASSIGN_OR_RETURN(RequestInfo info, ParseRequestInfo(context, *dependencies.ids));
  call.request_id = info.request_id;
  call.traceparent = info.traceparent;
  call.client = info.client;
  call.deadline = info.deadline;
  call.peer_address = OriginOf(context.peer(), Metadata(context, kClientAddress));
  auto token = std::make_shared<const RawToken>(BearerToken(context));
  if (anonymous) {
    if (!token->empty()) {
      call.token = std::move(token);
    }
    co_return absl::OkStatus();
  }

  const TokenCheck check{.verifier = dependencies.verifier,
                         .key_refresher = dependencies.key_refresher,
                         .revocations = dependencies.revocations};
  CO_ASSIGN_OR_RETURN(VerifiedToken verified, co_await check.Verify(*token));
  CO_ASSIGN_OR_RETURN(call.user, UserContext::FromToken(verified, std::move(info)));
  call.token = std::move(token);
  CO_ASSIGN_OR_RETURN(std::string permission, FillIn(method, pattern, request));
  co_return call.user->Require(permission);
}

absl::Status HandlerThrew(std::string_view method, std::string_view what) {
  ABSL_LOG(ERROR) << method << " threw: " << what;
  // What it said may quote anything: it stays in the log.
  return MakeError(absl::StatusCode::kInternal, absl::StrCat(method, " failed unexpectedly"),
                   {.domain = kDomain, .reason = "HANDLER_THREW", .metadata = {{"method", std::string(method)}}});
}

Awaitable<absl::Status> Handle(std::string_view method, internal::Handler handler, const CallContext& call) {
  try {
    co_return co_await handler(call);
  } catch (const std::exception& e) {
    co_return HandlerThrew(method, e.what());
  } catch (...) {
    co_return HandlerThrew(method, "an unknown type");
  }
}

// Every error that leaves has a reason.
absl::Status WithReason(std::string_view method, absl::Status status) {
  if (status.ok() || ErrorInfoOf(status).has_value()) {
    return status;
  }
  ABSL_LOG(ERROR) << method << " failed without a reason: " << status;
  return MakeError(absl::StatusCode::kInternal, absl::StrCat(method, " failed unexpectedly"),
                   {.domain = kDomain, .reason = "UNSPECIFIED_ERROR", .metadata = {{"method", std::string(method)}}});
}

// Runs the handler of a call that was admitted.
Awaitable<absl::Status> HandleUnderToken(const ServerDependencies& dependencies, std::string_view method,
                                         internal::Handler handler, CallContext& call) {
  if (dependencies.revocations == nullptr || !call.user.has_value()) {
    co_return co_await Handle(method, std::move(handler), call);
  }
  TokenGuard guard(*dependencies.revocations, call);
  absl::Status status = co_await Handle(method, std::move(handler), call);
  if (!status.ok()) {
    // What was stopped in the middle of it fails in many ways; the caller is told why.
    CO_RETURN_IF_ERROR(dependencies.revocations->Check(call.user->claims()));
  }
  co_return status;
}

Awaitable<void> RunCall(ServerDependencies dependencies, std::string method, const grpc::CallbackServerContext* context,
                        const Message* request, std::stop_token stop, internal::Handler handler,
                        absl::AnyInvocable<void(grpc::Status) &&> finish) {
  const absl::Time start = RealNow();
  CallContext call;
  call.stop = std::move(stop);
  absl::Status status = co_await Admit(dependencies, method, *context, *request, call);
  if (status.ok()) {
    status = co_await HandleUnderToken(dependencies, method, std::move(handler), call);
  } else if (status.code() == absl::StatusCode::kPermissionDenied && dependencies.denials != nullptr) {
    status = co_await dependencies.denials->OnDenied(call, method, std::move(status));
  }
  status = WithReason(method, std::move(status));
  ABSL_VLOG(1) << method << " user=" << (call.user.has_value() ? call.user->user() : "-")
               << " request=" << call.request_id << " code=" << absl::StatusCodeToString(status.code())
               << " reason=" << (status.ok() ? "-" : ReasonOf(status)) << " duration=" << RealNow() - start;
  std::move(finish)(ToGrpcStatus(status));
}

// Owns itself: gRPC calls OnDone after Finish, which the call's coroutine calls last.
class UnaryReactor final : public grpc::ServerUnaryReactor {
 public:
  std::stop_token stop_token() const { return stop_.get_token(); }

 private:
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { delete this; }

  std::stop_source stop_;
};

}  // namespace

namespace internal {

void Serve(const ServerDependencies& dependencies, std::string_view method, const grpc::CallbackServerContext* context,
           const Message* request, std::stop_token stop, Handler handler,
           absl::AnyInvocable<void(grpc::Status) &&> finish) {
  dependencies.executor->Spawn(RunCall(dependencies, std::string(method), context, request, std::move(stop),
                                       std::move(handler), std::move(finish)));
}

grpc::ServerUnaryReactor* ServeUnary(const ServerDependencies& dependencies, std::string_view method,
                                     grpc::CallbackServerContext* context, const Message* request, Handler handler) {
  auto* reactor = new UnaryReactor();
  Serve(dependencies, method, context, request, reactor->stop_token(), std::move(handler),
        [reactor](grpc::Status status) { reactor->Finish(std::move(status)); });
  return reactor;
}

}  // namespace internal

std::string_view Service::Add(std::string_view method, bool streams, const Descriptor* request,
                              const Descriptor* response) {
  const std::string path = absl::StrCat("/", name_, "/", method);
  const MethodDescriptor* declared = FindMethod(std::string_view(path).substr(1));
  ABSL_CHECK(declared != nullptr) << path << " is no method of this program";
  ABSL_CHECK(declared->input_type() == request && declared->output_type() == response &&
             declared->server_streaming() == streams && !declared->client_streaming())
      << path << " is declared as " << declared->DebugString();
  ABSL_CHECK(!absl::c_linear_search(paths_, path)) << path << " has two handlers";
  paths_.push_back(path);
  const auto type = streams ? grpc::internal::RpcMethod::SERVER_STREAMING : grpc::internal::RpcMethod::NORMAL_RPC;
  AddMethod(new grpc::internal::RpcServiceMethod(paths_.back().c_str(), type, /*handler=*/nullptr));
  return std::string_view(paths_.back()).substr(1);
}

void Service::SetHandler(grpc::internal::MethodHandler* handler) {
  MarkMethodCallback(static_cast<int>(paths_.size()) - 1, handler);
}

absl::Status Stopped(std::string_view method) {
  return MakeError(absl::StatusCode::kCancelled, absl::StrCat(method, " was stopped"),
                   {.domain = kDomain, .reason = "RPC_CANCELLED"});
}

absl::Status NotImplemented(std::string_view method) {
  return MakeError(
      absl::StatusCode::kUnimplemented, absl::StrCat(method, " is not implemented in this version"),
      {.domain = kDomain, .reason = "METHOD_NOT_IMPLEMENTED", .metadata = {{"method", std::string(method)}}});
}

}  // namespace bulkhead::rpc
