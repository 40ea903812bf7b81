#include "testing/harness/user.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/log/absl_check.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"

namespace bulkhead::testing {
namespace {

using agent::v1::RunService;
using auth::v1::SessionService;
using auth::v1::UserService;
using notifier::v1::EventService;
using tool::v1::FileService;
using tool::v1::ToolService;

constexpr int kPageSize = 1000;
constexpr size_t kPieceBytes = 1 << 20;

bool IsTerminal(std::string_view type) {
  return type == "agent_completed" || type == "agent_failed" || type == "agent_cancelled";
}

// `{}` where JSON is expected makes null.
nlohmann::json ObjectOf(const nlohmann::json& input) { return input.is_null() ? nlohmann::json::object() : input; }

absl::Status TimedOut(std::string_view awaited, const std::vector<std::string>& seen) {
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat("timed out waiting for ", awaited, "; saw ", absl::StrJoin(seen, ", ")),
                   {.domain = "bulkhead.testing", .reason = "WAIT_TIMED_OUT"});
}

// Reads a run's subscription until `wanted` says that an event is the one, the run's log ends, or the guard. A run
// whose first events the relay has not delivered yet has no stream: it is asked for again.
absl::StatusOr<notifier::v1::Event> AwaitEvent(User& user, std::string_view run, std::string_view awaited,
                                               absl::Duration guard,
                                               absl::FunctionRef<bool(const notifier::v1::Event&)> wanted) {
  const absl::Time deadline = RealDeadline(guard);
  std::vector<std::string> seen;
  uint64_t cursor = 0;
  while (true) {
    grpc::ClientContext context;
    AuthorizeWith(context, user.token().Reveal(), deadline - RealNow());
    notifier::v1::SubscribeRequest request;
    request.set_stream(run);
    request.set_after(cursor);
    const auto stub = StubFor<EventService>(user);
    const auto reader = stub->Subscribe(&context, request);
    notifier::v1::SubscribeResponse response;
    while (reader->Read(&response)) {
      if (!response.has_event()) {
        continue;
      }
      cursor = std::max(cursor, response.event().sequence());
      if (seen.empty() || seen.back() != response.event().type()) {
        seen.push_back(response.event().type());
      }
      if (wanted(response.event())) {
        context.TryCancel();
        return response.event();
      }
    }
    const absl::Status ended = FromGrpcStatus(reader->Finish());
    if (RealNow() >= deadline || ended.code() == absl::StatusCode::kDeadlineExceeded) {
      return TimedOut(absl::StrCat(awaited, " of ", run), seen);
    }
    if (ended.ok()) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat(run, " ended without ", awaited, "; saw ", absl::StrJoin(seen, ", ")),
                       {.domain = "bulkhead.testing", .reason = "EVENT_NEVER_CAME"});
    }
    if (ReasonOf(ended) == "STREAM_NOT_FOUND") {
      // Of a run that is not there at all, its own error says more.
      RETURN_IF_ERROR(user.GetRun(run).status());
    } else if (ended.code() != absl::StatusCode::kUnavailable) {
      return ended;
    }
    // Asks again after some milliseconds.
    bool waited = false;
    RETURN_IF_ERROR(WaitFor([&] { return std::exchange(waited, true); }, awaited));
  }
}

}  // namespace

User::User(Harness* harness, std::string login, std::string password)
    : harness_(harness), login_(std::move(login)), password_(std::move(password)) {}

std::string User::id() const { return name_.substr(name_.rfind('/') + 1); }

void AuthorizeWith(grpc::ClientContext& context, std::string_view token, absl::Duration deadline) {
  if (!token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
  context.set_deadline(absl::ToChronoTime(RealDeadline(deadline)));
}

void User::Authorize(grpc::ClientContext& context, absl::Duration deadline) const {
  AuthorizeWith(context, access_token_.Reveal(), deadline);
}

std::shared_ptr<grpc::Channel> User::ChannelTo(std::string_view service) const { return harness_->ChannelTo(service); }

absl::Status User::Register() {
  auth::v1::CreateUserRequest request;
  request.set_login(login_);
  request.set_password(password_);
  return CallWithToken<UserService>(*harness_, "", &UserService::Stub::CreateUser, request).status();
}

absl::Status User::SignIn() {
  auth::v1::SignInRequest request;
  request.set_login(login_);
  request.set_password(password_);
  ASSIGN_OR_RETURN(const auth::v1::Tokens tokens,
                   CallWithToken<SessionService>(*harness_, "", &SessionService::Stub::SignIn, request));
  Keep(tokens);
  return absl::OkStatus();
}

absl::Status User::Refresh() {
  auth::v1::RefreshSessionRequest request;
  request.set_refresh_token(refresh_token_);
  ASSIGN_OR_RETURN(const auth::v1::Tokens tokens,
                   CallWithToken<SessionService>(*harness_, "", &SessionService::Stub::RefreshSession, request));
  Keep(tokens);
  return absl::OkStatus();
}

void User::Keep(const auth::v1::Tokens& tokens) {
  name_ = tokens.user();
  session_ = tokens.session();
  access_token_ = RawToken(tokens.access_token());
  refresh_token_ = tokens.refresh_token();
}

absl::StatusOr<std::string> User::StartRun(std::string_view agent, const nlohmann::json& input,
                                           StartRunOptions options) {
  agent::v1::CreateRunRequest request;
  request.set_agent(absl::StrCat("agents/", agent));
  ASSIGN_OR_RETURN(*request.mutable_input(), ToStruct(ObjectOf(input)));
  if (options.timeout > absl::ZeroDuration()) {
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(options.timeout);
    request.mutable_timeout()->set_seconds(nanoseconds / 1'000'000'000);
    request.mutable_timeout()->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  }
  request.set_request_id(options.request_id);
  ASSIGN_OR_RETURN(const agent::v1::Run run, Call<RunService>(*this, &RunService::Stub::CreateRun, request));
  return run.name();
}

absl::StatusOr<agent::v1::Run> User::GetRun(std::string_view run) {
  agent::v1::GetRunRequest request;
  request.set_name(run);
  return Call<RunService>(*this, &RunService::Stub::GetRun, request);
}

absl::StatusOr<std::vector<agent::v1::Run>> User::ListRuns() {
  std::vector<agent::v1::Run> runs;
  agent::v1::ListRunsRequest request;
  request.set_page_size(kPageSize);
  do {
    ASSIGN_OR_RETURN(const agent::v1::ListRunsResponse page,
                     Call<RunService>(*this, &RunService::Stub::ListRuns, request));
    runs.insert(runs.end(), page.runs().begin(), page.runs().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return runs;
}

absl::StatusOr<agent::v1::Run> User::CancelRun(std::string_view run, std::string_view comment) {
  agent::v1::CancelRunRequest request;
  request.set_name(run);
  request.set_comment(comment);
  return Call<RunService>(*this, &RunService::Stub::CancelRun, request);
}

absl::StatusOr<agent::v1::Run> User::WaitForRun(std::string_view run, absl::Duration guard) {
  RETURN_IF_ERROR(AwaitEvent(*this, run, "the end", guard, [](const notifier::v1::Event& event) {
                    return IsTerminal(event.type());
                  }).status());
  return GetRun(run);
}

absl::StatusOr<agent::v1::Run> User::WaitForState(std::string_view run, std::string_view state, absl::Duration guard) {
  absl::StatusOr<agent::v1::Run> found;
  RETURN_IF_ERROR(WaitFor(
      [&] {
        found = GetRun(run);
        return !found.ok() || agent::v1::RunState_Name(found->state()) == state;
      },
      absl::StrCat(state, " of ", run), [&] { return agent::v1::RunState_Name(found->state()); }, guard));
  return found;
}

absl::StatusOr<agent::v1::Approval> User::WaitForApproval(std::string_view run, absl::Duration guard) {
  agent::v1::ListApprovalsRequest request;
  request.set_parent(run);
  absl::StatusOr<agent::v1::Approval> found = absl::NotFoundError("no approval yet");
  RETURN_IF_ERROR(WaitFor(
      [&] {
        const auto page = Call<RunService>(*this, &RunService::Stub::ListApprovals, request);
        if (!page.ok()) {
          found = page.status();
          return true;
        }
        for (const agent::v1::Approval& approval : page->approvals()) {
          if (!approval.has_decision()) {
            found = approval;
            return true;
          }
        }
        return false;
      },
      absl::StrCat("an approval of ", run), [] { return std::string("none that is undecided"); }, guard));
  return found;
}

absl::StatusOr<agent::v1::Approval> User::Decide(const agent::v1::Approval& approval, bool allow,
                                                 std::string_view request_id) {
  agent::v1::ResolveApprovalRequest request;
  request.set_name(approval.name());
  request.set_call_hash(approval.call_hash());
  request.mutable_decision()->set_verdict(allow ? agent::v1::Decision::VERDICT_ALLOW
                                                : agent::v1::Decision::VERDICT_DENY);
  request.set_request_id(request_id);
  return Call<RunService>(*this, &RunService::Stub::ResolveApproval, request);
}

absl::StatusOr<notifier::v1::Event> User::WaitForEvent(std::string_view run, std::string_view type, int nth,
                                                       absl::Duration guard) {
  int left = nth;
  return AwaitEvent(*this, run, type, guard,
                    [&](const notifier::v1::Event& event) { return event.type() == type && --left == 0; });
}

absl::StatusOr<std::vector<notifier::v1::Event>> User::EventsOf(std::string_view run) {
  std::vector<notifier::v1::Event> events;
  notifier::v1::ListEventsRequest request;
  request.set_stream(run);
  request.set_page_size(kPageSize);
  while (true) {
    ASSIGN_OR_RETURN(const notifier::v1::ListEventsResponse page,
                     Call<EventService>(*this, &EventService::Stub::ListEvents, request));
    events.insert(events.end(), page.events().begin(), page.events().end());
    if (!page.more() || page.events().empty()) {
      return events;
    }
    request.set_after(events.back().sequence());
  }
}

absl::StatusOr<std::vector<std::string>> User::EventTypesOf(std::string_view run) {
  ASSIGN_OR_RETURN(const std::vector<notifier::v1::Event> events, EventsOf(run));
  std::vector<std::string> types;
  for (const notifier::v1::Event& event : events) {
    types.push_back(event.type());
  }
  return types;
}

absl::StatusOr<tool::v1::Invocation> User::Invoke(std::string_view tool, const nlohmann::json& input,
                                                  std::string_view request_id) {
  tool::v1::InvokeToolRequest request;
  request.set_tool(absl::StrCat("tools/", tool));
  ASSIGN_OR_RETURN(*request.mutable_input(), ToStruct(ObjectOf(input)));
  request.set_request_id(request_id);
  grpc::ClientContext context;
  Authorize(context);
  const auto stub = StubFor<ToolService>(*this);
  const auto reader = stub->InvokeTool(&context, request);
  tool::v1::InvokeToolResponse response;
  tool::v1::Invocation invocation;
  while (reader->Read(&response)) {
    if (response.has_invocation()) {
      invocation = response.invocation();
    }
  }
  RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return invocation;
}

absl::StatusOr<nlohmann::json> User::InvokeTool(std::string_view tool, const nlohmann::json& input,
                                                std::string_view request_id) {
  ASSIGN_OR_RETURN(const tool::v1::Invocation invocation, Invoke(tool, input, request_id));
  return ToJson(invocation.output());
}

absl::StatusOr<std::vector<tool::v1::Tool>> User::ListTools(std::string_view query) {
  std::vector<tool::v1::Tool> tools;
  tool::v1::ListToolsRequest request;
  request.set_query(query);
  do {
    ASSIGN_OR_RETURN(const tool::v1::ListToolsResponse page,
                     Call<ToolService>(*this, &ToolService::Stub::ListTools, request));
    tools.insert(tools.end(), page.tools().begin(), page.tools().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return tools;
}

absl::StatusOr<tool::v1::File> User::UploadFile(std::string_view path, std::string_view content) {
  tool::v1::UploadFileRequest request;
  request.set_name(absl::StrCat(name_, "/files/", path));
  // The same content for the same path may be sent again under the same id.
  request.set_upload_id(
      absl::StrCat("upload-", absl::Hex(std::hash<std::string_view>()(content) ^ std::hash<std::string_view>()(path))));
  tool::v1::UploadFileResponse response;
  size_t offset = 0;
  do {
    const std::string_view piece = content.substr(offset, kPieceBytes);
    request.set_offset(offset);
    request.set_data(piece);
    offset += piece.size();
    request.set_finish(offset == content.size());
    ASSIGN_OR_RETURN(response, Call<FileService>(*this, &FileService::Stub::UploadFile, request));
  } while (offset < content.size());
  return response.file();
}

absl::StatusOr<std::string> User::ReadFile(std::string_view path) {
  tool::v1::DownloadFileRequest request;
  request.set_name(absl::StrCat(name_, "/files/", path));
  grpc::ClientContext context;
  Authorize(context);
  const auto stub = StubFor<FileService>(*this);
  const auto reader = stub->DownloadFile(&context, request);
  std::string content;
  tool::v1::DownloadFileResponse piece;
  while (reader->Read(&piece)) {
    content += piece.data();
  }
  RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return content;
}

absl::StatusOr<std::vector<std::string>> User::ListFiles(std::string_view prefix) {
  const std::string root = absl::StrCat(name_, "/files/");
  std::vector<std::string> paths;
  tool::v1::ListFilesRequest request;
  request.set_prefix(prefix);
  do {
    ASSIGN_OR_RETURN(const tool::v1::ListFilesResponse page,
                     Call<FileService>(*this, &FileService::Stub::ListFiles, request));
    for (const tool::v1::File& file : page.files()) {
      ABSL_CHECK(absl::StartsWith(file.name(), root)) << file.name();
      paths.push_back(file.name().substr(root.size()));
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return paths;
}

absl::StatusOr<nlohmann::json> User::Http(std::string_view method, std::string_view path, const nlohmann::json& body) {
  ASSIGN_OR_RETURN(const std::unique_ptr<gateway::GatewayClient> client, NewGatewayClient());
  return client->Request(method, path, body, access_token_);
}

absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> User::NewGatewayClient() {
  return gateway::GatewayClient::Create({.base_url = harness_->url(), .timeout = kWaitGuard});
}

}  // namespace bulkhead::testing
