// The agents of docs/agents.md do what it says, and stand in it letter by letter.
#include <atomic>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "docs/examples/examples.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
namespace v1 = agent::v1;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Answers each call with what `answer` makes of its input; stops where it is told to, as HoldingTool does.
class AnsweringTool final : public HoldingTool {
 public:
  AnsweringTool(std::string name, tool::RepeatPolicy policy, json answer)
      : HoldingTool(tool::ToolSpec{.name = std::move(name),
                                   .description = "Answers, for tests.",
                                   .input_schema = R"({"type": "object"})",
                                   .output_schema = R"({"type": "object"})",
                                   .repeat_policy = policy}),
        answer_(std::move(answer)) {}

  Awaitable<absl::StatusOr<json>> Run(tool::ToolCall& call) override {
    CO_RETURN_IF_ERROR((co_await HoldingTool::Run(call)).status());
    co_return answer_;
  }

 private:
  const json answer_;
};

TEST(AgentsGuideTest, ExamplesStandInTheGuide) {
  const std::string guide = ReadText("docs/agents.md");
  EXPECT_THAT(guide, HasSubstr(ReadText("docs/examples/largest_group.cc")));
  EXPECT_THAT(guide, HasSubstr(ReadText("docs/examples/refund.cc")));
  EXPECT_THAT(guide, HasSubstr(ReadText("docs/examples/follow_up.cc")));
}

TEST(AgentsGuideTest, LargestGroupIsFoundWhateverTheColumnIsCalled) {
  Covers({"AE-1", "AE-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithAgent(LargestGroup()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("trips.csv", "\"from \"\"town\",fare\nBremen,3\nAachen,4\nBremen,5\n").status());

  ASSERT_OK_AND_ASSIGN(std::string run,
                       ada.StartRun("largest-group", {{"file", "trips.csv"}, {"column", "from \"town"}}));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "The largest group is \"Bremen\", of 2 among 3 rows.") << ended.error().message();
  EXPECT_THAT(ada.StartRun("largest-group", {{"file", "trips.csv"}}), HasReason("RUN_INPUT_INVALID"));
}

class RefundGuideTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(
        platform_, Harness::Builder().WithUsers({"ada"}).WithTool(find_).WithTool(pay_).WithAgent(Refund()).Build());
    ASSERT_OK_AND_ASSIGN(run_, ada().StartRun("refund", {{"orders", {"a", "b", "c"}}}));
    ASSERT_OK_AND_ASSIGN(asked_, ada().WaitForApproval(run_));
  }

  User& ada() { return platform_->As("ada"); }

  std::shared_ptr<AnsweringTool> find_ =
      std::make_shared<AnsweringTool>("order.find", tool::RepeatPolicy::kSafe, json{{"cents", 250}});
  std::shared_ptr<AnsweringTool> pay_ =
      std::make_shared<AnsweringTool>("refund.pay", tool::RepeatPolicy::kAtMostOnce, json{{"paid", true}});
  std::unique_ptr<Harness> platform_;
  std::string run_;
  v1::Approval asked_;
};

TEST_F(RefundGuideTest, WhatTheUserHasChangedIsPaid) {
  Covers({"AE-3", "AE-10", "TD-5"});
  EXPECT_EQ(asked_.question(), "Pay back 750 cents?");
  EXPECT_EQ(find_->runs(), 3);
  EXPECT_EQ(pay_->runs(), 0);
  ASSERT_OK(ada().Http("POST", absl::StrCat("/v1/", asked_.name().substr(asked_.name().find("runs/")), ":resolve"),
                       {{"decision", {{"verdict", "VERDICT_ALLOW"}, {"editedArguments", {{"cents", 500}}}}},
                        {"callHash", absl::Base64Escape(asked_.call_hash())}}));

  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada().WaitForRun(run_));
  EXPECT_EQ(ended.answer().summary(), "Paid back 500 cents.") << ended.error().message();
  ASSERT_THAT(pay_->calls(), SizeIs(1));
  EXPECT_EQ(pay_->calls()[0].input.at("cents"), 500);
}

TEST_F(RefundGuideTest, NothingIsPaidThatTheUserDoesNotAllow) {
  Covers({"AE-10"});
  ASSERT_OK(ada().Decide(asked_, /*allow=*/false));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada().WaitForRun(run_));
  EXPECT_EQ(ended.answer().summary(), "Nothing is paid back.");
  EXPECT_EQ(pay_->runs(), 0);
}

TEST_F(RefundGuideTest, PaymentInDoubtAfterACrashIsTheUsersDecision) {
  Covers({"AE-6", "AE-10"});
  auto hold = pay_->HoldCall();
  ASSERT_OK(ada().Decide(asked_, /*allow=*/true));
  ASSERT_OK(hold->Wait());
  platform_->Crash();
  ASSERT_OK(platform_->Start());

  ASSERT_OK_AND_ASSIGN(v1::Approval doubt, ada().WaitForApproval(run_));
  EXPECT_THAT(doubt.question(), HasSubstr("may or may not have happened"));
  EXPECT_EQ(pay_->runs(), 1);
  EXPECT_EQ(find_->runs(), 3) << "what is in the journal is not done again";
  ASSERT_OK(ada().Decide(doubt, /*allow=*/true));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada().WaitForRun(run_));
  EXPECT_EQ(ended.answer().summary(), "Paid back 750 cents.");
  EXPECT_EQ(pay_->runs(), 2);
}

// As the agent was before it spoke of the day.
Awaitable<absl::StatusOr<Answer>> OldFollowUp(agent::RunContext& run, const json& input) {
  CO_ASSIGN_OR_RETURN(Answer today, co_await run.RunAgent("greeter", input));
  CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(24)));
  CO_ASSIGN_OR_RETURN(Answer tomorrow, co_await run.RunAgent("greeter", input));
  co_return Answer{.summary = absl::StrCat("First: ", today.summary, " A day later: ", tomorrow.summary)};
}

TEST(AgentsGuideTest, FollowUpGoesOnUnderNewCodeAfterACrash) {
  Covers({"AE-4", "AE-6"});
  auto count = std::make_shared<AnsweringTool>("text.count", tool::RepeatPolicy::kSafe, json{{"words", 3}});
  auto new_code = std::make_shared<std::atomic<bool>>(false);
  agent::AgentFactory changing = FollowUp();
  changing.make = [old_agent = ScriptedAgent("follow-up", OldFollowUp), new_agent = FollowUp(), new_code] {
    return new_code->load() ? new_agent.make() : old_agent.make();
  };
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(count)
                                          .WithAgent(Greeter())
                                          .WithAgent(changing)
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->mutable_run_timeout()->set_seconds(7 * 24 * 3600);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("notes.txt", "three short words").status());

  // One that has passed the place of the change when the process dies: its second child is under way.
  ASSERT_OK_AND_ASSIGN(std::string passed, ada.StartRun("follow-up", {{"file", "notes.txt"}}));
  ASSERT_OK(ada.WaitForEvent(passed, "child_ended"));
  ASSERT_OK(WaitFor([&] { return ada.GetRun(passed)->steps() == 2; }, "the sleep"));
  auto hold = count->HoldCall();
  platform->Advance(absl::Hours(24));
  ASSERT_OK(hold->Wait());
  // And one that is asleep before it.
  ASSERT_OK(ada.SignIn());
  ASSERT_OK_AND_ASSIGN(std::string asleep, ada.StartRun("follow-up", {{"file", "notes.txt"}}));
  ASSERT_OK(ada.WaitForEvent(asleep, "child_ended"));
  ASSERT_OK(WaitFor([&] { return ada.GetRun(asleep)->steps() == 2; }, "the sleep"));
  platform->Crash();
  *new_code = true;
  ASSERT_OK(platform->Start());

  ASSERT_OK_AND_ASSIGN(v1::Run first, ada.WaitForRun(passed));
  EXPECT_EQ(first.answer().summary(), "First: Hello! You wrote 3 words. A day later: Hello! You wrote 3 words.")
      << first.error().message();
  EXPECT_THAT(ada.EventTypesOf(passed), IsOkAndHolds(Not(Contains("agent_thinking"))));
  ASSERT_OK(ada.WaitForEvent(asleep, "run_recovered"));
  platform->Advance(absl::Hours(24));
  ASSERT_OK(ada.SignIn());
  ASSERT_OK_AND_ASSIGN(v1::Run second, ada.WaitForRun(asleep));
  EXPECT_EQ(second.state(), v1::RUN_STATE_SUCCEEDED) << second.error().message();
  EXPECT_THAT(ada.EventTypesOf(asleep), IsOkAndHolds(Contains("agent_thinking")));
}

}  // namespace
}  // namespace bulkhead::testing
