#include "services/tool/tool_service.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bulkhead/tool/v1/tool_service.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/struct.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/user_context.h"
#include "services/common/json/struct_json.h"
#include "services/common/paging/page_token.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"
#include "services/tool/builtin/builtin_tools.h"
#include "services/tool/dispatcher.h"
#include "services/tool/file_service.h"
#include "services/tool/registry.h"
#include "services/tool/tool_store.h"
#include "services/tool/workspace.h"

namespace bulkhead::tool {
namespace {

constexpr char kDomain[] = "bulkhead.tool";
// How long Shutdown waits for tools that have been told to stop, in real time.
constexpr absl::Duration kShutdownLimit = absl::Seconds(5);

struct ToolName {
  std::string tool;
  std::string version;  // "" is the newest.
};

// "tools/{tool}" or "tools/{tool}@{version}".
absl::StatusOr<ToolName> ParseToolName(std::string_view name) {
  std::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, "tools/") || rest.empty() || rest.find('/') != std::string_view::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", name, "' is not of the form tools/{tool}"),
                     {.domain = kDomain, .reason = "TOOL_NAME_INVALID", .metadata = {{"tool", std::string(name)}}});
  }
  const size_t at = rest.find('@');
  return ToolName{.tool = std::string(rest.substr(0, at)),
                  .version = at == std::string_view::npos ? "" : std::string(rest.substr(at + 1))};
}

v1::RepeatPolicy ToProto(RepeatPolicy policy) {
  switch (policy) {
    case RepeatPolicy::kSafe:
      return v1::REPEAT_POLICY_SAFE;
    case RepeatPolicy::kIdempotent:
      return v1::REPEAT_POLICY_IDEMPOTENT;
    case RepeatPolicy::kAtMostOnce:
      return v1::REPEAT_POLICY_AT_MOST_ONCE;
  }
  return v1::REPEAT_POLICY_UNSPECIFIED;
}

// Schemas were compiled: they are JSON.
absl::StatusOr<google::protobuf::Struct> SchemaToStruct(const std::string& text) {
  return ToStruct(nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false));
}

absl::StatusOr<v1::Tool> ToProto(const ToolSpec& spec) {
  v1::Tool tool;
  tool.set_name(absl::StrCat("tools/", spec.name));
  tool.set_version(spec.version);
  tool.set_description(spec.description);
  ASSIGN_OR_RETURN(*tool.mutable_input_schema(), SchemaToStruct(spec.input_schema));
  ASSIGN_OR_RETURN(*tool.mutable_output_schema(), SchemaToStruct(spec.output_schema));
  tool.set_repeat_policy(ToProto(spec.repeat_policy));
  if (spec.timeout > absl::ZeroDuration()) {
    SetDuration(spec.timeout, tool.mutable_timeout());
  }
  tool.set_max_output_bytes(spec.max_output_bytes);
  if (!spec.owner.empty()) {
    tool.set_owner(absl::StrCat("users/", spec.owner));
  }
  for (const std::string& tag : spec.tags) {
    tool.add_tags(tag);
  }
  return tool;
}

// Writes what happens to a call into its stream. A client that has gone is noticed by the call's
// stop token.
class StreamObserver : public CallObserver {
 public:
  explicit StreamObserver(rpc::StreamWriter<v1::InvokeToolResponse>* out) : out_(out) {}

  Awaitable<void> OnAccepted(AcceptedCall accepted) override {
    v1::InvokeToolResponse response;
    v1::Accepted* proto = response.mutable_accepted();
    proto->set_invocation(absl::StrCat("invocations/", accepted.invocation));
    proto->set_tool_version(accepted.tool_version);
    proto->set_repeat_policy(ToProto(accepted.repeat_policy));
    co_await out_->Write(std::move(response));
  }

  Awaitable<void> OnProgress(ProgressReport progress) override {
    v1::InvokeToolResponse response;
    response.mutable_progress()->set_fraction(progress.fraction);
    response.mutable_progress()->set_message(progress.message);
    co_await out_->Write(std::move(response));
  }

 private:
  rpc::StreamWriter<v1::InvokeToolResponse>* const out_;
};

absl::StatusOr<v1::Invocation> ToProto(const UserContext& user, FinishedCall call) {
  v1::Invocation invocation;
  invocation.set_name(absl::StrCat("invocations/", call.invocation));
  invocation.set_tool(absl::StrCat("tools/", call.tool));
  ASSIGN_OR_RETURN(*invocation.mutable_output(), ToStruct(call.output));
  for (const std::string& path : call.artifacts) {
    invocation.add_artifacts(absl::StrCat(user.user_name(), "/files/", path));
  }
  SetDuration(call.duration, invocation.mutable_duration());
  invocation.set_repeated_result(call.repeated);
  return invocation;
}

class ToolServiceImpl final : public rpc::Service {
 public:
  ToolServiceImpl(const rpc::ServerDependencies& calls, Registry* registry, Dispatcher* dispatcher)
      : Service("bulkhead.tool.v1.ToolService", calls), registry_(registry), dispatcher_(dispatcher) {
    Unary("GetTool", &ToolServiceImpl::GetTool);
    Unary("ListTools", &ToolServiceImpl::ListTools);
    Unary("RegisterTool", &ToolServiceImpl::RegisterTool);
    Unary("UnregisterTool", &ToolServiceImpl::UnregisterTool);
    Stream("InvokeTool", &ToolServiceImpl::InvokeTool);
  }

 private:
  Awaitable<absl::StatusOr<v1::Tool>> GetTool(const rpc::CallContext& call, const v1::GetToolRequest& request) {
    CO_ASSIGN_OR_RETURN(const ToolName name, ParseToolName(request.name()));
    CO_ASSIGN_OR_RETURN(const std::shared_ptr<const RegisteredTool> tool,
                        registry_->Find(call.user->user(), name.tool, name.version));
    co_return ToProto(tool->spec());
  }

  Awaitable<absl::StatusOr<v1::ListToolsResponse>> ListTools(const rpc::CallContext& call,
                                                             const v1::ListToolsRequest& request) {
    co_return ListPage(*call.user, request);
  }

  Awaitable<absl::StatusOr<v1::Tool>> RegisterTool(const rpc::CallContext& /*call*/,
                                                   const v1::RegisterToolRequest& /*request*/) {
    co_return rpc::NotImplemented("bulkhead.tool.v1.ToolService/RegisterTool");
  }

  Awaitable<absl::StatusOr<google::protobuf::Empty>> UnregisterTool(const rpc::CallContext& call,
                                                                    const v1::UnregisterToolRequest& request) {
    CO_ASSIGN_OR_RETURN(const ToolName name, ParseToolName(request.name()));
    CO_RETURN_IF_ERROR(registry_->Unregister(call.user->user(), name.tool));
    co_return google::protobuf::Empty();
  }

  absl::StatusOr<v1::ListToolsResponse> ListPage(const UserContext& user, const v1::ListToolsRequest& request) const {
    const std::string list = absl::StrCat("tools\n", user.user(), "\n", request.query());
    ASSIGN_OR_RETURN(const std::string after, DecodePageToken(list, request.page_token()));
    ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
    const auto size = static_cast<size_t>(page_size);
    // One more, to know whether there is another page.
    const auto tools = registry_->List(user.user(), request.query(), after, size + 1);
    v1::ListToolsResponse response;
    for (size_t i = 0; i < std::min(size, tools.size()); ++i) {
      ASSIGN_OR_RETURN(*response.add_tools(), ToProto(tools[i]->spec()));
    }
    if (tools.size() > size) {
      response.set_next_page_token(EncodePageToken(list, tools[size - 1]->spec().name));
    }
    return response;
  }

  Awaitable<absl::Status> InvokeTool(const rpc::CallContext& call, const v1::InvokeToolRequest& request,
                                     rpc::StreamWriter<v1::InvokeToolResponse>& out) {
    CO_ASSIGN_OR_RETURN(ToolName name, ParseToolName(request.tool()));
    CallRequest tool_call{
        .tool = std::move(name.tool),
        .input = ToJson(request.input()),
        .request_id = request.request_id(),
        .timeout = absl::Seconds(request.timeout().seconds()) + absl::Nanoseconds(request.timeout().nanos())};
    StreamObserver observer(&out);
    CO_ASSIGN_OR_RETURN(FinishedCall finished,
                        co_await dispatcher_->Dispatch(*call.user, std::move(tool_call), call.stop, &observer));
    v1::InvokeToolResponse response;
    CO_ASSIGN_OR_RETURN(*response.mutable_invocation(), ToProto(*call.user, std::move(finished)));
    co_await out.Write(std::move(response));
    co_return absl::OkStatus();
  }

  Registry* const registry_;
  Dispatcher* const dispatcher_;
};

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("cannot make the folder '", path, "': ", error.message()),
                     {.domain = kDomain, .reason = "DATA_FOLDER_UNUSABLE", .metadata = {{"path", path}}});
  }
  return absl::OkStatus();
}

}  // namespace

// In the order of their making; each uses those before it.
struct ToolServer::State {
  std::unique_ptr<ToolStore> store;
  std::unique_ptr<Workspaces> workspaces;
  Registry registry;
  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<grpc::Service> tool_service;
  std::unique_ptr<grpc::Service> file_service;
};

ToolServer::ToolServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
ToolServer::~ToolServer() = default;

absl::StatusOr<std::unique_ptr<ToolServer>> ToolServer::Create(Options options, Dependencies dependencies) {
  auto state = std::make_unique<State>();
  const std::string tables = absl::StrCat(options.data_dir, "/tables");
  RETURN_IF_ERROR(MakeFolder(tables));
  ASSIGN_OR_RETURN(state->store, ToolStore::Open(absl::StrCat(options.data_dir, "/tool.db"), options.durable));
  ASSIGN_OR_RETURN(state->workspaces, Workspaces::Create({.root = absl::StrCat(options.data_dir, "/workspaces"),
                                                          .max_bytes = options.max_workspace_bytes},
                                                         dependencies.clock));
  for (std::unique_ptr<Tool>& tool :
       BuiltinTools({.tables_dir = tables, .max_table_bytes = options.max_workspace_bytes})) {
    RETURN_IF_ERROR(state->registry.Register(std::move(tool)));
  }
  for (std::shared_ptr<Tool>& tool : dependencies.extra_tools) {
    RETURN_IF_ERROR(state->registry.Register(std::move(tool)));
  }
  state->dispatcher =
      std::make_unique<Dispatcher>(Dispatcher::Options{.max_timeout = options.max_timeout,
                                                       .cut_off_grace = options.cut_off_grace,
                                                       .max_message_bytes = options.max_message_bytes,
                                                       .quota = {.max_calls_per_minute = options.max_calls_per_minute,
                                                                 .max_concurrent_calls = options.max_concurrent_calls}},
                                   Dispatcher::Dependencies{.clock = dependencies.clock,
                                                            .ids = dependencies.ids,
                                                            .executor = dependencies.executor,
                                                            .blocking = dependencies.blocking,
                                                            .tool_threads = dependencies.tool_threads,
                                                            .registry = &state->registry,
                                                            .store = state->store.get(),
                                                            .workspaces = state->workspaces.get()});
  state->tool_service = std::make_unique<ToolServiceImpl>(dependencies.rpc, &state->registry, state->dispatcher.get());
  state->file_service = CreateFileService(dependencies.rpc, state->workspaces.get(), dependencies.blocking);
  return std::unique_ptr<ToolServer>(new ToolServer(std::move(state)));
}

std::vector<grpc::Service*> ToolServer::services() { return {state_->tool_service.get(), state_->file_service.get()}; }

absl::Status ToolServer::Start() { return absl::OkStatus(); }

void ToolServer::Shutdown() {
  if (absl::Status status = state_->dispatcher->Shutdown(kShutdownLimit); !status.ok()) {
    ABSL_LOG(WARNING) << status.message();
  }
}

}  // namespace bulkhead::tool
