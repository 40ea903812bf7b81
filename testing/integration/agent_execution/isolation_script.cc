#include "testing/integration/agent_execution/isolation_script.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "bulkhead/tool/v1/file_service.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"
#include "services/common/json/struct_json.h"
#include "services/gateway/client/gateway_client.h"
#include "services/gateway/client/web_socket.h"
#include "testing/base/matchers.h"
#include "testing/base/resource_name.h"
#include "testing/base/wait.h"

namespace bulkhead::testing {
namespace {

using nlohmann::json;

// What the inference server of the tests is told to answer: a tool's call, and then what the tool said.
json CallAndTell(const std::string& user, uint64_t number) {
  return {{{"text", "Let us see."},
           {"tools", {{{"name", "echo"}, {"arguments", {{"asked by", user}, {"number", number}}}}}}},
          {{"text", "The tool says: %results%"}}};
}

}  // namespace

UserScript::UserScript(User* user, Belongings* belongings, uint64_t seed)
    : user_(user), belongings_(belongings), seed_(seed) {
  const std::vector<void (UserScript::*)()> kinds = {
      &UserScript::RunChain,   &UserScript::RunCareful,      &UserScript::BeginSleep,      &UserScript::CancelSleep,
      &UserScript::Fail,       &UserScript::ListRuns,        &UserScript::UseFiles,        &UserScript::UseTables,
      &UserScript::HitQuota,   &UserScript::TryForeign,      &UserScript::RepeatRequest,   &UserScript::DeleteARun,
      &UserScript::ListThings, &UserScript::DefineAgent,     &UserScript::Converse,        &UserScript::KeepThreadBusy,
      &UserScript::AskModels,  &UserScript::WatchOverSocket, &UserScript::TryForeignThread};
  // Each once, and as many again, in an order of their own.
  acts_ = kinds;
  for (size_t i = 0; i < kinds.size(); ++i) {
    acts_.push_back(kinds[Draw(kinds.size())]);
  }
  for (size_t i = acts_.size() - 1; i > 0; --i) {
    std::swap(acts_[i], acts_[Draw(i + 1)]);
  }
  acts_.insert(acts_.begin(), &UserScript::Arrive);
  acts_.push_back(&UserScript::TryForeign);
  acts_.push_back(&UserScript::TryForeignThread);
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

void UserScript::Act() {
  (this->*acts_[next_++])();
  Listen();
}

json UserScript::Http(std::string_view method, std::string_view path, const json& body) {
  const absl::StatusOr<json> answer = user_->Http(method, path, body);
  transcript_.Write(absl::StrCat(method, " ", path), Told(answer));
  return answer.ok() ? *answer : json();
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
    transcript_.Write(path, Told(page));
  }
}

void UserScript::UseFiles() {
  const std::string name = absl::StrCat("notes-", Draw(3), ".txt");
  const absl::StatusOr<tool::v1::File> file =
      user_->UploadFile(name, absl::StrCat("written by ", user_->login(), ", ", Draw(1000)));
  ASSERT_OK(file);
  const absl::StatusOr<std::string> text = user_->ReadFile(name);
  transcript_.Write("the file", text.ok() ? *text : Told(text.status()));
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

std::string UserScript::MakeThread(std::string_view policy) {
  const json thread =
      Http("POST", "/v1/threads", {{"thread", {{"title", absl::StrCat("talk ", Draw(1000))}, {"busyPolicy", policy}}}});
  const std::string name = thread.is_null() ? "" : thread.at("name").get<std::string>();
  belongings_->Add("thread", user_->name(), name);
  return name;
}

void UserScript::Converse() {
  const std::string thread = MakeThread("BUSY_POLICY_REFUSE");
  StartAndFollow(
      {{"agent", "agents/chain"}, {"input", {{"tools", {"echo"}}, {"note", Draw(1000)}}}, {"thread", thread}});
  StartAndFollow({{"agent", "agents/chain"}, {"input", {{"tools", {"broken"}}}}, {"thread", thread}});
  StartAndFollow({{"agent", "agents/historian"}, {"input", json::object()}, {"thread", thread}});
  // The model is told what was said; what it says comes after.
  StartAndFollow({{"agent", "agents/talker"}, {"input", {{"message", "And now?"}}}, {"thread", thread}});
  StartAndFollow({{"agent", "agents/historian"}, {"input", json::object()}, {"thread", thread}});
  const std::string path = absl::StrCat("/v1/threads/", IdOf(thread));
  Http("GET", absl::StrCat("/v1/runs?pageSize=100&thread=", thread), nullptr);
  Http("PATCH", path, {{"thread", {{"title", "another title"}}}, {"updateMask", "title"}});
  Http("GET", path, nullptr);
  if (Draw(2) == 0) {
    Http("DELETE", path, nullptr);
    Http("DELETE", path, nullptr);
  }
  ListThreads();
}

void UserScript::ListThreads() {
  const absl::StatusOr<json> listed = user_->Http("GET", "/v1/threads?pageSize=100", nullptr);
  ASSERT_OK(listed);
  // Time stands still, so all are equally new: which goes before which is chance.
  std::vector<std::string> threads;
  for (const json& thread : listed->value("threads", json::array())) {
    threads.push_back(transcript_.Anonymous(Told(thread)));
  }
  std::ranges::sort(threads);
  transcript_.Write("GET /v1/threads", absl::StrJoin(threads, " "));
}

void UserScript::KeepThreadBusy() {
  CancelSleep();
  static constexpr const char* kPolicies[] = {"BUSY_POLICY_REFUSE", "BUSY_POLICY_QUEUE", "BUSY_POLICY_INTERRUPT",
                                              "BUSY_POLICY_CANCEL_AND_REPLACE"};
  const std::string policy = kPolicies[Draw(4)];
  const std::string thread = MakeThread(policy);
  const json sleeper =
      Http("POST", "/v1/runs", {{"agent", "agents/sleeper"}, {"input", json::object()}, {"thread", thread}});
  ASSERT_FALSE(sleeper.is_null());
  const std::string first = sleeper.at("name");
  belongings_->Add("run", user_->name(), first);
  EXPECT_OK(WaitFor(
      [&] {
        const absl::StatusOr<agent::v1::Run> now = user_->GetRun(first);
        return now.ok() && now->steps() == 2;
      },
      "the sleep"));
  const json request = {{"agent", "agents/historian"}, {"input", json::object()}, {"thread", thread}};
  const absl::StatusOr<json> answer = user_->Http("POST", "/v1/runs", request);
  transcript_.Write(policy, Told(answer));
  std::string second;
  if (answer.ok()) {
    second = answer->at("name");
    if (policy != "BUSY_POLICY_QUEUE") {
      EXPECT_OK(user_->WaitForRun(second));
      WriteRun(second);
    }
    if (policy == "BUSY_POLICY_INTERRUPT") {
      EXPECT_OK(WaitFor(
          [&] {
            const absl::StatusOr<agent::v1::Run> now = user_->GetRun(first);
            return now.ok() && !now->has_interrupt_time();
          },
          "the run that was held back to go on"));
    }
  }
  if (policy != "BUSY_POLICY_CANCEL_AND_REPLACE") {
    Http("DELETE", absl::StrCat("/v1/threads/", IdOf(thread)), nullptr);  // Refused: it is busy.
    EXPECT_OK(user_->CancelRun(first, "enough"));
  }
  EXPECT_OK(user_->WaitForRun(first));
  WriteRun(first);
  ended_.push_back(first);
  if (!second.empty()) {
    EXPECT_OK(user_->WaitForRun(second));
    WriteRun(second);
    ended_.push_back(second);
  }
}

void UserScript::AskModels() {
  const auto ask = [this](std::string_view model, std::string_view prompt) {
    StartAndFollow({{"agent", "agents/asker"}, {"input", {{"model", model}, {"prompt", prompt}}}});
  };
  // All users ask one endpoint; each has his own tokens for the day, which are soon spent.
  ask("large", "is anybody there?");
  ask("small", absl::StrCat("good morning from ", user_->login()));
  StartAndFollow(
      {{"agent", "agents/talker"}, {"input", {{"message", CallAndTell(user_->login(), Draw(1000)).dump()}}}});
  ask("small", "and now?");
}

void UserScript::Subscribe(const std::string& run) {
  const absl::Status subscribed = socket_->Subscribe(run);
  transcript_.Write("subscribe", subscribed.ok() ? "OK" : Told(subscribed));
  if (!subscribed.ok()) {
    return;
  }
  const absl::StatusOr<std::vector<notifier::v1::Event>> events = socket_->EventsToTheEnd();
  ASSERT_OK(events);
  for (const notifier::v1::Event& event : *events) {
    transcript_.Write("over the socket", Told(event));
  }
}

void UserScript::WatchOverSocket() {
  CancelSleep();
  notifier::v1::ClientFrame start;
  start.mutable_start_run()->set_agent("agents/chain");
  *start.mutable_start_run()->mutable_input() =
      *ToStruct({{"tools", {"echo", Draw(2) == 0 ? "echo" : "broken"}}, {"note", Draw(1000)}});
  const absl::StatusOr<notifier::v1::Reply> started = socket_->Ask(start);
  transcript_.Write("start_run", Told(started));
  ASSERT_OK(started);
  const std::string run = started->run().name();
  belongings_->Add("run", user_->name(), run);
  Subscribe(run);
  EXPECT_OK(user_->WaitForRun(run));
  ended_.push_back(run);
  // One that ended before.
  Subscribe(ended_[Draw(ended_.size())]);

  const std::string foreign = Foreign("run");
  Subscribe(foreign);
  notifier::v1::ClientFrame cancel;
  cancel.mutable_cancel_run()->set_name(foreign);
  transcript_.Write("cancel_run", Told(socket_->Ask(cancel)));
  notifier::v1::ClientFrame resolve;
  resolve.mutable_resolve_approval()->set_name(Foreign("approval"));
  resolve.mutable_resolve_approval()->mutable_decision()->set_verdict(agent::v1::Decision::VERDICT_ALLOW);
  transcript_.Write("resolve_approval", Told(socket_->Ask(resolve)));
  start.mutable_start_run()->set_thread(Foreign("thread"));
  transcript_.Write("start_run", Told(socket_->Ask(start)));
}

void UserScript::Arrive() {
  const absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> client = user_->NewGatewayClient();
  ASSERT_OK(client);
  absl::StatusOr<std::unique_ptr<gateway::ClientWebSocket>> socket =
      gateway::ClientWebSocket::Connect({.base_url = (*client)->base_url(), .token = user_->token().Copy()});
  ASSERT_OK(socket);
  socket_ = std::make_unique<EventSocket>(*std::move(socket), Format::kJson);
  Http("POST", "/v1/agents",
       {{"agent",
         {{"name", "agents/talker"},
          {"description", absl::StrCat("of ", user_->login())},
          {"model", {{"instructions", "Talk."}, {"model", "small"}, {"tools", {"tools/echo"}}}}}}});
}

void UserScript::Listen() {
  // The answer comes after all that the gateway has sent before.
  notifier::v1::ClientFrame ping;
  ping.mutable_ping();
  transcript_.Write("ping", Told(socket_->Ask(ping)));
  for (const notifier::v1::ServerFrame& frame : socket_->TakeKept()) {
    // What follows the end of a stream that was read to its end.
    if (!frame.has_caught_up()) {
      transcript_.Write("unasked", Told(frame));
    }
  }
}

}  // namespace bulkhead::testing
