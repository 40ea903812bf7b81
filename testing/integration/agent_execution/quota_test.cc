// What a user may use, and who goes first when there is not enough for all.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::ElementsAre;
namespace v1 = agent::v1;

constexpr char kInvokeTool[] = "bulkhead.tool.v1.ToolService/InvokeTool";

// An agent that notes when each of its runs starts.
class StartOrder {
 public:
  agent::AgentFactory Agent() {
    return ScriptedAgent("note", [this](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
      {
        absl::MutexLock lock(mutex_);
        users_.push_back(run.user());
      }
      co_return Answer{};
    });
  }
  std::vector<std::string> users() const {
    absl::MutexLock lock(mutex_);
    return users_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> users_ ABSL_GUARDED_BY(mutex_);
};

// One place for all runs, which bob's run holds while others queue up.
class FairnessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    holds_ = {tool_->HoldCall(1), tool_->HoldCall(2)};
    ASSERT_OK_AND_ASSIGN(platform_, Harness::Builder()
                                        .WithUsers({"ada", "bob"})
                                        .WithTool(tool_)
                                        .WithAgent(ToolChainAgent())
                                        .WithAgent(order_.Agent())
                                        .Configure([](common::v1::PlatformConfig& config) {
                                          config.mutable_agent()->set_max_running(1);
                                          auto* weight = config.mutable_agent()->add_role_weights();
                                          weight->set_role("admin");
                                          weight->set_weight(3);
                                        })
                                        .Build());
    ASSERT_OK_AND_ASSIGN(blocker_, platform_->As("bob").StartRun("chain", Tools({"hold"})));
    ASSERT_OK(holds_[0]->Wait());
    for (int i = 0; i < 6; ++i) {
      ASSERT_OK_AND_ASSIGN(std::string run, platform_->As("ada").StartRun("note", json::object()));
      runs_.emplace_back(&platform_->As("ada"), std::move(run));
    }
    for (int i = 0; i < 6; ++i) {
      ASSERT_OK_AND_ASSIGN(std::string run, platform_->AsAdmin().StartRun("note", json::object()));
      runs_.emplace_back(&platform_->AsAdmin(), std::move(run));
    }
  }

  // Who started, the administrator or ada, when the place is free.
  std::string Order() {
    for (auto& [user, run] : runs_) {
      const absl::StatusOr<v1::Run> ended = user->WaitForRun(run);
      EXPECT_OK(ended);
    }
    std::string order;
    for (const std::string& user : order_.users()) {
      order += user == platform_->As("ada").id() ? 'u' : 'A';
    }
    return order;
  }

  static void ExpectThreeToOne(const std::string& order) {
    ASSERT_EQ(order.size(), 12u) << order;
    EXPECT_EQ(std::ranges::count(order.substr(0, 4), 'A'), 3) << order;
    EXPECT_EQ(std::ranges::count(order.substr(4, 4), 'A'), 3) << order;
    EXPECT_EQ(order.substr(8), "uuuu") << order;
  }

  std::shared_ptr<HoldingTool> tool_ = std::make_shared<HoldingTool>("hold");
  StartOrder order_;
  std::vector<std::shared_ptr<Hold>> holds_;
  std::unique_ptr<Harness> platform_;
  std::string blocker_;
  std::vector<std::pair<User*, std::string>> runs_;
};

TEST_F(FairnessTest, RunsThatWaitStartByTheWeightsOfTheirUsersRoles) {
  Covers({"AE-8"});
  holds_[0]->Resume();
  ExpectThreeToOne(Order());
}

TEST_F(FairnessTest, WeightsHoldForRunsThatARestartTakesUp) {
  Covers({"AE-8", "AE-6"});
  platform_->Crash();
  ASSERT_OK(platform_->Start());
  ASSERT_OK(holds_[1]->Wait());  // Bob's, which began first, has the place again.
  EXPECT_THAT(order_.users(), ElementsAre());
  holds_[1]->Resume();
  ExpectThreeToOne(Order());
}

class ToolQuotaTest : public ::testing::Test {
 protected:
  void Start(tool::RepeatPolicy policy) {
    tool_ = std::make_shared<CountingTool>("count", policy);
    ASSERT_OK_AND_ASSIGN(platform_, Harness::Builder()
                                        .WithUsers({"ada"})
                                        .WithTool(tool_)
                                        .WithAgent(ToolChainAgent())
                                        .Configure([](common::v1::PlatformConfig& config) {
                                          config.mutable_tool()->set_max_calls_per_minute(2);
                                        })
                                        .Build());
  }

  std::shared_ptr<CountingTool> tool_;
  std::unique_ptr<Harness> platform_;
};

TEST_F(ToolQuotaTest, RunThatMayNotCallNowWaitsUntilItMay) {
  Covers({"AE-8", "TD-4"});
  Start(tool::RepeatPolicy::kAtMostOnce);  // The refused call has not happened, so nobody is asked about it.
  User& ada = platform_->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", Tools({"count", "count", "count"})));
  ASSERT_OK(WaitFor([&] { return platform_->faults().CallsOf(kInvokeTool) == 3; }, "the call that is refused"));
  EXPECT_EQ(ada.GetRun(run)->state(), v1::RUN_STATE_RUNNING);
  EXPECT_EQ(tool_->runs(), 2);
  const absl::Time before = platform_->Now();
  ASSERT_OK(WaitFor(
      [&] {
        platform_->Advance(absl::Seconds(1));
        return ada.GetRun(run)->state() != v1::RUN_STATE_RUNNING;
      },
      "the run's end"));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_GE(platform_->Now() - before, absl::Seconds(30));
  EXPECT_EQ(tool_->runs(), 3);
  EXPECT_GE(ended.timing().tools().seconds(), 30) << "waiting for the quota is time with tools";
  ExpectWholeStory(ada, run);
}

TEST_F(ToolQuotaTest, RunThatEndsBeforeItMayCallIsToldSoAtOnce) {
  Covers({"AE-8", "AE-5"});
  Start(tool::RepeatPolicy::kSafe);
  User& ada = platform_->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run,
                       ada.StartRun("chain", Tools({"count", "count", "count"}), {.timeout = absl::Seconds(20)}));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_FAILED);
  EXPECT_EQ(ended.error().reason(), "TOOL_QUOTA_EXCEEDED");
  EXPECT_EQ(ended.error().metadata().at("quota"), "calls_per_minute");
  EXPECT_EQ(tool_->runs(), 2);
  ExpectWholeStory(ada, run);
}

// Two users' runs that each ask, sleep and call a tool, of which one may stay in memory while they wait.
class WaitingQuotaTest : public ::testing::Test {
 protected:
  static constexpr int kRuns = 6;

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(
        platform_,
        Harness::Builder()
            .WithUsers({"ada", "bob"})
            .WithTool(tool_)
            .WithAgent(
                ScriptedAgent("patient",
                              [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
                                CO_ASSIGN_OR_RETURN(const agent::ApprovalDecision decision,
                                                    co_await run.RequestApproval({.question = "Go on?"}));
                                CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(5)));
                                CO_RETURN_IF_ERROR((co_await run.CallTool("count", input)).status());
                                co_return Answer{.summary = decision.allowed ? "went on" : "was told not to"};
                              }))
            .Configure([](common::v1::PlatformConfig& config) { config.mutable_agent()->set_max_waiting_in_memory(1); })
            .Build());
    for (int i = 0; i < kRuns; ++i) {
      User& user = platform_->As(i % 2 == 0 ? "ada" : "bob");
      ASSERT_OK_AND_ASSIGN(std::string run, user.StartRun("patient", {{"number", i}}));
      runs_.emplace_back(&user, std::move(run));
    }
  }

  // Those that are put away have no agent.
  void AwaitInstances(int count) {
    ASSERT_OK(WaitFor([&] { return platform_->platform().live_agent_instances() == count; }, "instances of agents",
                      [&] { return absl::StrCat(platform_->platform().live_agent_instances()); }));
  }

  void DecideAll() {
    for (auto& [user, run] : runs_) {
      ASSERT_OK_AND_ASSIGN(const v1::Approval approval, user->WaitForApproval(run));
      ASSERT_OK(user->Decide(approval, /*allow=*/true));
    }
  }

  void ExpectAllGoOn() {
    for (auto& [user, run] : runs_) {
      ASSERT_OK(WaitFor(
          [&] {
            platform_->Advance(absl::Minutes(1));
            return user->GetRun(run)->state() == v1::RUN_STATE_SUCCEEDED;
          },
          "the run's end"));
      ASSERT_OK_AND_ASSIGN(const v1::Run ended, user->WaitForRun(run));
      EXPECT_EQ(ended.answer().summary(), "went on");
      ExpectWholeStory(*user, run);
    }
    EXPECT_EQ(tool_->runs(), kRuns);
  }

  std::shared_ptr<CountingTool> tool_ = std::make_shared<CountingTool>("count", tool::RepeatPolicy::kAtMostOnce);
  std::unique_ptr<Harness> platform_;
  std::vector<std::pair<User*, std::string>> runs_;
};

TEST_F(WaitingQuotaTest, RunsThatWaitArePutAwayAndNobodyCanTell) {
  Covers({"AE-8", "AE-10", "RF-5"});
  for (auto& [user, run] : runs_) {
    ASSERT_OK(user->WaitForState(run, "RUN_STATE_AWAITING_APPROVAL"));
  }
  AwaitInstances(1);
  DecideAll();
  ExpectAllGoOn();
  for (auto& [user, run] : runs_) {
    EXPECT_THAT(user->EventTypesOf(run),
                IsOkAndHolds(ElementsAre("run_queued", "agent_started", "approval_requested", "approval_resolved",
                                         "tool_executing", "tool_completed", "agent_completed")));
  }
  AwaitInstances(0);
}

TEST_F(WaitingQuotaTest, CrashWhileTheyArePutAwayLosesNone) {
  Covers({"AE-6", "AE-8", "AE-10"});
  for (auto& [user, run] : runs_) {
    ASSERT_OK(user->WaitForState(run, "RUN_STATE_AWAITING_APPROVAL"));
  }
  AwaitInstances(1);
  platform_->Crash();
  ASSERT_OK(platform_->Start());
  AwaitInstances(1);
  DecideAll();
  ExpectAllGoOn();
}

TEST_F(WaitingQuotaTest, CancelledWhileItIsPutAwayEndsAndLeavesNoQuestion) {
  Covers({"AE-4", "AE-10"});
  for (auto& [user, run] : runs_) {
    ASSERT_OK(user->WaitForState(run, "RUN_STATE_AWAITING_APPROVAL"));
  }
  AwaitInstances(1);
  for (auto& [user, run] : runs_) {
    ASSERT_OK(user->CancelRun(run));
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, user->WaitForRun(run));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
    ExpectWholeStory(*user, run);
  }
  EXPECT_EQ(tool_->runs(), 0);
  AwaitInstances(0);
}

}  // namespace
}  // namespace bulkhead::testing
