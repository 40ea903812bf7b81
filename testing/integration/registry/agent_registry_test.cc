// The registry of agents: what everybody may run, what one user has defined, and instances that
// come and go.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/definitions.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using agent::v1::Agent;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Key;
using ::testing::Not;

Agent Plan(std::string name) {
  Agent agent;
  agent.set_name(std::move(name));
  agent.set_description("Loads a table and counts its rows.");
  agent::v1::PlanNode* load = agent.mutable_plan()->add_nodes();
  load->set_id("load");
  load->set_tool("tools/table.load");
  (*load->mutable_arguments()->mutable_fields())["file"].set_string_value("=input.file");
  agent::v1::PlanNode* count = agent.mutable_plan()->add_nodes();
  count->set_id("count");
  count->set_tool("tools/table.query");
  (*count->mutable_arguments()->mutable_fields())["sql"].set_string_value("SELECT count(*) FROM t");
  count->add_after("load");
  return agent;
}

TEST(AgentRegistryTest, BuiltInAgentsAreThereForEverybodyAndChangedByNobody) {
  Covers({"RF-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).WithAgent(ToolChainAgent()).Build());
  for (const char* login : {"ada", "bob"}) {
    User& user = platform->As(login);
    ASSERT_OK_AND_ASSIGN(std::vector<std::string> names, ListAgents(user));
    EXPECT_THAT(names, ElementsAre("agents/analyst", "agents/chain"));
    ASSERT_OK_AND_ASSIGN(Agent analyst, GetAgent(user, "agents/analyst"));
    EXPECT_TRUE(analyst.built_in());
    EXPECT_THAT(analyst.input_schema().fields(), Contains(Key("properties")));
  }
  User& ada = platform->As("ada");
  EXPECT_THAT(DeleteAgent(ada, "agents/analyst"), HasReason(absl::StatusCode::kFailedPrecondition, "AGENT_BUILT_IN"));
  EXPECT_THAT(UpdateAgent(ada, Plan("agents/analyst")), HasReason("AGENT_BUILT_IN"));
  EXPECT_THAT(CreateAgent(ada, Plan("agents/analyst")), HasReason(absl::StatusCode::kAlreadyExists, "AGENT_EXISTS"));
  EXPECT_THAT(GetAgent(ada, "agents/nobody"), HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND"));
}

TEST(AgentRegistryTest, DefinitionLivesThroughVersionsAndRestarts) {
  Covers({"RF-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(Agent created, CreateAgent(ada, Plan("agents/weekly"), "once"));
  EXPECT_EQ(created.version(), "1");
  EXPECT_EQ(created.owner(), ada.name());
  EXPECT_FALSE(created.built_in());
  ASSERT_OK_AND_ASSIGN(Agent again, CreateAgent(ada, Plan("agents/weekly"), "once"));
  EXPECT_EQ(again.etag(), created.etag()) << "a repeated request gets the first answer";
  EXPECT_THAT(CreateAgent(ada, Plan("agents/weekly")), HasReason("AGENT_EXISTS"));

  platform->Advance(absl::Seconds(1));
  created.set_description("Counts better.");
  ASSERT_OK_AND_ASSIGN(Agent updated, UpdateAgent(ada, created));
  EXPECT_EQ(updated.version(), "2");
  EXPECT_THAT(UpdateAgent(ada, created), HasReason(absl::StatusCode::kAborted, "AGENT_CHANGED"));

  ASSERT_OK(platform->Restart());
  ASSERT_OK_AND_ASSIGN(Agent kept, GetAgent(ada, "agents/weekly"));
  EXPECT_THAT(kept, EqualsProto(updated));
  EXPECT_THAT(ListAgents(ada), IsOkAndHolds(ElementsAre("agents/analyst", "agents/weekly")));
  ASSERT_OK(DeleteAgent(ada, "agents/weekly"));
  EXPECT_THAT(GetAgent(ada, "agents/weekly"), HasReason("AGENT_NOT_FOUND"));
  EXPECT_THAT(DeleteAgent(ada, "agents/weekly"), HasReason("AGENT_NOT_FOUND"));
}

TEST(AgentRegistryTest, EveryProblemOfADefinitionIsListedAndNothingIsStored) {
  Covers({"RF-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  Agent bad = Plan("agents/bad");
  bad.clear_description();
  (*bad.mutable_input_schema()->mutable_fields())["type"].set_string_value("strange");
  bad.mutable_plan()->mutable_nodes(0)->set_tool("table.load");
  bad.mutable_plan()->mutable_nodes(0)->add_after("count");
  bad.mutable_plan()->mutable_nodes(1)->add_after("nobody");
  absl::StatusOr<Agent> refused = CreateAgent(ada, bad);
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kInvalidArgument, "AGENT_INVALID"));
  EXPECT_THAT(ErrorInfoOf(refused.status())->metadata,
              IsSupersetOf({Key("description"), Key("input_schema"), Key("plan.nodes[0].tool"),
                            Key("plan.nodes[1].after"), Key("plan.nodes")}));
  EXPECT_THAT(CreateAgent(ada, Plan("no-prefix")), HasReason("AGENT_INVALID"));
  EXPECT_THAT(ListAgents(ada), IsOkAndHolds(ElementsAre("agents/analyst")));
}

TEST(AgentRegistryTest, DefinitionOfOneUserIsInvisibleToAnother) {
  Covers({"RF-2"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(Agent adas, CreateAgent(ada, Plan("agents/secret"), "request"));

  EXPECT_THAT(GetAgent(bob, "agents/secret"), HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND"));
  EXPECT_THAT(ListAgents(bob), IsOkAndHolds(Not(Contains("agents/secret"))));
  EXPECT_THAT(UpdateAgent(bob, adas), HasReason("AGENT_NOT_FOUND"));
  EXPECT_THAT(DeleteAgent(bob, "agents/secret"), HasReason("AGENT_NOT_FOUND"));
  // What a stranger's run would say is what a run of nothing says.
  EXPECT_THAT(bob.StartRun("secret", nlohmann::json::object()),
              HasReason(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("secret", {{"file", "nothing.csv"}}));
  EXPECT_THAT(bob.GetRun(run), HasReason("RUN_NOT_FOUND"));
  ASSERT_OK(ada.WaitForRun(run));

  // Names and request ids of one are free for the other.
  Agent mine = Plan("agents/secret");
  mine.set_description("Bob's.");
  ASSERT_OK_AND_ASSIGN(Agent bobs, CreateAgent(bob, mine, "request"));
  EXPECT_EQ(bobs.owner(), bob.name());
  ASSERT_OK(DeleteAgent(bob, "agents/secret"));
  ASSERT_OK_AND_ASSIGN(Agent untouched, GetAgent(ada, "agents/secret"));
  EXPECT_THAT(untouched, EqualsProto(adas));
}

// Counts the instances that live.
class Counted final : public agent::Agent {
 public:
  explicit Counted(std::shared_ptr<std::atomic<int>> live) : live_(std::move(live)) { ++*live_; }
  ~Counted() override { --*live_; }

  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const nlohmann::json&) override {
    ++uses_;
    CO_RETURN_IF_ERROR((co_await run.CallTool("slow", nlohmann::json::object())).status());
    co_return agent::Answer{.summary = absl::StrCat(uses_)};
  }

 private:
  const std::shared_ptr<std::atomic<int>> live_;
  int uses_ = 0;
};

TEST(AgentRegistryTest, EachRunHasAnInstanceOfItsOwnWhichIsReaped) {
  Covers({"RF-5", "AE-1"});
  auto live = std::make_shared<std::atomic<int>>(0);
  auto tool = std::make_shared<HoldingTool>("slow");
  std::vector<std::shared_ptr<Hold>> holds;
  for (int i = 1; i <= 4; ++i) {
    holds.push_back(tool->HoldCall(i));
  }
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(tool)
                                          .WithAgent({.spec = {.name = "counted", .version = "1"},
                                                      .make = [live] { return std::make_unique<Counted>(live); }})
                                          .Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(std::string finished, ada.StartRun("counted", nlohmann::json::object()));
  ASSERT_OK(holds[0]->Wait());
  ASSERT_OK_AND_ASSIGN(std::string cancelled, bob.StartRun("counted", nlohmann::json::object()));
  ASSERT_OK(holds[1]->Wait());
  ASSERT_OK_AND_ASSIGN(std::string timed_out,
                       bob.StartRun("counted", nlohmann::json::object(), {.timeout = absl::Minutes(1)}));
  ASSERT_OK(holds[2]->Wait());
  EXPECT_EQ(*live, 3);

  holds[0]->Resume();
  ASSERT_OK_AND_ASSIGN(agent::v1::Run ended, ada.WaitForRun(finished));
  EXPECT_EQ(ended.answer().summary(), "1") << "no instance serves a second run";
  ASSERT_OK(bob.CancelRun(cancelled));
  ASSERT_OK(bob.WaitForRun(cancelled));
  platform->Advance(absl::Minutes(1));
  ASSERT_OK(bob.WaitForRun(timed_out));
  ASSERT_OK(WaitFor([&] { return *live == 0; }, "the end of the instances"));

  // An orphan of a crash is reaped too: the recovered run has a new instance.
  ASSERT_OK_AND_ASSIGN(std::string orphaned, ada.StartRun("counted", nlohmann::json::object()));
  ASSERT_OK(holds[3]->Wait());
  platform->Crash();
  EXPECT_EQ(*live, 0);
  ASSERT_OK(platform->Start());
  ASSERT_OK(ada.WaitForRun(orphaned));
  ASSERT_OK(WaitFor([&] { return *live == 0; }, "the end of the recovered instance"));
}

TEST(AgentRegistryTest, RegistryAnswersWhileEverythingElseStandsStill) {
  Covers({"RF-6"});
  auto tool = std::make_shared<HoldingTool>("slow");
  auto hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  // A run hangs in a tool, the next one's creation hangs in auth, and events hang on their way to
  // the log.
  auto publish = platform->faults().HoldCall("bulkhead.notifier.v1.EventService/PublishEvents");
  ASSERT_OK_AND_ASSIGN(std::string first, ada.StartRun("chain", {{"tools", nlohmann::json::array({"slow"})}}));
  ASSERT_OK(hold->Wait());
  auto exchange = platform->faults().HoldCall("bulkhead.auth.v1.TokenService/ExchangeToken");
  absl::StatusOr<std::string> second = absl::UnknownError("not yet");
  std::thread starting(
      [&] { second = platform->As("bob").StartRun("chain", {{"tools", nlohmann::json::array({"slow"})}}); });
  ASSERT_OK(exchange->Wait());
  ASSERT_OK(publish->Wait());

  EXPECT_THAT(ListAgents(ada), IsOkAndHolds(ElementsAre("agents/analyst", "agents/chain")));
  ASSERT_OK(CreateAgent(ada, Plan("agents/weekly")));
  ASSERT_OK(GetAgent(ada, "agents/weekly"));
  ASSERT_OK(DeleteAgent(ada, "agents/weekly"));

  exchange->Resume();
  starting.join();
  ASSERT_OK(second);
  publish->Resume();
  hold->Resume();
  ASSERT_OK(ada.WaitForRun(first));
  ASSERT_OK(platform->As("bob").WaitForRun(*second));
}

}  // namespace
}  // namespace bulkhead::testing
