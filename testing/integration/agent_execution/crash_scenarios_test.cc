// What runs of plans and of models, and sessions around runs, come to when their process dies at any point: as
// crash_points_test has it for an agent that is code.
#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/inference_server.h"
#include "testing/integration/agent_execution/crash_run.h"
#include "testing/integration/agent_execution/crash_series.h"
#include "testing/integration/agent_execution/crash_story.h"

namespace bulkhead::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

bool HasEffect(const CrashOutcome& outcome, const std::string& tool) {
  return std::ranges::any_of(outcome.effects, [&tool](const std::string& effect) {
    return absl::StartsWith(effect, absl::StrCat(tool, "\t"));
  });
}

// Branches side by side, a call that is tried again, a question, and a payment that may happen once.
constexpr char kPlan[] =
    R"json({"name": "agents/journey", "description": "Does everything that a plan can do.", "plan": {"nodes": [
    {"id": "weigh", "tool": "tools/effect.weigh", "forEach": "input.towns", "parallelism": 2, "arguments": {"town": "=item"}},
    {"id": "knock", "tool": "tools/effect.knock", "retries": 2, "arguments": {"at": "=input.towns[0]"}},
    {"id": "never", "tool": "tools/effect.closed", "condition": "!knock.opened"},
    {"id": "book", "tool": "tools/effect.book", "after": ["never"], "approval": true, "question": "Shall it be booked?",
     "arguments": {"weights": "=weigh[*].weight"}},
    {"id": "pay", "tool": "tools/effect.pay", "after": ["book"], "retries": 1, "arguments": {"amount": "=sum(weigh[*].weight)"}}],
    "result": "{paid: pay.paid, never: never}"}})json";

class PlanCrashTest : public CrashTest, public ::testing::WithParamInterface<CrashSeries> {
 protected:
  void SetUp() override {
    Begin({.agent = "agents/journey",
           .definition = json::parse(kPlan),
           .input = {{"towns", {"Aachen", "Bremen", "Celle"}}}});
    ExpectEnd(undisturbed());
  }

  // Nobody knows whether a payment in doubt has happened, unless the user does: the plan cannot go on without its result.
  static void ExpectEnd(const CrashOutcome& outcome) {
    EXPECT_EQ(outcome.logs.size(), 1u);
    if (outcome.denied) {
      EXPECT_EQ(outcome.ended.value("state", ""), "RUN_STATE_FAILED") << outcome.ended;
      EXPECT_EQ(outcome.ended.value("/error/reason"_json_pointer, ""), "PLAN_NODE_FAILED") << outcome.ended;
      EXPECT_EQ(outcome.ended.value("/error/metadata/reason"_json_pointer, ""), "TOOL_OUTCOME_UNKNOWN");
      return;
    }
    EXPECT_EQ(outcome.ended.value("state", ""), "RUN_STATE_SUCCEEDED") << outcome.ended;
    EXPECT_EQ(outcome.ended.value("/answer/data"_json_pointer, json()), json({{"paid", true}, {"never", nullptr}}));
  }
};

TEST_P(PlanCrashTest, PlanGoesOnToTheSameEnd) {
  Covers({"AE-2", "AE-6", "AE-10", "TD-5", "WS-1", "WS-5", "DP-6"});
  int asked = 0;
  int denied = 0;
  TryEveryPoint(GetParam(), [&](const CrashOutcome& outcome) {
    ExpectEnd(outcome);
    ExpectSameStory(outcome, {.without_pay = outcome.denied, .without_end = outcome.denied});
    asked += outcome.asked ? 1 : 0;
    denied += outcome.denied ? 1 : 0;
  });
  if (absl::StartsWith(GetParam().place, "effect ")) {
    EXPECT_EQ(asked, 1) << "one of the effects is the payment";
    EXPECT_EQ(denied, absl::EndsWith(GetParam().place, " after") ? 1 : 0);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, PlanCrashTest,
                         ::testing::Values(CrashSeries{"BeforeAgentCommits", "agent.db before", 16},
                                           CrashSeries{"AfterAgentCommits", "agent.db after", 16},
                                           CrashSeries{"BeforeNotifierCommits", "notifier.db before", 3},
                                           CrashSeries{"AfterNotifierCommits", "notifier.db after", 3},
                                           CrashSeries{"BeforeToolCommits", "tool.db before", 3},
                                           CrashSeries{"AfterToolCommits", "tool.db after", 3},
                                           CrashSeries{"BeforeEffects", "effect before", 7},
                                           CrashSeries{"AfterEffects", "effect after", 7}),
                         NameOf);

// A model that asks for tools twice, and then says what they answered.
class ModelCrashTest : public CrashTest, public ::testing::WithParamInterface<CrashSeries> {
 protected:
  static constexpr int kCalls = 3;
  static constexpr int kTokensOfACall = 15;  // As the endpoint counts.

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(model_, InferenceServer::Start());
    const json turns = {{{"text", "I shall weigh it, and book it."},
                         {"tools",
                          {{{"name", "effect_weigh"}, {"arguments", {{"town", "Aachen"}}}},
                           {{"name", "effect_book"}, {"arguments", {{"town", "Aachen"}}}}}}},
                        {{"tools", {{{"name", "effect_book"}, {"arguments", {{"town", "Bremen"}}}}}}},
                        {{"text", "Done: %results%"}}};
    Begin({.agent = "agents/traveller",
           .definition = {{"name", "agents/traveller"},
                          {"description", "Asks a model where to go."},
                          {"model",
                           {{"instructions", "Travel."},
                            {"model", "small"},
                            {"tools", {"tools/effect.weigh", "tools/effect.book"}}}}},
           .input = {{"message", turns.dump()}},
           .model = model_.get()});
    ExpectEnd(undisturbed());
    EXPECT_EQ(undisturbed().model_requests, kCalls);
  }

  // A call that a crash has cut off is made again, and counted once.
  static void ExpectEnd(const CrashOutcome& outcome) {
    EXPECT_EQ(outcome.ended.value("state", ""), "RUN_STATE_SUCCEEDED") << outcome.ended;
    EXPECT_EQ(outcome.ended.value("/answer/summary"_json_pointer, ""),
              R"(Done: {"weight":17} {"booked":true} {"booked":true})");
    EXPECT_EQ(outcome.ended.value("modelTokens", 0), kCalls * kTokensOfACall) << outcome.ended;
    EXPECT_EQ(outcome.tokens_of_user, kCalls * kTokensOfACall);
    EXPECT_EQ(outcome.logs.size(), 1u);
  }

  std::unique_ptr<InferenceServer> model_;
};

TEST_P(ModelCrashTest, ModelIsToldAndCountedAsIfNothingHadHappened) {
  Covers({"AE-2", "AE-3", "AE-6", "WS-1", "WS-5", "DP-6"});
  const bool in_call = absl::StartsWith(GetParam().place, "model ");
  TryEveryPoint(GetParam(), [&](const CrashOutcome& outcome) {
    ExpectEnd(outcome);
    ExpectSameStory(outcome, {});
    EXPECT_THAT(outcome.model_requests,
                AllOf(Ge(kCalls + (in_call ? outcome.deaths : 0)), Le(kCalls + outcome.deaths)));
  });
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, ModelCrashTest,
                         ::testing::Values(CrashSeries{"BeforeTheModelAnswers", "model before", 3},
                                           CrashSeries{"WhileTheModelAnswers", "model within", 3},
                                           CrashSeries{"BeforeAgentCommits", "agent.db before", 10},
                                           CrashSeries{"AfterAgentCommits", "agent.db after", 10},
                                           CrashSeries{"BeforeNotifierCommits", "notifier.db before", 3},
                                           CrashSeries{"AfterNotifierCommits", "notifier.db after", 3},
                                           CrashSeries{"BeforeToolCommits", "tool.db before", 2},
                                           CrashSeries{"AfterToolCommits", "tool.db after", 2},
                                           CrashSeries{"BeforeEffects", "effect before", 3},
                                           CrashSeries{"AfterEffects", "effect after", 3}),
                         NameOf);

// The user signs in for the run, and takes new tokens while it waits for him.
class RefreshCrashTest : public CrashTest, public ::testing::WithParamInterface<CrashSeries> {
 protected:
  void SetUp() override {
    Begin({.session = SessionUse::kRefreshed});
    ExpectRichEnd(undisturbed());
    EXPECT_TRUE(undisturbed().token_lives);
  }
};

// A run whose session is over, before it has paid or sent its child.
void ExpectRevoked(const CrashOutcome& outcome) {
  EXPECT_EQ(outcome.ended.value("state", ""), "RUN_STATE_CANCELLED") << outcome.ended;
  EXPECT_EQ(outcome.logs.size(), 1u);
  EXPECT_FALSE(HasEffect(outcome, "effect.pay"));
  EXPECT_FALSE(outcome.token_lives);
}

TEST_P(RefreshCrashTest, SessionGoesOnOrEndsWithItsRun) {
  Covers({"AE-6", "AU-3", "AU-8", "AU-9", "DP-6"});
  int lost = 0;
  TryEveryPoint(GetParam(), [&](const CrashOutcome& outcome) {
    if (outcome.session_lost) {
      // The first tokens that came after the old one were lost. Who asks again with the old one may be a thief.
      ++lost;
      ExpectRevoked(outcome);
    } else {
      ExpectRichEnd(outcome);
      ExpectSameStory(outcome, {.without_pay = outcome.denied});
      EXPECT_TRUE(outcome.token_lives);
    }
  });
  EXPECT_EQ(lost, absl::EndsWith(GetParam().place, " after") ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, RefreshCrashTest,
                         ::testing::Values(CrashSeries{"BeforeAuthCommits", "auth.db before", 5},
                                           CrashSeries{"AfterAuthCommits", "auth.db after", 5}),
                         NameOf);

// The user signs in for the run, and ends that session while it waits for him.
class RevocationCrashTest : public CrashTest, public ::testing::WithParamInterface<CrashSeries> {
 protected:
  void SetUp() override {
    Begin({.session = SessionUse::kRevoked});
    ExpectRevoked(undisturbed());
  }
};

TEST_P(RevocationCrashTest, RunEndsWithItsSession) {
  Covers({"AE-6", "AU-3", "AU-8", "AU-9", "WS-1", "DP-6"});
  TryEveryPoint(GetParam(), [this](const CrashOutcome& outcome) {
    ExpectRevoked(outcome);
    ExpectSameStory(outcome, {});
  });
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, RevocationCrashTest,
                         ::testing::Values(CrashSeries{"BeforeAuthCommits", "auth.db before", 5},
                                           CrashSeries{"AfterAuthCommits", "auth.db after", 5},
                                           CrashSeries{"BeforeAgentCommits", "agent.db before", 10},
                                           CrashSeries{"AfterAgentCommits", "agent.db after", 10},
                                           CrashSeries{"BeforeNotifierCommits", "notifier.db before", 3},
                                           CrashSeries{"AfterNotifierCommits", "notifier.db after", 3}),
                         NameOf);

}  // namespace
}  // namespace bulkhead::testing
