// Conversations: who goes when several runs of a thread are there.
#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/resource_name.h"
#include "testing/base/wait.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/user.h"
#include "testing/integration/agent_execution/conversation.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace v1 = agent::v1;

TEST(ThreadTurnsTest, BusyThreadRefusesASecondRunUntilTheFirstHasEnded) {
  Covers({"AE-4", "AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));  // Refusing is the default.
  ASSERT_OK_AND_ASSIGN(std::string first, Talk(ada, thread, Say("one", 1), {.request_id = "first"}));
  absl::StatusOr<std::string> refused = Talk(ada, thread, Say("two"), {.request_id = "second"});
  ASSERT_THAT(refused, HasReason(absl::StatusCode::kFailedPrecondition, "THREAD_BUSY"));
  EXPECT_EQ(ErrorInfoOf(refused.status())->metadata.at("run"), first);
  EXPECT_THAT(RunsIn(ada, thread), IsOkAndHolds(ElementsAre(first))) << "nothing was made";
  EXPECT_THAT(Talk(ada, thread, Say("one", 1), {.request_id = "first"}), IsOkAndHolds(first))
      << "a repeated request is no second run";

  ASSERT_OK(OpenGate(ada, first));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(first));
  EXPECT_EQ(ended.thread(), thread);
  ASSERT_OK_AND_ASSIGN(std::string second, Talk(ada, thread, Say("two"), {.request_id = "second"}));
  ASSERT_OK(WaitForSuccess(ada, second));
}

TEST(ThreadTurnsTest, QueuedRunsBeginInTheirOrderAlsoAfterACrash) {
  Covers({"AE-4", "AE-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string first, Talk(ada, thread, Say("one", 1)));
  ASSERT_OK_AND_ASSIGN(std::string second, Talk(ada, thread, Say("two", 1)));
  ASSERT_OK_AND_ASSIGN(std::string third, Talk(ada, thread, Say("three")));
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event queued, ada.WaitForEvent(third, "run_queued"));
  EXPECT_EQ(queued.run_queued().waits_for(), second);
  ASSERT_OK(ada.WaitForApproval(first));

  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK_AND_ASSIGN(v1::Run waiting, ada.GetRun(second));
  EXPECT_EQ(waiting.state(), v1::RUN_STATE_PENDING);
  EXPECT_EQ(waiting.waits_for(), first);
  // What waits takes no place: another thread's run gets the one that there is when the first has ended.
  ASSERT_OK(OpenGate(ada, first));
  ASSERT_OK(ada.WaitForRun(first));
  ASSERT_OK(ada.WaitForApproval(second));
  ASSERT_OK_AND_ASSIGN(waiting, ada.GetRun(third));
  EXPECT_EQ(waiting.state(), v1::RUN_STATE_PENDING);
  EXPECT_EQ(waiting.waits_for(), second);
  ASSERT_OK(OpenGate(ada, second));
  ASSERT_OK_AND_ASSIGN(v1::Run last, ada.WaitForRun(third));
  EXPECT_THAT(PastOf(last), ElementsAre("one", "two"));
  EXPECT_TRUE(last.waits_for().empty());
  for (const std::string& run : {first, second, third}) {
    ExpectWholeStory(ada, run);
  }
}

TEST(ThreadTurnsTest, QueuedRunHoldsNoPlaceAgainstOtherThreads) {
  Covers({"AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithAgent(Talker())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->set_max_running_per_user(2);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string first, TalkToTheGate(ada, thread, "one"));
  ASSERT_OK_AND_ASSIGN(std::string second, Talk(ada, thread, Say("two")));
  ASSERT_OK_AND_ASSIGN(std::string elsewhere, ada.StartRun("talker", Say("elsewhere")));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, WaitForSuccess(ada, elsewhere));
  EXPECT_THAT(PastOf(ended), IsEmpty()) << "outside a thread there is no history";
  EXPECT_EQ(ada.GetRun(second)->state(), v1::RUN_STATE_PENDING);
  ASSERT_OK(OpenGate(ada, first));
  ASSERT_OK(ada.WaitForRun(second));
}

TEST(ThreadTurnsTest, QueuedRunThatTimesOutOrIsCancelledLetsTheNextOneWaitForTheOneBefore) {
  Covers({"AE-4", "AE-9"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string first, Talk(ada, thread, Say("one", 1)));
  ASSERT_OK_AND_ASSIGN(std::string late, Talk(ada, thread, Say("late"), {.timeout_seconds = 60}));
  ASSERT_OK_AND_ASSIGN(std::string unwanted, Talk(ada, thread, Say("unwanted")));
  ASSERT_OK_AND_ASSIGN(std::string last, Talk(ada, thread, Say("last")));
  ASSERT_OK(ada.WaitForApproval(first));

  platform->Advance(absl::Seconds(61));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(late));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_TIMED_OUT);
  EXPECT_EQ(ended.error().reason(), "RUN_TIMED_OUT");
  EXPECT_FALSE(ended.has_start_time());
  EXPECT_EQ(ada.GetRun(unwanted)->waits_for(), first);
  ASSERT_OK_AND_ASSIGN(v1::Run cancelled, ada.CancelRun(unwanted));
  EXPECT_EQ(cancelled.state(), v1::RUN_STATE_CANCELLED);
  EXPECT_EQ(ada.GetRun(last)->waits_for(), first);
  EXPECT_EQ(ada.GetRun(last)->state(), v1::RUN_STATE_PENDING);

  ASSERT_OK(OpenGate(ada, first));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(last));
  EXPECT_THAT(PastOf(ended), ElementsAre("one", "RUN_TIMED_OUT", "RUN_CANCELLED"));
  for (const std::string& run : {late, unwanted, last}) {
    ExpectWholeStory(ada, run);
  }
}

TEST(ThreadTurnsTest, InterruptedRunGoesOnWhenTheNewOneHasEnded) {
  Covers({"AE-4", "AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  ASSERT_OK_AND_ASSIGN(std::string old, Talk(ada, thread, Say("old", 2)));
  ASSERT_OK(ada.WaitForApproval(old));
  // The request's own policy goes before the thread's. There is one place, and the old one has it.
  ASSERT_OK_AND_ASSIGN(std::string urgent, TalkToTheGate(ada, thread, "urgent", {.policy = kInterrupt}));
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event interrupted, ada.WaitForEvent(old, "run_interrupted"));
  EXPECT_EQ(interrupted.run_interrupted().interrupted_by(), urgent);
  EXPECT_TRUE(ada.GetRun(old)->has_interrupt_time());
  // What is under way goes on, and the next command does not begin.
  ASSERT_OK(OpenGate(ada, old));
  ASSERT_OK(OpenGate(ada, urgent));
  ASSERT_OK(WaitForSuccess(ada, urgent));

  ASSERT_OK_AND_ASSIGN(notifier::v1::Event resumed, ada.WaitForEvent(old, "run_resumed"));
  EXPECT_EQ(resumed.run_resumed().resumed_by(), urgent);
  ASSERT_OK(WaitFor([&] { return ada.GetRun(old)->state() == v1::RUN_STATE_AWAITING_APPROVAL; },
                    "the second gate of the old run"));
  EXPECT_FALSE(ada.GetRun(old)->has_interrupt_time());
  ASSERT_OK(OpenGate(ada, old));
  ASSERT_OK(WaitForSuccess(ada, old));
  EXPECT_THAT(ada.EventTypesOf(old),
              IsOkAndHolds(ElementsAre("run_queued", "agent_started", "approval_requested", "run_interrupted",
                                       "approval_resolved", "run_resumed", "approval_requested", "approval_resolved",
                                       "agent_thinking", "agent_completed")));
  ExpectWholeStory(ada, old);
  ExpectWholeStory(ada, urgent);
}

TEST(ThreadTurnsTest, InterruptedRunGoesOnAlsoWhenTheNewOneEndsAfterACrash) {
  Covers({"AE-4", "AE-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string old, TalkToTheGate(ada, thread, "old"));
  ASSERT_OK_AND_ASSIGN(std::string urgent, TalkToTheGate(ada, thread, "urgent"));
  ASSERT_OK(OpenGate(ada, old));
  platform->Crash();
  ASSERT_OK(platform->Start());

  EXPECT_TRUE(ada.GetRun(old)->has_interrupt_time());
  ASSERT_OK(OpenGate(ada, urgent));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(urgent));
  EXPECT_THAT(PastOf(ended), IsEmpty());
  ASSERT_OK(WaitForSuccess(ada, old));
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> types, ada.EventTypesOf(old));
  EXPECT_THAT(types, Contains("run_resumed"));
  EXPECT_THAT(types, Contains("agent_thinking").Times(1));
  ExpectWholeStory(ada, old);
}

TEST(ThreadTurnsTest, OfThreeThatInterruptEachOtherTheMiddleOnesEndLeavesTheFirstHeldBack) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string first, TalkToTheGate(ada, thread, "first"));
  ASSERT_OK_AND_ASSIGN(std::string second, TalkToTheGate(ada, thread, "second"));
  ASSERT_OK_AND_ASSIGN(std::string third, TalkToTheGate(ada, thread, "third"));
  ASSERT_OK(OpenGate(ada, first));

  ASSERT_OK(ada.CancelRun(second));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(second));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
  EXPECT_TRUE(ada.GetRun(first)->has_interrupt_time()) << "the third one still goes first";
  ASSERT_OK(ada.CancelRun(third));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(third));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED) << "whatever way it ends";
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event resumed, ada.WaitForEvent(first, "run_resumed"));
  EXPECT_EQ(resumed.run_resumed().resumed_by(), third);
  ASSERT_OK(WaitForSuccess(ada, first));
  ExpectWholeStory(ada, first);
}

TEST(ThreadTurnsTest, EndOfARunThatItsUserHeldBackLetsNothingGoOnBesideANewerOne) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string first, TalkToTheGate(ada, thread, "first"));
  ASSERT_OK_AND_ASSIGN(std::string second, TalkToTheGate(ada, thread, "second"));
  ASSERT_OK(ada.Http("POST", absl::StrCat("/v1/runs/", IdOf(second), ":interrupt"), json::object()));
  ASSERT_OK_AND_ASSIGN(std::string third, TalkToTheGate(ada, thread, "third"));
  ASSERT_OK(OpenGate(ada, first));

  ASSERT_OK(ada.CancelRun(second));
  ASSERT_OK(ada.WaitForRun(second));
  EXPECT_TRUE(ada.GetRun(first)->has_interrupt_time()) << "the third one goes first";
  ASSERT_OK(OpenGate(ada, third));
  ASSERT_OK(WaitForSuccess(ada, third));
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event resumed, ada.WaitForEvent(first, "run_resumed"));
  EXPECT_EQ(resumed.run_resumed().resumed_by(), third);
  ASSERT_OK(WaitForSuccess(ada, first));
  ExpectWholeStory(ada, first);
}

TEST(ThreadTurnsTest, UserMayLetAHeldBackRunGoOnOrKeepItHeldBack) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithAgent(Talker()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string old, TalkToTheGate(ada, thread, "old"));
  ASSERT_OK_AND_ASSIGN(std::string urgent, TalkToTheGate(ada, thread, "urgent"));
  ASSERT_OK(OpenGate(ada, old));
  const std::string path = absl::StrCat("/v1/runs/", IdOf(old));
  // Held back by the user as well: the end of the new one is not enough any more.
  ASSERT_OK(ada.Http("POST", absl::StrCat(path, ":interrupt"), json::object()));
  ASSERT_OK(OpenGate(ada, urgent));
  ASSERT_OK(ada.WaitForRun(urgent));
  EXPECT_TRUE(ada.GetRun(old)->has_interrupt_time());
  // And beside another new one it goes on when the user says so.
  ASSERT_OK_AND_ASSIGN(std::string other, TalkToTheGate(ada, thread, "other"));
  ASSERT_OK(ada.Http("POST", absl::StrCat(path, ":resume"), json::object()));
  ASSERT_OK(WaitForSuccess(ada, old));
  EXPECT_EQ(ada.GetRun(other)->state(), v1::RUN_STATE_AWAITING_APPROVAL);
  ASSERT_OK(OpenGate(ada, other));
  ASSERT_OK(ada.WaitForRun(other));
}

TEST(ThreadTurnsTest, ReplacingRunBeginsWhenThoseItCancelledHaveEnded) {
  Covers({"AE-4", "AE-9"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string running, TalkToTheGate(ada, thread, "running"));
  ASSERT_OK_AND_ASSIGN(std::string queued, Talk(ada, thread, Say("queued")));
  ASSERT_OK_AND_ASSIGN(std::string elsewhere, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string other, Talk(ada, elsewhere, Say("other")));

  ASSERT_OK_AND_ASSIGN(std::string replacing, Talk(ada, thread, Say("new"), {.policy = kReplace}));
  for (const std::string& run : {running, queued}) {
    ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
    ASSERT_OK_AND_ASSIGN(notifier::v1::Event cancelled, ada.WaitForEvent(run, "agent_cancelled"));
    EXPECT_EQ(cancelled.agent_cancelled().comment(), absl::StrCat("replaced by ", replacing));
    ExpectWholeStory(ada, run);
  }
  ASSERT_OK_AND_ASSIGN(v1::Run ended, WaitForSuccess(ada, replacing));
  EXPECT_THAT(PastOf(ended), ElementsAre("RUN_CANCELLED", "RUN_CANCELLED"));
  ASSERT_OK(WaitForSuccess(ada, other)) << "another thread's runs are not touched";
}

// What becomes of runs that clients start in a thread at the same time.
struct Crowd {
  std::vector<std::string> accepted;
  std::vector<std::string> refused;  // The reasons.
};
Crowd TalkAtOnce(User& user, const std::string& thread, const json& input, int runs) {
  absl::Mutex mutex;
  Crowd crowd;
  std::vector<std::thread> clients;
  for (int i = 0; i < runs; ++i) {
    clients.emplace_back([&] {
      absl::StatusOr<std::string> run = Talk(user, thread, input);
      absl::MutexLock lock(mutex);
      if (run.ok()) {
        crowd.accepted.push_back(*std::move(run));
      } else {
        crowd.refused.push_back(ReasonOf(run.status()));
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  return crowd;
}

TEST(ThreadTurnsTest, OfManyRunsAtOnceOneIsAccepted) {
  Covers({"AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kRefuse));

  // The one that is accepted stands at its gate while the others come.
  const Crowd crowd = TalkAtOnce(ada, thread, Say("first", 1), 8);

  ASSERT_THAT(crowd.accepted, SizeIs(1));
  EXPECT_THAT(crowd.refused, AllOf(SizeIs(7), Each("THREAD_BUSY")));
  ASSERT_OK(OpenGate(ada, crowd.accepted[0]));
  EXPECT_OK(WaitForSuccess(ada, crowd.accepted[0]));
}

TEST(ThreadTurnsTest, OfManyRunsAtOnceOneGoesAfterAnother) {
  Covers({"AE-8"});
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  auto count = [&](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
    most = std::max<int>(most, ++inside);
    co_await run.Think("alone");
    --inside;
    co_return Answer{};
  };
  // With places for more than one.
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithAgent(ScriptedAgent("talker", count)).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));

  const Crowd crowd = TalkAtOnce(ada, thread, json::object(), 8);

  EXPECT_THAT(crowd.accepted, SizeIs(8));
  EXPECT_THAT(crowd.refused, IsEmpty());
  for (const std::string& run : crowd.accepted) {
    EXPECT_OK(WaitForSuccess(ada, run));
  }
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace bulkhead::testing
