#include "testing/integration/agent_execution/conversation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/agent/v1/thread_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "google/protobuf/struct.pb.h"
#include "services/common/json/struct_json.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/harness/calls.h"
#include "testing/harness/test_agents.h"

namespace bulkhead::testing {

using agent::Answer;
using nlohmann::json;
namespace v1 = agent::v1;

agent::AgentFactory Talker() {
  return ScriptedAgent("talker", [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
    const std::vector<agent::PastRun> history = co_await run.History();
    for (int gate = 0; gate < input.value("gates", 0); ++gate) {
      CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = absl::StrCat("Gate ", gate)})).status());
    }
    co_await run.Think("Answering");
    if (input.contains("fail")) {
      co_return MakeError(absl::StatusCode::kInternal, "as it was told",
                          {.domain = "talker", .reason = input.at("fail").get<std::string>()});
    }
    Answer answer{.summary = input.value("say", ""), .data = {{"past", json::array()}}};
    for (const agent::PastRun& past : history) {
      answer.data["past"].push_back(past.answer.has_value() ? past.answer->summary : past.reason);
    }
    co_return answer;
  });
}

json Say(std::string text, int gates) { return {{"say", std::move(text)}, {"gates", gates}}; }

std::vector<std::string> PastOf(const v1::Run& run) {
  std::vector<std::string> past;
  const auto& fields = run.answer().data().fields();
  if (auto found = fields.find("past"); found != fields.end()) {
    for (const google::protobuf::Value& value : found->second.list_value().values()) {
      past.push_back(value.string_value());
    }
  }
  return past;
}

absl::StatusOr<std::unique_ptr<Harness>> TalkingPlatform() {
  return Harness::Builder()
      .WithUsers({"ada", "bob"})
      .WithAgent(Talker())
      .Configure([](common::v1::PlatformConfig& config) { config.mutable_agent()->set_max_running_per_user(1); })
      .Build();
}

absl::StatusOr<std::string> NewThread(User& user, v1::BusyPolicy policy, const ThreadOptions& options) {
  v1::CreateThreadRequest request;
  request.mutable_thread()->set_title(options.title);
  request.mutable_thread()->set_busy_policy(policy);
  request.set_request_id(options.request_id);
  ASSIGN_OR_RETURN(v1::Thread thread, Call<v1::ThreadService>(user, &v1::ThreadService::Stub::CreateThread, request));
  return thread.name();
}

absl::StatusOr<v1::Thread> GetThread(User& user, const std::string& thread) {
  v1::GetThreadRequest request;
  request.set_name(thread);
  return Call<v1::ThreadService>(user, &v1::ThreadService::Stub::GetThread, request);
}

absl::Status DeleteThread(User& user, const std::string& thread) {
  v1::DeleteThreadRequest request;
  request.set_name(thread);
  return Call<v1::ThreadService>(user, &v1::ThreadService::Stub::DeleteThread, request).status();
}

absl::StatusOr<std::vector<std::string>> RunsIn(User& user, const std::string& thread) {
  v1::ListRunsRequest request;
  request.set_thread(thread);
  ASSIGN_OR_RETURN(v1::ListRunsResponse runs, Call<v1::RunService>(user, &v1::RunService::Stub::ListRuns, request));
  std::vector<std::string> names;
  for (const v1::Run& run : runs.runs()) {
    names.push_back(run.name());
  }
  return names;
}

absl::StatusOr<std::string> Talk(User& user, const std::string& thread, const json& input, const TalkOptions& options) {
  v1::CreateRunRequest request;
  request.set_agent("agents/talker");
  request.set_thread(thread);
  request.set_busy_policy(options.policy);
  request.set_request_id(options.request_id);
  if (options.timeout_seconds > 0) {
    request.mutable_timeout()->set_seconds(options.timeout_seconds);
  }
  ASSIGN_OR_RETURN(*request.mutable_input(), ToStruct(input));
  ASSIGN_OR_RETURN(v1::Run run, Call<v1::RunService>(user, &v1::RunService::Stub::CreateRun, request));
  return run.name();
}

absl::StatusOr<std::string> TalkToTheGate(User& user, const std::string& thread, std::string text,
                                          const TalkOptions& options) {
  ASSIGN_OR_RETURN(std::string run, Talk(user, thread, Say(std::move(text), /*gates=*/1), options));
  RETURN_IF_ERROR(user.WaitForApproval(run).status());
  return run;
}

absl::Status OpenGate(User& user, const std::string& run) {
  ASSIGN_OR_RETURN(v1::Approval gate, user.WaitForApproval(run));
  return user.Decide(gate, /*allow=*/true).status();
}

absl::StatusOr<v1::Run> WaitForSuccess(User& user, const std::string& run) {
  ASSIGN_OR_RETURN(v1::Run ended, user.WaitForRun(run));
  if (ended.state() != v1::RUN_STATE_SUCCEEDED) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat(run, " ended as ", v1::RunState_Name(ended.state()), ": ", ended.error().ShortDebugString()),
        {.domain = "bulkhead.testing", .reason = "RUN_DID_NOT_SUCCEED"});
  }
  return ended;
}

}  // namespace bulkhead::testing
