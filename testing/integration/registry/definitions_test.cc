// Definitions of agents: what is accepted, who sees and runs it, which version a run has, and that nobody waits for a registry.
#include "testing/harness/definitions.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/agent_service.grpc.pb.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/faults/hold.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using agent::v1::Agent;
using agent::v1::AgentService;
using agent::v1::RunService;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Calls the tool "count" once with the definition's own word.
Agent Saying(const std::string& name, const std::string& word) {
  return Definition(json{
      {"name", "agents/" + name},
      {"plan",
       {{"nodes", {{{"id", "a"}, {"tool", "tools/count"}, {"arguments", {{"word", word}}}}}}, {"result", "a.echo"}}}}
                        .dump());
}

// What a run of `agent` says, or its error's reason.
std::string WordOf(User& user, const std::string& agent) {
  absl::StatusOr<std::string> run = user.StartRun(agent, json::object());
  if (!run.ok()) {
    return ReasonOf(run.status());
  }
  absl::StatusOr<agent::v1::Run> ended = user.WaitForRun(*run);
  return !ended.ok()                                        ? ReasonOf(ended.status())
         : ended->state() == agent::v1::RUN_STATE_SUCCEEDED ? ended->answer().data().fields().at("word").string_value()
                                                            : ended->error().reason();
}

std::unique_ptr<Harness> PlatformWith(std::shared_ptr<tool::Tool> tool, std::vector<std::string> users) {
  auto platform = Harness::Builder().WithUsers(std::move(users)).WithTool(std::move(tool)).Build();
  EXPECT_OK(platform);
  return platform.ok() ? *std::move(platform) : nullptr;
}

std::map<std::string, std::string> ProblemsOf(User& user, const std::string& definition) {
  const absl::StatusOr<Agent> made = CreateAgent(user, Definition(definition));
  EXPECT_THAT(made, HasReason(absl::StatusCode::kInvalidArgument, "AGENT_INVALID"));
  const std::optional<ErrorInfo> info = ErrorInfoOf(made.status());
  return info.has_value() ? info->metadata : std::map<std::string, std::string>();
}

TEST(DefinitionTest, EveryProblemOfAPlansExpressionsIsNamedWithItsPlace) {
  Covers({"RF-1", "TD-6"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  EXPECT_THAT(
      ProblemsOf(ada, R"json({"plan": {"nodes": [
      {"id": "a", "tool": "tools/count", "arguments": {"x": ["=b.call", "=nobody.x", "=item"]}, "condition": "a..b"},
      {"id": "b", "tool": "tools/count", "arguments": {"x": {"y/z": "=abs("}}, "forEach": "c.list"},
      {"id": "c", "tool": "tools/count", "condition": "@", "arguments": {"x": "=a.call"}}],
      "result": "unknown(a)"
}
})json"),
      UnorderedElementsAre(Pair("plan.nodes[0].arguments/x/1", "'nobody' is neither input nor a node"),
                           Pair("plan.nodes[0].arguments/x/2", "'item' is for arguments of nodes with for_each"),
                           Pair("plan.nodes[0].condition", HasSubstr("at byte")),
                           Pair("plan.nodes[1].arguments/x/y~1z", HasSubstr("ends too early")),
                           Pair("plan.nodes[2].condition", HasSubstr("name what is meant")),
                           Pair("plan.result", HasSubstr("there is no function 'unknown'")),
                           // The cycle is made of expressions alone.
                           Pair("plan.nodes", HasSubstr("wait for each other: a -> b -> c -> a"))));
  EXPECT_THAT(ListAgents(ada), IsOkAndHolds(ElementsAre("agents/analyst")));
}

TEST(DefinitionTest, PlanIsHeldAgainstTheSchemasOfItsTools) {
  Covers({"RF-1", "TD-6"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  EXPECT_THAT(
      ProblemsOf(
          ada,
          R"({"inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false},
      "plan": {"nodes": [
      {"id": "unknown", "tool": "tools/nobody.knows"},
      {"id": "load", "tool": "tools/table.load", "arguments": {"file": "=input.n", "table": "Not A Name", "color": "red"}},
      {"id": "query", "tool": "tools/table.query", "arguments": {"max_rows": "=load.table", "table": "=load.nothing", "parameters": ["=load.columns"]}},
      {"id": "each", "tool": "tools/table.query", "forEach": "load.table", "arguments": {"sql": "=input.missing"}},
      {"id": "after", "tool": "tools/table.query", "arguments": {"sql": "=each.sql", "max_rows": 5000}}]}})"),
      UnorderedElementsAre(
          Pair("plan.nodes[0].tool", HasSubstr("there is no tool 'tools/nobody.knows'")),
          Pair("plan.nodes[1].arguments/file", "is integer, and tools/table.load takes string"),
          Pair("plan.nodes[1].arguments/table", HasSubstr("is not what tools/table.load takes")),
          Pair("plan.nodes[1].arguments/color", "is not an argument of tools/table.load"),
          Pair("plan.nodes[2].arguments/sql", "is required by tools/table.query"),
          Pair("plan.nodes[2].arguments/max_rows", "is string, and tools/table.query takes integer"),
          Pair("plan.nodes[2].arguments/parameters/0", HasSubstr("is array, and tools/table.query takes")),
          Pair("plan.nodes[3].for_each", "is string, and must be an array"),
          Pair("plan.nodes[3].arguments/sql", HasSubstr("'input' has no member 'missing'")),
          Pair("plan.nodes[4].arguments/sql", HasSubstr("'each' is a list")),
          Pair("plan.nodes[4].arguments/max_rows", HasSubstr("is not what tools/table.query takes"))));
}

TEST(DefinitionTest, WhatSchemasLeaveOpenIsNotHeldAgainstAPlan) {
  Covers({"RF-1"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  EXPECT_OK(CreateAgent(platform->As("ada"), Definition(R"json({"plan": {"nodes": [
      {"id": "load", "tool": "tools/table.load", "arguments": {"file": "=input.anything", "table": "=load2.echo.name"}},
      {"id": "load2", "tool": "tools/count", "arguments": {"any": "thing", "deep": {"er": ["=input.x[0]"]}}},
      {"id": "query", "tool": "tools/table.query", "forEach": "load.columns[*].name",
       "arguments": {"sql": "=join('', ['SELECT ', item])", "max_rows": "=load.rows", "parameters": [1, "a", null, true]
}
}]
}
})json")));
}

TEST(DefinitionTest, RequestIdThatIsTooLongIsRefusedAndNothingIsMade) {
  Covers({"RF-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  const json plan = {{"name", "agents/hello"},
                     {"description", "Of the test."},
                     {"plan", {{"nodes", {{{"id", "only"}, {"tool", "tools/table.list"}}}}}}};
  EXPECT_THAT(ada.Http("POST", "/v1/agents", {{"agent", plan}, {"requestId", std::string(129, 'r')}}),
              HasReason(absl::StatusCode::kInvalidArgument, "REQUEST_ID_INVALID"));
  EXPECT_THAT(ada.Http("GET", "/v1/agents/hello", nullptr), HasReason("AGENT_NOT_FOUND"));
  EXPECT_OK(ada.Http("POST", "/v1/agents", {{"agent", plan}, {"requestId", std::string(128, 'r')}}));
}

TEST(DefinitionTest, LimitsOfAPlanHold) {
  Covers({"RF-1"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  json nodes = json::array();
  for (int i = 0; i < 201; ++i) {
    nodes.push_back({{"id", absl::StrCat("n", i)}, {"tool", "tools/count"}});
  }
  EXPECT_THAT(ProblemsOf(ada, json{{"plan", {{"nodes", nodes}}}}.dump()),
              Contains(Pair("plan.nodes", HasSubstr("1 to 200"))));
  EXPECT_THAT(ProblemsOf(ada, R"({"plan": {"nodes": [
      {"id": "1a", "tool": "count"},
      {"id": "item", "tool": "tools/count", "parallelism": 65, "retries": 11, "timeout": "-1s", "question": "?"},
      {"id": "dup", "tool": "tools/count"}, {"id": "dup", "tool": "tools/count"}]}})"),
              AllOf(Contains(Key("plan.nodes[0].id")), Contains(Key("plan.nodes[0].tool")),
                    Contains(Key("plan.nodes[1].id")), Contains(Key("plan.nodes[1].parallelism")),
                    Contains(Key("plan.nodes[1].retries")), Contains(Key("plan.nodes[1].timeout")),
                    Contains(Key("plan.nodes[1].question")), Contains(Key("plan.nodes[3].id"))));
}

TEST(DefinitionTest, ValidatingOnlyStoresNothing) {
  Covers({"RF-1"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  agent::v1::CreateAgentRequest create;
  *create.mutable_agent() = Saying("hello", "one");
  create.set_validate_only(true);
  create.set_request_id("request");
  ASSERT_OK(Call<AgentService>(ada, &AgentService::Stub::CreateAgent, create));
  EXPECT_THAT(GetAgent(ada, "agents/hello"), HasReason("AGENT_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(const Agent made, CreateAgent(ada, Saying("hello", "one"), "request"));
  create.set_request_id("");
  EXPECT_THAT(Call<AgentService>(ada, &AgentService::Stub::CreateAgent, create), HasReason("AGENT_EXISTS"));

  agent::v1::UpdateAgentRequest update;
  *update.mutable_agent() = Saying("hello", "two");
  update.mutable_agent()->set_etag(made.etag());
  update.set_validate_only(true);
  ASSERT_OK(Call<AgentService>(ada, &AgentService::Stub::UpdateAgent, update));
  EXPECT_THAT(GetAgent(ada, "agents/hello"), IsOkAndHolds(EqualsProto(made)));
  update.mutable_agent()->set_etag("old");
  EXPECT_THAT(Call<AgentService>(ada, &AgentService::Stub::UpdateAgent, update), HasReason("AGENT_CHANGED"));
}

TEST(DefinitionTest, RunKeepsTheVersionThatItBeganWith) {
  Covers({"RF-1", "AE-6"});
  auto tool = std::make_shared<HoldingTool>("count");
  const std::shared_ptr<Hold> first = tool->HoldCall(1);
  auto platform = PlatformWith(tool, {"ada"});
  User& ada = platform->As("ada");
  const auto two_words = [](const std::string& word) {
    return Definition(json{
        {"name", "agents/hello"},
        {"plan",
         {{"nodes",
           {{{"id", "a"}, {"tool", "tools/count"}},
            {{"id", "b"}, {"tool", "tools/count"}, {"after", {"a"}}, {"arguments", {{"word", word}}}}}},
          {"result",
           "b.echo"}}}}.dump());
  };
  ASSERT_OK_AND_ASSIGN(const Agent made, CreateAgent(ada, two_words("old")));
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("hello", json::object()));
  ASSERT_OK(first->Wait());
  Agent changed = two_words("new");
  changed.set_etag(made.etag());
  ASSERT_OK(UpdateAgent(ada, changed));
  ASSERT_OK(DeleteAgent(ada, "agents/hello"));
  // Also in a new process, and when the name means something else by now.
  ASSERT_OK(CreateAgent(ada, two_words("another")));
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  ASSERT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.answer().data().fields().at("word").string_value(), "old");
  EXPECT_EQ(ended.agent_version(), "1");
  EXPECT_EQ(WordOf(ada, "hello"), "another");
}

TEST(DefinitionTest, VersionThatARunNeedsOutlivesDaysAndTidyingUp) {
  Covers({"RF-1", "RF-5"});
  auto tool = std::make_shared<HoldingTool>("count");
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(tool)
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->mutable_run_timeout()->set_seconds(3 * 24 * 3600);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK(CreateAgent(ada, Definition(R"({"name": "agents/hello", "plan": {"nodes": [
      {"id": "a", "tool": "tools/count"},
      {"id": "b", "tool": "tools/count", "after": ["a"], "arguments": {"word": "kept"}}], "result": "b.echo"}})"),
                        "request"));
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("hello", json::object()));
  ASSERT_OK(hold->Wait());
  agent::v1::InterruptRunRequest interrupt;
  interrupt.set_name(run);
  ASSERT_OK(Call<RunService>(ada, &RunService::Stub::InterruptRun, interrupt));
  hold->Resume();
  ASSERT_OK(DeleteAgent(ada, "agents/hello"));
  EXPECT_EQ(WordOf(ada, "hello"), "AGENT_NOT_FOUND");
  // Each change tidies up what no run has needed for a day.
  platform->Advance(absl::Hours(25));
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(CreateAgent(ada, Saying("other", "x")));
  ASSERT_OK(DeleteAgent(ada, "agents/other"));
  ASSERT_OK(platform->Restart());
  agent::v1::ResumeRunRequest resume;
  resume.set_name(run);
  ASSERT_OK(Call<RunService>(ada, &RunService::Stub::ResumeRun, resume));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  ASSERT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.answer().data().fields().at("word").string_value(), "kept");
  // A request id is free again with what it made.
  ASSERT_OK_AND_ASSIGN(const Agent again, CreateAgent(ada, Saying("hello", "two"), "request"));
  EXPECT_EQ(again.version(), "1");
  EXPECT_EQ(WordOf(ada, "hello"), "two");
}

TEST(DefinitionTest, SharingTakesAPermission) {
  Covers({"RF-2", "AU-5"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  Agent shared = Saying("hello", "one");
  shared.add_shared_with("roles/member");
  EXPECT_THAT(CreateAgent(ada, shared), HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_THAT(GetAgent(ada, "agents/hello"), HasReason("AGENT_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(const Agent made, CreateAgent(ada, Saying("hello", "one")));
  shared.set_etag(made.etag());
  EXPECT_THAT(UpdateAgent(ada, shared), HasReason("PERMISSION_MISSING"));
  shared.set_shared_with(0, "member");
  EXPECT_THAT(CreateAgent(ada, shared), HasReason("AGENT_INVALID"));
}

TEST(DefinitionTest, SharedDefinitionIsSeenAndRunByItsRolesOnly) {
  Covers({"RF-2", "AU-5"});
  auto tool = std::make_shared<CountingTool>("count");
  auto platform = PlatformWith(tool, {"ada", "bob"});
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  User& admin = platform->AsAdmin();
  Agent agent = Saying("hello", "shared");
  agent.add_shared_with("roles/admin");
  ASSERT_OK_AND_ASSIGN(Agent made, CreateAgent(admin, agent));
  EXPECT_THAT(GetAgent(bob, "agents/hello"), HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND"));
  EXPECT_EQ(WordOf(bob, "hello"), "AGENT_NOT_FOUND");

  agent.set_shared_with(0, "roles/member");
  agent.set_etag(made.etag());
  ASSERT_OK_AND_ASSIGN(made, UpdateAgent(admin, agent));
  ASSERT_OK_AND_ASSIGN(const Agent seen, GetAgent(bob, "agents/hello"));
  EXPECT_THAT(seen, EqualsProto(made));
  EXPECT_EQ(seen.owner(), admin.name());
  EXPECT_THAT(ListAgents(bob), IsOkAndHolds(Contains("agents/hello")));
  // It is run as the one who runs it, and changed by its owner only.
  EXPECT_EQ(WordOf(bob, "hello"), "shared");
  EXPECT_EQ(tool->calls().back().user, bob.id());
  EXPECT_THAT(UpdateAgent(bob, seen), HasReason("PERMISSION_MISSING"));
  Agent kept = seen;
  kept.clear_shared_with();
  EXPECT_THAT(UpdateAgent(bob, kept), HasReason("AGENT_NOT_FOUND"));
  EXPECT_THAT(DeleteAgent(bob, "agents/hello"), HasReason("AGENT_NOT_FOUND"));

  // One's own stands before another's.
  ASSERT_OK(CreateAgent(bob, Saying("hello", "bob's")));
  EXPECT_EQ(WordOf(bob, "hello"), "bob's");
  EXPECT_EQ(WordOf(ada, "hello"), "shared");

  agent.clear_shared_with();
  agent.set_etag(made.etag());
  ASSERT_OK(UpdateAgent(admin, agent));
  EXPECT_EQ(WordOf(ada, "hello"), "AGENT_NOT_FOUND");
  EXPECT_THAT(ListAgents(ada), IsOkAndHolds(Not(Contains("agents/hello"))));
}

TEST(DefinitionTest, NameIsSharedByOneUserOnly) {
  Covers({"RF-2"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& admin = platform->AsAdmin();
  User& ada = platform->As("ada");
  Agent shared = Saying("hello", "first");
  shared.add_shared_with("roles/member");
  ASSERT_OK(CreateAgent(admin, shared));
  ASSERT_OK(admin.Http("POST", "/v1/roles",
                       json::parse(R"({"role": {"name": "roles/sharer", "permissions": ["agent:any:share"]}})")));
  ASSERT_OK(admin.Http("PATCH", absl::StrCat("/v1/", ada.name()),
                       json{{"user", {{"roles", {"roles/member", "roles/sharer"}}}}, {"updateMask", "roles"}}));
  ASSERT_OK(ada.SignIn());
  shared = Saying("hello", "second");
  shared.add_shared_with("roles/sharer");
  EXPECT_THAT(CreateAgent(ada, shared), HasReason(absl::StatusCode::kAlreadyExists, "AGENT_NAME_SHARED"));
  ASSERT_OK(DeleteAgent(admin, "agents/hello"));
  ASSERT_OK(CreateAgent(ada, shared));
}

TEST(DefinitionTest, ChildRunSeesWhatItsUserSees) {
  Covers({"RF-2", "AE-1"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"bob"})
          .WithTool(std::make_shared<CountingTool>("count"))
          .WithAgent(ScriptedAgent("parent",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<agent::Answer>> {
                                     CO_ASSIGN_OR_RETURN(agent::Answer shared,
                                                         co_await run.RunAgent("hello", json::object()));
                                     absl::StatusOr<agent::Answer> hidden =
                                         co_await run.RunAgent("hidden", json::object());
                                     co_return agent::Answer{.summary = ReasonOf(hidden.status()), .data = shared.data};
                                   }))
          .Build());
  User& admin = platform->AsAdmin();
  Agent shared = Saying("hello", "shared");
  shared.add_shared_with("roles/member");
  ASSERT_OK(CreateAgent(admin, shared));
  ASSERT_OK(CreateAgent(admin, Saying("hidden", "secret")));
  ASSERT_OK_AND_ASSIGN(const std::string run, platform->As("bob").StartRun("parent", json::object()));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, platform->As("bob").WaitForRun(run));
  ASSERT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.answer().summary(), "AGENT_NOT_FOUND");
  EXPECT_EQ(ended.answer().data().fields().at("word").string_value(), "shared");
}

TEST(DefinitionTest, InputIsHeldAgainstTheDefinitionsSchema) {
  Covers({"RF-1", "AE-5"});
  auto tool = std::make_shared<CountingTool>("count");
  auto platform = PlatformWith(tool, {"ada"});
  User& ada = platform->As("ada");
  Agent agent = Saying("hello", "one");
  agent.MergeFrom(Definition(
      R"({"name": "agents/hello", "inputSchema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}})"));
  ASSERT_OK(CreateAgent(ada, agent));
  const absl::StatusOr<std::string> refused = ada.StartRun("hello", {{"n", "text"}});
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kInvalidArgument, "RUN_INPUT_INVALID"));
  EXPECT_THAT(ErrorInfoOf(refused.status())->metadata, Contains(Key("/n")));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_OK(ada.StartRun("hello", {{"n", 1}}));
}

TEST(DefinitionTest, NamesThatAreNoneAreRefused) {
  Covers({"RF-3"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada", "bob"});
  User& ada = platform->As("ada");
  for (const char* name : {"", "agents/", "agents/ab", "agents/Upper", "agents/with space", "agents/../secret",
                           "agents/a/b", "agents/%00x", "users/ada/agents/hello", "tools/hello"}) {
    Agent agent = Saying("hello", "one");
    agent.set_name(name);
    EXPECT_THAT(CreateAgent(ada, agent), HasReason(absl::StatusCode::kInvalidArgument, "AGENT_INVALID")) << name;
    EXPECT_THAT(GetAgent(ada, name), HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND")) << name;
    EXPECT_THAT(DeleteAgent(ada, name), HasReason("AGENT_NOT_FOUND")) << name;
  }
  // An owner that is claimed is not taken over.
  Agent claimed = Saying("hello", "one");
  claimed.set_owner(platform->As("bob").name());
  claimed.set_built_in(true);
  claimed.set_version("77");
  ASSERT_OK_AND_ASSIGN(const Agent made, CreateAgent(ada, claimed));
  EXPECT_EQ(made.owner(), ada.name());
  EXPECT_FALSE(made.built_in());
  EXPECT_EQ(made.version(), "1");
}

TEST(DefinitionTest, DefinitionsTravelOverHttpToo) {
  Covers({"RF-1"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  json plan = json::parse(R"({"name": "agents/hello", "description": "Says hello.",
      "plan": {"nodes": [{"id": "a", "tool": "tools/count", "arguments": {"word": "hi"}}], "result": "a.echo"}})");
  ASSERT_OK_AND_ASSIGN(json made, ada.Http("POST", "/v1/agents", {{"agent", plan}}));
  EXPECT_EQ(made["version"], "1");
  plan["etag"] = made["etag"];
  plan["plan"]["nodes"][0]["arguments"]["word"] = "hello";
  ASSERT_OK_AND_ASSIGN(json changed, ada.Http("PATCH", "/v1/agents/hello", {{"agent", plan}}));
  EXPECT_EQ(changed["version"], "2");
  EXPECT_EQ(WordOf(ada, "hello"), "hello");
  EXPECT_THAT(ada.Http("PATCH", "/v1/agents/hello", {{"agent", plan}}), HasReason("AGENT_CHANGED"));
  ASSERT_OK(ada.Http("DELETE", "/v1/agents/hello", nullptr));
  EXPECT_THAT(ada.Http("GET", "/v1/agents/hello", nullptr), HasReason("AGENT_NOT_FOUND"));
}

TEST(DefinitionTest, OneOfManyWhoCreateANameAtOnceHasIt) {
  Covers({"RF-4", "RF-6"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  constexpr int kCallers = 8;
  std::vector<absl::Status> results(kCallers);
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back(
        [&ada, &results, i] { results[i] = CreateAgent(ada, Saying("hello", absl::StrCat(i))).status(); });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(std::ranges::count_if(results, [](const absl::Status& status) { return status.ok(); }), 1);
  EXPECT_EQ(std::ranges::count_if(results, [](const absl::Status& s) { return ReasonOf(s) == "AGENT_EXISTS"; }),
            kCallers - 1);
}

// One step of a user: the same for the same numbers, whoever does it.
std::string Step(User& user, uint32_t number) {
  const std::string name = absl::StrCat("agent-", number % 3);
  switch (number / 3 % 5) {
    case 0:
      return ReasonOf(CreateAgent(user, Saying(name, absl::StrCat("word-", number))).status());
    case 1: {
      absl::StatusOr<Agent> agent = GetAgent(user, "agents/" + name);
      if (!agent.ok()) {
        return ReasonOf(agent.status());
      }
      Agent changed = Saying(name, absl::StrCat("changed-", number));
      changed.set_etag(agent->etag());
      absl::StatusOr<Agent> updated = UpdateAgent(user, changed);
      return updated.ok() ? updated->version() : ReasonOf(updated.status());
    }
    case 2:
      return ReasonOf(DeleteAgent(user, "agents/" + name));
    case 3: {
      absl::StatusOr<std::vector<std::string>> names = ListAgents(user);
      return names.ok() ? json(*names).dump() : ReasonOf(names.status());
    }
    default:
      return WordOf(user, name);
  }
}

TEST(DefinitionTest, InterleavedUsersSeeWhatEachSeesAlone) {
  Covers({"RF-2", "RF-4"});
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  const std::vector<std::string> logins = {"ada", "bob", "cyd", "dan"};
  constexpr int kSteps = 12;
  std::mt19937 random(seed);
  std::map<std::string, std::vector<uint32_t>> steps;
  for (const std::string& login : logins) {
    for (int i = 0; i < kSteps; ++i) {
      steps[login].push_back(random());
    }
  }
  auto together = PlatformWith(std::make_shared<CountingTool>("count"), logins);
  std::map<std::string, std::vector<std::string>> interleaved;  // What each sees of changes that a seed decides.
  std::vector<std::thread> users;
  for (const std::string& login : logins) {
    users.emplace_back([&user = together->As(login), &mine = steps[login], &observed = interleaved[login]] {
      for (uint32_t number : mine) {
        observed.push_back(Step(user, number));
      }
    });
  }
  for (std::thread& user : users) {
    user.join();
  }
  auto one_by_one = PlatformWith(std::make_shared<CountingTool>("count"), logins);
  for (const std::string& login : logins) {
    std::vector<std::string> alone;
    for (uint32_t number : steps[login]) {
      alone.push_back(Step(one_by_one->As(login), number));
    }
    EXPECT_EQ(interleaved[login], alone) << login;
    EXPECT_OK(ListAgents(one_by_one->As(login)));
  }
}

// A call with a deadline of the test's own.
absl::Status CreateWithin(User& user, const Agent& agent, absl::Duration deadline) {
  grpc::ClientContext context;
  user.Authorize(context, deadline);
  agent::v1::CreateAgentRequest request;
  *request.mutable_agent() = agent;
  Agent response;
  return FromGrpcStatus(StubFor<AgentService>(user)->CreateAgent(&context, request, &response));
}

TEST(DefinitionTest, RegistryAnswersWhenTheToolServiceDoesNot) {
  Covers({"RF-6"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada", "bob"});
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  platform->faults().FailCall(
      "bulkhead.tool.v1.ToolService/ListTools",
      MakeError(absl::StatusCode::kUnavailable, "away", {.domain = "test", .reason = "AWAY", .metadata = {}}));
  EXPECT_THAT(CreateAgent(ada, Saying("hello", "one")),
              HasReason(absl::StatusCode::kUnavailable, "AGENT_TOOLS_UNAVAILABLE"));

  // One caller's check hangs; it ends at that caller's deadline, and holds nobody else up meanwhile.
  auto hold = platform->faults().HoldCall("bulkhead.tool.v1.ToolService/ListTools");
  absl::Status hung;
  std::thread caller([&] { hung = CreateWithin(ada, Saying("hello", "one"), absl::Seconds(4)); });
  ASSERT_OK(hold->Wait());
  EXPECT_OK(CreateAgent(bob, Saying("hello", "bob's")));
  EXPECT_OK(CreateAgent(ada, Saying("other", "hers")));
  EXPECT_OK(GetAgent(bob, "agents/hello"));
  EXPECT_OK(ListAgents(ada));
  EXPECT_OK(DeleteAgent(ada, "agents/other"));
  caller.join();
  EXPECT_EQ(hung.code(), absl::StatusCode::kDeadlineExceeded) << hung;
  hold->Resume();
  EXPECT_THAT(GetAgent(ada, "agents/hello"), HasReason("AGENT_NOT_FOUND"));
}

TEST(DefinitionTest, CheckThatNobodyAnswersEndsByItself) {
  Covers({"RF-6"});
  auto platform = PlatformWith(std::make_shared<CountingTool>("count"), {"ada"});
  User& ada = platform->As("ada");
  // The caller would wait for minutes; the registry gives the tool service five seconds.
  platform->faults().DelayCall("bulkhead.tool.v1.ToolService/ListTools", absl::Seconds(6));
  EXPECT_THAT(CreateWithin(ada, Saying("hello", "one"), absl::Minutes(5)),
              HasReason(absl::StatusCode::kUnavailable, "AGENT_TOOLS_UNAVAILABLE"));
  EXPECT_OK(CreateAgent(ada, Saying("hello", "one")));
}

TEST(DefinitionTest, RegistryAnswersAtStartUpWhileRunsAreTakenUp) {
  Covers({"RF-6", "AE-6"});
  auto tool = std::make_shared<HoldingTool>("count");
  const std::shared_ptr<Hold> before = tool->HoldCall(1);
  const std::shared_ptr<Hold> after = tool->HoldCall(2);
  auto platform = PlatformWith(tool, {"ada"});
  User& ada = platform->As("ada");
  ASSERT_OK(CreateAgent(ada, Saying("hello", "one")));
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("hello", json::object()));
  ASSERT_OK(before->Wait());
  platform->Crash();
  // What is taken up hangs in its tool, and its events on their way.
  auto publish = platform->faults().HoldCall("bulkhead.notifier.v1.EventService/PublishEvents");
  ASSERT_OK(platform->Start());
  EXPECT_THAT(ListAgents(ada), IsOkAndHolds(ElementsAre("agents/analyst", "agents/hello")));
  EXPECT_OK(CreateAgent(ada, Saying("other", "two")));
  ASSERT_OK(after->Wait());
  EXPECT_OK(DeleteAgent(ada, "agents/other"));
  publish->Resume();
  after->Resume();
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED) << ended.error().message();
}

}  // namespace
}  // namespace bulkhead::testing
