// Conversations: threads as things of their user, and what runs of a thread know of each other.
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/agent/v1/thread_service.grpc.pb.h"
#include "bulkhead/agent/v1/thread_service.pb.h"
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
#include "testing/base/resource_name.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"
#include "testing/integration/agent_execution/conversation.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace v1 = agent::v1;

TEST(ThreadsTest, ThreadIsMadeFoundChangedAndDeletedOverHttp) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(json made, ada.Http("POST", "/v1/threads",
                                           {{"thread", {{"title", "Sales"}, {"busyPolicy", "BUSY_POLICY_QUEUE"}}},
                                            {"requestId", "r1"}}));
  const std::string path = absl::StrCat("/v1/threads/", IdOf(made.at("name").get<std::string>()));
  ASSERT_OK_AND_ASSIGN(json again,
                       ada.Http("POST", "/v1/threads", {{"thread", {{"title", "Other"}}}, {"requestId", "r1"}}));
  EXPECT_EQ(again, made) << "a repeated request gets the first answer";

  ASSERT_OK_AND_ASSIGN(json renamed,
                       ada.Http("PATCH", path, {{"thread", {{"title", "Sales, May"}}}, {"updateMask", "title"}}));
  EXPECT_EQ(renamed.at("title"), "Sales, May");
  EXPECT_EQ(renamed.at("busyPolicy"), "BUSY_POLICY_QUEUE") << "the mask does not name it";
  EXPECT_THAT(ada.Http("GET", path, nullptr), IsOkAndHolds(renamed));

  ASSERT_OK(ada.Http("DELETE", path, nullptr));
  EXPECT_THAT(ada.Http("GET", path, nullptr), HasReason(absl::StatusCode::kNotFound, "THREAD_NOT_FOUND"));
}

TEST(ThreadsTest, ThreadsAreListedInPagesNewestFirst) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string first, NewThread(ada, kQueue, {.title = "First"}));
  ASSERT_OK_AND_ASSIGN(std::string second, NewThread(ada, kRefuse, {.title = "Second"}));

  ASSERT_OK_AND_ASSIGN(json page, ada.Http("GET", "/v1/threads?pageSize=1", nullptr));
  ASSERT_THAT(page.at("threads"), SizeIs(1));
  EXPECT_EQ(page.at("threads")[0].at("name"), second);
  const std::string token = page.at("nextPageToken");
  ASSERT_OK_AND_ASSIGN(page, ada.Http("GET", absl::StrCat("/v1/threads?pageSize=1&pageToken=", token), nullptr));
  ASSERT_THAT(page.at("threads"), SizeIs(1));
  EXPECT_EQ(page.at("threads")[0].at("name"), first);
  EXPECT_EQ(page.at("threads")[0].at("title"), "First");
  EXPECT_FALSE(page.contains("nextPageToken"));
}

TEST(ThreadsTest, ThreadOfAnotherUserDoesNotExist) {
  Covers({"AE-1", "RF-2", "RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue, {.title = "Secret"}));
  ASSERT_OK_AND_ASSIGN(std::string run, Talk(ada, thread, Say("mine")));
  ASSERT_OK(ada.WaitForRun(run));
  const auto unknown = HasReason(absl::StatusCode::kNotFound, "THREAD_NOT_FOUND");

  EXPECT_THAT(GetThread(bob, thread), unknown);
  v1::UpdateThreadRequest update;
  update.mutable_thread()->set_name(thread);
  EXPECT_THAT(Call<v1::ThreadService>(bob, &v1::ThreadService::Stub::UpdateThread, update), unknown);
  EXPECT_THAT(DeleteThread(bob, thread), unknown);
  EXPECT_THAT(RunsIn(bob, thread), unknown);
  EXPECT_THAT(Talk(bob, thread, Say("yours")), unknown);
  // Nor by its id under his own name.
  EXPECT_THAT(Talk(bob, absl::StrCat(bob.name(), "/threads/", IdOf(thread)), Say("yours")), unknown);
  EXPECT_THAT(bob.ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(bob.Http("GET", "/v1/threads", nullptr), IsOkAndHolds(json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Thread same, GetThread(ada, thread));
  EXPECT_EQ(same.title(), "Secret");
  EXPECT_EQ(same.busy_policy(), kQueue);
  EXPECT_THAT(RunsIn(ada, thread), IsOkAndHolds(ElementsAre(run)));
}

TEST(ThreadsTest, ThreadsThatCannotBeAreRefusedWithTheField) {
  Covers({"RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  const auto invalid = HasReason(absl::StatusCode::kInvalidArgument, "THREAD_INVALID");
  EXPECT_OK(NewThread(ada, kQueue, {.title = absl::StrCat("\xC3\xA9", std::string(199, 'x'))}));
  EXPECT_THAT(NewThread(ada, kQueue, {.title = std::string(201, 'x')}), invalid);
  EXPECT_THAT(NewThread(ada, kQueue, {.title = "two\nlines"}), invalid);
  EXPECT_THAT(NewThread(ada, static_cast<v1::BusyPolicy>(17)), invalid);
  EXPECT_THAT(NewThread(ada, kQueue, {.request_id = std::string(129, 'r')}), HasReason("REQUEST_ID_INVALID"));

  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  v1::UpdateThreadRequest update;
  update.mutable_thread()->set_name(thread);
  update.mutable_update_mask()->add_paths("create_time");
  EXPECT_THAT(Call<v1::ThreadService>(ada, &v1::ThreadService::Stub::UpdateThread, update), invalid);

  ASSERT_OK_AND_ASSIGN(json threads, ada.Http("GET", "/v1/threads", nullptr));
  EXPECT_THAT(threads.at("threads"), SizeIs(2)) << "those that can be";
}

TEST(ThreadsTest, RunsInThreadsThatCannotBeAreRefused) {
  Covers({"RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  EXPECT_THAT(Talk(ada, thread, Say("x"), {.policy = static_cast<v1::BusyPolicy>(17)}),
              HasReason(absl::StatusCode::kInvalidArgument, "BUSY_POLICY_INVALID"));
  for (const std::string& name : {std::string("threads/thread-1"), ada.name() + "/threads/default",
                                  ada.name() + "/threads/", ada.name() + "/runs/thread-1"}) {
    EXPECT_THAT(Talk(ada, name, Say("x")), HasReason(absl::StatusCode::kInvalidArgument, "THREAD_NAME_INVALID"));
  }
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(IsEmpty()));
}

TEST(ThreadsTest, ThreadsOfAUserAreLimited) {
  Covers({"AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_agent()->set_max_threads_per_user(2);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string first, NewThread(ada, kQueue, {.request_id = "once"}));
  ASSERT_OK(NewThread(ada));
  EXPECT_THAT(NewThread(ada), HasReason(absl::StatusCode::kResourceExhausted, "THREAD_QUOTA_EXCEEDED"));
  EXPECT_THAT(NewThread(ada, kQueue, {.request_id = "once"}), IsOkAndHolds(first)) << "that one is there already";
  EXPECT_OK(NewThread(platform->As("bob"))) << "the limit is each user's own";
  ASSERT_OK(DeleteThread(ada, first));
  EXPECT_OK(NewThread(ada));
}

TEST(ThreadsTest, HistoryHasAnswersAndErrorsOfTheEarlierRunsOnly) {
  Covers({"AE-1", "RF-2"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string other_thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string bobs_thread, NewThread(bob, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string one, Talk(ada, thread, Say("one")));
  ASSERT_OK_AND_ASSIGN(std::string bobs, Talk(bob, bobs_thread, Say("bob's")));
  ASSERT_OK_AND_ASSIGN(std::string aside, Talk(ada, other_thread, Say("aside")));
  ASSERT_OK_AND_ASSIGN(std::string two, Talk(ada, thread, json{{"fail", "OUT_OF_WORDS"}}));
  ASSERT_OK_AND_ASSIGN(std::string three, Talk(ada, thread, Say("three")));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(three));
  EXPECT_THAT(PastOf(ended), ElementsAre("one", "OUT_OF_WORDS"));
  ASSERT_OK_AND_ASSIGN(std::string bobs_next, Talk(bob, bobs_thread, Say("next")));
  ASSERT_OK_AND_ASSIGN(ended, bob.WaitForRun(bobs_next));
  EXPECT_THAT(PastOf(ended), ElementsAre("bob's"));
  ASSERT_OK(ada.WaitForRun(aside));
}

TEST(ThreadsTest, ReplayHasTheHistoryThatTheRunSawFirst) {
  Covers({"AE-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithAgent(Talker()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string before, Talk(ada, thread, Say("before")));
  ASSERT_OK(ada.WaitForRun(before));
  ASSERT_OK_AND_ASSIGN(std::string run, TalkToTheGate(ada, thread, "run"));
  // One more ends after the history was asked for.
  ASSERT_OK_AND_ASSIGN(std::string between, Talk(ada, thread, Say("between")));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(between));
  EXPECT_THAT(PastOf(ended), ElementsAre("before"));
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK(OpenGate(ada, run));
  ASSERT_OK_AND_ASSIGN(ended, WaitForSuccess(ada, run));
  EXPECT_GE(ended.recoveries(), 1);
  EXPECT_THAT(PastOf(ended), ElementsAre("before"));
  // Who comes later sees both, in the order in which they were made.
  ASSERT_OK_AND_ASSIGN(std::string after, Talk(ada, thread, Say("after")));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(after));
  EXPECT_THAT(PastOf(ended), ElementsAre("before", "run", "between"));
}

TEST(ThreadsTest, BusyThreadIsNotDeleted) {
  Covers({"AE-4", "RF-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string run, Talk(ada, thread, Say("one", 1)));
  EXPECT_THAT(DeleteThread(ada, thread), HasReason(absl::StatusCode::kFailedPrecondition, "THREAD_BUSY"));
  EXPECT_THAT(RunsIn(ada, thread), IsOkAndHolds(ElementsAre(run)));
  ASSERT_OK(OpenGate(ada, run));
  ASSERT_OK(ada.WaitForRun(run));
  EXPECT_OK(DeleteThread(ada, thread));
}

TEST(ThreadsTest, DeletedThreadLeavesItsRuns) {
  Covers({"AE-4", "RF-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, TalkingPlatform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string run, Talk(ada, thread, Say("one")));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK(DeleteThread(ada, thread));
  ASSERT_OK_AND_ASSIGN(v1::Run left, ada.GetRun(run));
  EXPECT_EQ(left.answer().summary(), "one");
  EXPECT_TRUE(left.thread().empty());
  EXPECT_THAT(RunsIn(ada, thread), HasReason("THREAD_NOT_FOUND"));
  EXPECT_THAT(Talk(ada, thread, Say("two")), HasReason("THREAD_NOT_FOUND"));
}

// Says in which conversation it is called.
class ListeningTool final : public CountingTool {
 public:
  using CountingTool::CountingTool;
  Awaitable<absl::StatusOr<json>> Run(tool::ToolCall& call) override {
    co_return json{{"echo", call.user().request().thread}, {"call", Count(call)}};
  }
};

// Calls it, and has a child call it: {"summary": what it heard, "data": what the child heard}.
Awaitable<absl::StatusOr<Answer>> ListenWithAChild(agent::RunContext& run, const json& /*input*/) {
  CO_ASSIGN_OR_RETURN(json heard, co_await run.CallTool("listen", json::object()));
  CO_ASSIGN_OR_RETURN(Answer child, co_await run.RunAgent("chain", Tools({"listen"})));
  co_return Answer{.summary = heard.at("echo").get<std::string>(), .data = child.data.at("outputs").at(0)};
}

TEST(ThreadsTest, ThreadGoesWithTheRunAndItsRetryToTheToolsButNotToItsChildren) {
  Covers({"AE-1", "AE-4", "TD-2", "AU-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<ListeningTool>("listen"))
                                          .WithAgent(ToolChainAgent())
                                          .WithAgent(ScriptedAgent("talker", ListenWithAChild))
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  ASSERT_OK_AND_ASSIGN(std::string run, Talk(ada, thread, json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), IdOf(thread)) << ended.error().message();
  EXPECT_EQ(ended.answer().data().fields().at("echo").string_value(), "");
  ASSERT_OK_AND_ASSIGN(json retried, ada.Http("POST", absl::StrCat("/v1/runs/", IdOf(run), ":retry"), json::object()));
  EXPECT_EQ(retried.at("thread"), thread);
  ASSERT_OK(ada.WaitForRun(retried.at("name").get<std::string>()));
  EXPECT_THAT(RunsIn(ada, thread), IsOkAndHolds(ElementsAre(retried.at("name").get<std::string>(), run)));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(4))) << "the children are no part of the conversation";
}

}  // namespace
}  // namespace bulkhead::testing
