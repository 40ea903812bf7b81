// Agents that hold their threads: what others notice of it, and how the platform ends all the same.
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/common/v1/config.pb.h"
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
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using agent::RunContext;
using nlohmann::json;
using ::testing::HasSubstr;
namespace v1 = agent::v1;

using Result = Awaitable<absl::StatusOr<Answer>>;

// Holds its thread until it is told to let go.
class HoldingAgent final : public agent::Agent {
 public:
  struct Shared {
    absl::Notification released;
    std::atomic<int> begun = 0;
    std::atomic<int> returned = 0;
    std::atomic<int> gone = 0;
  };
  explicit HoldingAgent(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~HoldingAgent() override { ++shared_->gone; }

  Result Run(RunContext& run, const json&) override {
    co_await run.Think("I hold");
    ++shared_->begun;
    shared_->released.WaitForNotification();
    ++shared_->returned;
    co_return Answer{};
  }

  static agent::AgentFactory Factory(std::shared_ptr<Shared> shared) {
    return {.spec = {.name = "holder", .version = "1.0.0", .description = "Holds its thread."},
            .make = [shared] { return std::make_unique<HoldingAgent>(shared); }};
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

TEST(AgentShutdownTest, AgentsThatHoldThreadsDoNotHoldTheShutdownAndAreTakenUpAgain) {
  Covers({"AE-6", "AE-5", "RF-5"});
  auto shared = std::make_shared<HoldingAgent::Shared>();
  auto limit = std::make_shared<int>(0);  // Nobody is failed at first.
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithAgent(HoldingAgent::Factory(shared))
                                          .Configure([limit](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->mutable_unresponsive_after()->set_seconds(*limit);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  std::vector<std::string> runs;
  for (int i = 0; i < 2; ++i) {  // All threads that there are.
    ASSERT_OK_AND_ASSIGN(runs.emplace_back(), ada.StartRun("holder", json::object()));
  }
  ASSERT_OK(WaitFor([&] { return shared->begun == 2; }, "the agents"));

  *limit = 1;
  const absl::Status ended = platform->Restart();
  ASSERT_THAT(ended, HasReason(absl::StatusCode::kDeadlineExceeded, "AGENTS_HOLD_THREADS"));
  for (const std::string& run : runs) {
    EXPECT_THAT(ErrorInfoOf(ended)->metadata.at("runs"), HasSubstr(run));
  }
  EXPECT_EQ(shared->gone, 0) << "what a held thread uses was taken from it";

  ASSERT_OK(platform->Start());
  for (const std::string& run : runs) {
    ASSERT_OK_AND_ASSIGN(const v1::Run failed, ada.WaitForRun(run));
    EXPECT_EQ(failed.error().reason(), "AGENT_UNRESPONSIVE");
    EXPECT_EQ(failed.recoveries(), 1);
    ExpectWholeStory(ada, run);
  }
  shared->released.Notify();
  ASSERT_OK(WaitFor([&] { return shared->returned == 4 && shared->gone == 2; },
                    "the threads that were left behind, and the end of the instances that were not"));
}

TEST(AgentShutdownTest, CrashWithHeldThreadsReturnsAndTheRunsGoOn) {
  Covers({"AE-6", "RF-5"});
  auto shared = std::make_shared<HoldingAgent::Shared>();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithAgent(HoldingAgent::Factory(shared)).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("holder", json::object()));
  ASSERT_OK(WaitFor([&] { return shared->begun == 1; }, "the agent"));
  platform->Crash();
  EXPECT_EQ(shared->gone, 0) << "what a held thread uses was taken from it";
  ASSERT_OK(platform->Start());
  ASSERT_OK(WaitFor([&] { return shared->begun == 2; }, "the agent's second instance"));
  shared->released.Notify();
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  ASSERT_OK(WaitFor([&] { return shared->returned == 2 && shared->gone == 1; },
                    "the thread that was left behind, and the end of the instance that was not"));
}

// ada's agents hold threads; bob's runs must not notice.
class HeldThreadsTest : public ::testing::Test {
 protected:
  void Start(int unresponsive_after_seconds, int max_running_per_user) {
    ASSERT_OK_AND_ASSIGN(
        platform_, Harness::Builder()
                       .WithUsers({"ada", "bob"})
                       .WithTool(tool_)
                       .WithAgent(ToolChainAgent())
                       .WithAgent(HoldingAgent::Factory(shared_))
                       .Configure([=](common::v1::PlatformConfig& config) {
                         config.mutable_agent()->mutable_unresponsive_after()->set_seconds(unresponsive_after_seconds);
                         config.mutable_agent()->set_max_running_per_user(max_running_per_user);
                       })
                       .Build());
  }
  void TearDown() override {
    if (!shared_->released.HasBeenNotified()) {
      shared_->released.Notify();
    }
    if (platform_ != nullptr) {
      EXPECT_OK(WaitFor([&] { return platform_->platform().live_agent_instances() == 0; }, "the end of all instances"));
    }
  }

  void ExpectBobGoesOn() {
    ASSERT_OK_AND_ASSIGN(const std::string run, platform_->As("bob").StartRun("chain", Tools({"count", "count"})));
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, platform_->As("bob").WaitForRun(run));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  }

  std::shared_ptr<CountingTool> tool_ = std::make_shared<CountingTool>("count");
  std::shared_ptr<HoldingAgent::Shared> shared_ = std::make_shared<HoldingAgent::Shared>();
  std::unique_ptr<Harness> platform_;
};

TEST_F(HeldThreadsTest, OthersGoOnWithinMomentsHoweverLongAgentsMayCompute) {
  Covers({"AE-5", "AE-8"});
  constexpr int kHolders = 4;  // More than there are threads.
  Start(/*unresponsive_after_seconds=*/3600, kHolders);
  for (int i = 0; i < kHolders; ++i) {
    ASSERT_OK(platform_->As("ada").StartRun("holder", json::object()));
  }
  ASSERT_OK(WaitFor([&] { return shared_->begun == kHolders; }, "the agents"));
  ExpectBobGoesOn();
}

TEST_F(HeldThreadsTest, RunWhoseAgentHoldsItsThreadTakesItsUsersPlaceUntilTheThreadIsFree) {
  Covers({"AE-5", "AE-8", "RF-5"});
  Start(/*unresponsive_after_seconds=*/1, /*max_running_per_user=*/1);
  User& ada = platform_->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string holder, ada.StartRun("holder", json::object()));
  ASSERT_OK_AND_ASSIGN(const std::string next, ada.StartRun("holder", json::object()));
  ASSERT_OK_AND_ASSIGN(const v1::Run failed, ada.WaitForRun(holder));
  EXPECT_EQ(failed.error().reason(), "AGENT_UNRESPONSIVE");
  ExpectBobGoesOn();
  EXPECT_EQ(ada.GetRun(next)->state(), v1::RUN_STATE_PENDING) << "else one user's runs could take all threads";
  EXPECT_EQ(shared_->begun, 1);

  shared_->released.Notify();
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada.WaitForRun(next));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
}

}  // namespace
}  // namespace bulkhead::testing
