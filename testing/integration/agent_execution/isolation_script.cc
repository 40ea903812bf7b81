#include "testing/integration/agent_execution/isolation_script.h"

#include <algorithm>
#include <memory>
#include <regex>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/test_agents.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;

std::string IdOf(std::string_view name) { return std::string(name.substr(name.rfind('/') + 1)); }

std::string Told(const absl::Status& status) {
  std::vector<std::string> metadata;
  if (const auto info = ErrorInfoOf(status); info.has_value()) {
    for (const auto& [key, value] : info->metadata) {
      metadata.push_back(absl::StrCat(key, "=", value));
    }
  }
  // Protobuf puts blanks into its messages at random, so that nobody relies on their text.
  const std::string message = absl::StrJoin(absl::StrSplit(status.message(), ' ', absl::SkipEmpty()), " ");
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", ReasonOf(status), " {",
                      absl::StrJoin(metadata, ", "), "} ", message);
}

std::string Told(const json& seen) {
  json told = seen;
  if (auto token = told.find("nextPageToken"); token != told.end()) {
    // Opaque, and different each time; but a longer one would tell of more.
    *token = absl::StrCat(token->get<std::string>().size(), " bytes");
  }
  return told.dump();
}

Awaitable<absl::StatusOr<Answer>> Careful(agent::RunContext& run, const json& input) {
  CO_ASSIGN_OR_RETURN(json before, co_await run.CallTool("echo", input));
  agent::ApprovalRequest question{.question = "Go on?", .tool = "echo", .arguments = input};
  CO_ASSIGN_OR_RETURN(agent::ApprovalDecision decision, co_await run.RequestApproval(question));
  if (!decision.allowed) {
    co_return Answer{.summary = "did not go on", .data = before};
  }
  CO_ASSIGN_OR_RETURN(json after, co_await run.CallTool("echo", {{"before", before}}));
  co_return Answer{.summary = "went on", .data = after};
}

Awaitable<absl::StatusOr<Answer>> Sleeper(agent::RunContext& run, const json&) {
  co_await run.Think("asleep");
  CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(1)));
  co_return Answer{.summary = "awake"};
}

}  // namespace

void Belongings::Add(std::string_view kind, const std::string& user, const std::string& name) {
  absl::MutexLock lock(mutex_);
  names_[std::string(kind)][user] = name;
}

std::string Belongings::OfAnother(std::string_view kind, const std::string& user) const {
  absl::MutexLock lock(mutex_);
  if (const auto of_kind = names_.find(kind); of_kind != names_.end()) {
    for (const auto& [owner, name] : of_kind->second) {
      if (owner != user) {
        return name;
      }
    }
  }
  return "";
}

UserScript::UserScript(User* user, Belongings* belongings, uint64_t seed)
    : user_(user), belongings_(belongings), seed_(seed) {
  const std::vector<void (UserScript::*)()> kinds = {
      &UserScript::RunChain,   &UserScript::RunCareful, &UserScript::BeginSleep,    &UserScript::CancelSleep,
      &UserScript::Fail,       &UserScript::ListRuns,   &UserScript::UseFiles,      &UserScript::UseTables,
      &UserScript::HitQuota,   &UserScript::TryForeign, &UserScript::RepeatRequest, &UserScript::DeleteARun,
      &UserScript::ListThings, &UserScript::DefineAgent};
  // Each once, and as many again, in an order of their own.
  acts_ = kinds;
  for (size_t i = 0; i < kinds.size(); ++i) {
    acts_.push_back(kinds[Draw(kinds.size())]);
  }
  for (size_t i = acts_.size() - 1; i > 0; --i) {
    std::swap(acts_[i], acts_[Draw(i + 1)]);
  }
  acts_.push_back(&UserScript::TryForeign);
  acts_.push_back(&UserScript::CancelSleep);
  acts_.push_back(&UserScript::ListRuns);
}

uint64_t UserScript::Draw(uint64_t below) {
  const crypto::Digest digest = crypto::Sha256Digest(absl::StrCat(seed_, " ", user_->login(), " ", ++drawn_));
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(value); ++i) {
    value = value << 8 | digest[i];
  }
  return value % below;
}

void UserScript::Act() { (this->*acts_[next_++])(); }

std::string UserScript::Anonymous(std::string text) {
  for (const auto& [id, alias] : aliases_) {
    absl::StrReplaceAll({{id, alias}}, &text);
  }
  static const std::regex* const kRandom = new std::regex("[a-z_]+-[a-z2-7]{26}|\\b[0-9a-f]{32}\\b");
  std::string told;
  auto at = text.cbegin();
  for (std::sregex_iterator found(text.cbegin(), text.cend(), *kRandom), end; found != end; ++found) {
    told.append(at, (*found)[0].first);
    at = (*found)[0].second;
    const std::string id = found->str();
    auto known = std::ranges::find(ids_, id);
    if (known == ids_.end()) {
      ids_.push_back(id);
      known = ids_.end() - 1;
    }
    const size_t dash = id.find('-');
    absl::StrAppend(&told, dash == std::string::npos ? "trace" : id.substr(0, dash), "#", known - ids_.begin());
  }
  told.append(at, text.cend());
  return told;
}

void UserScript::Write(std::string_view what, std::string seen) {
  transcript_.push_back(Anonymous(absl::StrCat(what, " -> ", std::move(seen))));
}

json UserScript::Http(std::string_view method, std::string_view path, const json& body) {
  const absl::StatusOr<json> answer = user_->Http(method, path, body);
  Write(absl::StrCat(method, " ", path), answer.ok() ? Told(*answer) : Told(answer.status()));
  return answer.ok() ? *answer : json();
}

std::string UserScript::Foreign(std::string_view kind) {
  std::string name = belongings_->OfAnother(kind, user_->name());
  if (name.empty()) {
    const std::unique_ptr<IdGenerator> ids = CreateRandomIds();
    name = absl::StrCat("users/", ids->NewId("user"), "/runs/", ids->NewId("run"));
    if (kind == "approval") {
      absl::StrAppend(&name, "/approvals/", ids->NewId("approval"));
    }
  }
  for (const std::string_view part : absl::StrSplit(name, '/')) {
    if (const size_t dash = part.find('-'); dash != std::string_view::npos) {
      aliases_[std::string(part)] = absl::StrCat("foreign ", part.substr(0, dash));
    }
  }
  return name;
}

void UserScript::WriteRun(const std::string& run) {
  Http("GET", absl::StrCat("/v1/runs/", IdOf(run)), nullptr);
  Http("GET", absl::StrCat("/v1/runs/", IdOf(run), "/events?pageSize=1000"), nullptr);
}

void UserScript::StartAndFollow(const json& request) {
  const json run = Http("POST", "/v1/runs", request);
  if (run.is_null()) {
    return;  // Refused, which is written down.
  }
  const std::string name = run.at("name");
  belongings_->Add("run", user_->name(), name);
  EXPECT_OK(user_->WaitForRun(name));
  WriteRun(name);
  ended_.push_back(name);
}

void UserScript::RunChain() {
  StartAndFollow({{"agent", "agents/chain"},
                  {"input", {{"tools", std::vector<std::string>(1 + Draw(3), "echo")}, {"note", Draw(1000)}}}});
}

void UserScript::Fail() {
  StartAndFollow({{"agent", "agents/chain"}, {"input", {{"tools", {"echo", "broken"}}}}});
  StartAndFollow({{"agent", "agents/nobody"}, {"input", json::object()}});
}

void UserScript::RunCareful() {
  const json run = Http("POST", "/v1/runs", {{"agent", "agents/careful"}, {"input", {{"number", Draw(1000)}}}});
  if (run.is_null()) {
    return;
  }
  const std::string name = run.at("name");
  belongings_->Add("run", user_->name(), name);
  const absl::StatusOr<agent::v1::Approval> asked = user_->WaitForApproval(name);
  ASSERT_OK(asked);
  belongings_->Add("approval", user_->name(), asked->name());
  EXPECT_OK(user_->WaitForEvent(name, "approval_requested"));
  WriteRun(name);
  const json listed = Http("GET", absl::StrCat("/v1/runs/", IdOf(name), "/approvals"), nullptr);
  for (int time = 0; time < 2; ++time) {  // The second is refused.
    Http("POST", absl::StrCat("/v1/runs/", IdOf(name), "/approvals/", IdOf(asked->name()), ":resolve"),
         {{"decision", {{"verdict", Draw(2) == 0 ? "VERDICT_ALLOW" : "VERDICT_DENY"}}},
          {"callHash", listed.at("approvals").at(0).at("callHash")}});
  }
  EXPECT_OK(user_->WaitForRun(name));
  WriteRun(name);
  ended_.push_back(name);
}

void UserScript::BeginSleep() {
  if (asleep_.empty()) {  // With more there would be no place for what else he runs.
    StartSleeper();
  }
}

void UserScript::StartSleeper() {
  const json run = Http("POST", "/v1/runs", {{"agent", "agents/sleeper"}, {"input", json::object()}});
  if (run.is_null()) {
    return;
  }
  const std::string name = run.at("name");
  belongings_->Add("run", user_->name(), name);
  // Two have a place to run in; others wait for theirs.
  if (asleep_.size() < 2) {
    EXPECT_OK(WaitFor(
        [&] {
          const absl::StatusOr<agent::v1::Run> now = user_->GetRun(name);
          return now.ok() && now->steps() == 2;
        },
        "the sleep"));
    EXPECT_OK(user_->WaitForEvent(name, "agent_thinking"));
    WriteRun(name);
  }
  asleep_.push_back(name);
}

void UserScript::CancelSleep() {
  // The last first: those that wait don't get a turn meanwhile.
  while (!asleep_.empty()) {
    const std::string name = asleep_.back();
    asleep_.pop_back();
    EXPECT_OK(user_->CancelRun(name, "enough"));
    EXPECT_OK(user_->WaitForRun(name));
    WriteRun(name);
    ended_.push_back(name);
  }
}

void UserScript::HitQuota() {
  CancelSleep();
  for (int i = 0; i < 5; ++i) {
    StartSleeper();  // The fifth is refused.
  }
  CancelSleep();
}

void UserScript::ListRuns() {
  CancelSleep();
  std::string path = "/v1/runs?pageSize=3";
  switch (Draw(4)) {
    case 0:
      absl::StrAppend(&path, "&states=RUN_STATE_SUCCEEDED&states=RUN_STATE_FAILED");
      break;
    case 1:
      absl::StrAppend(&path, "&agent=agents/chain");
      break;
    case 2:
      absl::StrAppend(&path, "&agent=agents/nobody");
      break;
    default:
      break;
  }
  json page = Http("GET", path, nullptr);
  while (page.is_object() && page.contains("nextPageToken")) {
    const std::string token = page.at("nextPageToken");
    const absl::StatusOr<json> next = user_->Http("GET", absl::StrCat(path, "&pageToken=", token), nullptr);
    ASSERT_OK(next);
    page = *next;
    Write(path, Told(page));
  }
}

void UserScript::UseFiles() {
  const std::string name = absl::StrCat("notes-", Draw(3), ".txt");
  const absl::StatusOr<tool::v1::File> file =
      user_->UploadFile(name, absl::StrCat("written by ", user_->login(), ", ", Draw(1000)));
  ASSERT_OK(file);
  const absl::StatusOr<std::string> text = user_->ReadFile(name);
  Write("the file", text.ok() ? *text : Told(text.status()));
  Http("GET", "/v1/files", nullptr);
  if (Draw(2) == 0) {
    Http("DELETE", absl::StrCat("/v1/files/", name), nullptr);
    Http("DELETE", absl::StrCat("/v1/files/", name), nullptr);
  }
}

void UserScript::UseTables() {
  std::string rows = "town,fare\n";
  for (uint64_t left = 3 + Draw(5); left > 0; --left) {
    absl::StrAppend(&rows, "town ", Draw(3), ",", Draw(100), "\n");
  }
  ASSERT_OK(user_->UploadFile("fares.csv", rows));
  Http("POST", "/v1/tools/table.load:invoke", {{"input", {{"file", "fares.csv"}}}});
  Http("POST", "/v1/tools/table.query:invoke",
       {{"input", {{"sql", "SELECT town, sum(fare) FROM fares GROUP BY 1 ORDER BY 1"}}}});
  Http("POST", "/v1/tools/table.list:invoke", {{"input", json::object()}});
}

void UserScript::RepeatRequest() {
  // Everybody's request has this id.
  const std::string id = absl::StrCat("request-", Draw(2));
  const json request = {{"agent", "agents/chain"}, {"input", {{"tools", {"echo"}}}}, {"requestId", id}};
  StartAndFollow(request);
  StartAndFollow(request);
  Http("POST", "/v1/tools/echo:invoke", {{"input", {{"of", user_->login()}}}, {"requestId", id}});
}

void UserScript::DeleteARun() {
  if (ended_.empty()) {
    return;
  }
  const std::string name = ended_[Draw(ended_.size())];
  std::erase(ended_, name);
  for (int time = 0; time < 2; ++time) {
    Http("DELETE", absl::StrCat("/v1/runs/", IdOf(name)), nullptr);
  }
}

void UserScript::DefineAgent() {
  const json plan = {{"name", "agents/my-plan"},
                     {"description", absl::StrCat("of ", user_->login())},
                     {"plan", {{"nodes", {{{"id", "only"}, {"tool", "tools/echo"}}}}}}};
  Http("POST", "/v1/agents", {{"agent", plan}});
  Http("GET", "/v1/agents/my-plan", nullptr);
  StartAndFollow({{"agent", "agents/my-plan"}, {"input", json::object()}});
  if (Draw(2) == 0) {
    Http("DELETE", "/v1/agents/my-plan", nullptr);
  }
}

void UserScript::ListThings() {
  Http("GET", "/v1/agents?pageSize=100", nullptr);
  Http("GET", "/v1/tools?pageSize=100", nullptr);
  Http("GET", "/v1/sessions", nullptr);
}

void UserScript::TryForeign() {
  const std::string run = Foreign("run");
  const std::string approval = Foreign("approval");
  // As his own, through the gateway...
  const std::string path = absl::StrCat("/v1/runs/", IdOf(run));
  Http("GET", path, nullptr);
  for (const char* verb : {":cancel", ":interrupt", ":resume", ":retry"}) {
    Http("POST", absl::StrCat(path, verb), json::object());
  }
  Http("DELETE", path, nullptr);
  Http("GET", absl::StrCat(path, "/approvals"), nullptr);
  Http("GET", absl::StrCat(path, "/events"), nullptr);
  Http("POST", absl::StrCat(path, "/approvals/", IdOf(approval), ":resolve"),
       {{"decision", {{"verdict", "VERDICT_ALLOW"}}}});
  Http("GET", "/v1/files/secret.txt", nullptr);
  // ...and by their full names.
  agent::v1::GetRunRequest get;
  get.set_name(run);
  Write("GetRun", Told(Call<agent::v1::RunService>(*user_, &agent::v1::RunService::Stub::GetRun, get).status()));
  agent::v1::CancelRunRequest cancel;
  cancel.set_name(run);
  Write("CancelRun",
        Told(Call<agent::v1::RunService>(*user_, &agent::v1::RunService::Stub::CancelRun, cancel).status()));
  agent::v1::ListRunsRequest children;
  children.set_parent(run);
  Write("ListRuns",
        Told(Call<agent::v1::RunService>(*user_, &agent::v1::RunService::Stub::ListRuns, children).status()));
  notifier::v1::ListEventsRequest events;
  events.set_stream(run);
  Write("ListEvents",
        Told(Call<notifier::v1::EventService>(*user_, &notifier::v1::EventService::Stub::ListEvents, events).status()));
  tool::v1::GetFileRequest file;
  file.set_name(absl::StrCat(run.substr(0, run.find("/runs/")), "/files/notes-0.txt"));
  Write("GetFile", Told(Call<tool::v1::FileService>(*user_, &tool::v1::FileService::Stub::GetFile, file).status()));
}

std::vector<agent::AgentFactory> ScriptAgents() {
  return {ToolChainAgent(), ScriptedAgent("careful", Careful), ScriptedAgent("sleeper", Sleeper)};
}

std::vector<std::shared_ptr<tool::Tool>> ScriptTools() {
  const auto spec = [](std::string name) {
    return tool::ToolSpec{.name = std::move(name),
                          .description = "Of the test.",
                          .input_schema = R"({"type": "object"})",
                          .output_schema = R"({"type": "object"})"};
  };
  return {tool::MakeTool(spec("echo"),
                         [](tool::ToolCall& call) -> absl::StatusOr<json> {
                           return json{{"echo", call.input()}, {"user", call.user().user()}};
                         }),
          tool::MakeTool(spec("broken"), [](tool::ToolCall&) -> absl::StatusOr<json> {
            return MakeError(absl::StatusCode::kFailedPrecondition, "broken",
                             {.domain = "bulkhead.testing", .reason = "BROKEN"});
          })};
}

}  // namespace bulkhead::testing
