// Conversations: what runs of a thread know of each other, and who goes when several are there.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/agent/v1/thread_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace v1 = agent::v1;

constexpr v1::BusyPolicy kRefuse = v1::BUSY_POLICY_REFUSE;
constexpr v1::BusyPolicy kQueue = v1::BUSY_POLICY_QUEUE;
constexpr v1::BusyPolicy kInterrupt = v1::BUSY_POLICY_INTERRUPT;
constexpr v1::BusyPolicy kReplace = v1::BUSY_POLICY_CANCEL_AND_REPLACE;

// Asks for the history, then as often as "gates" says for an approval, and answers with what it was told to say and what
// it knows of the conversation: {"past": ["<said before>", "<reason of what failed>"]}.
agent::AgentFactory Talker() {
  return ScriptedAgent("talker", [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
    const std::vector<agent::PastRun> history = co_await run.History();
    for (int gate = 0; gate < input.value("gates", 0); ++gate) {
      CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = absl::StrCat("Gate ", gate)})).status());
    }
    co_await run.Think("Answering");
    if (input.contains("fail")) {
      co_return MakeError(absl::StatusCode::kInternal, "as it was told",
                          {.domain = "talker", .reason = input.at("fail").get<std::string>()});
    }
    Answer answer{.summary = input.value("say", ""), .data = {{"past", json::array()}}};
    for (const agent::PastRun& past : history) {
      answer.data["past"].push_back(past.answer.has_value() ? past.answer->summary : past.reason);
    }
    co_return answer;
  });
}

json Say(std::string text, int gates = 0) { return {{"say", std::move(text)}, {"gates", gates}}; }

absl::StatusOr<std::string> NewThread(User& user, v1::BusyPolicy policy = v1::BUSY_POLICY_UNSPECIFIED,
                                      std::string title = "", std::string request_id = "") {
  v1::CreateThreadRequest request;
  request.mutable_thread()->set_title(std::move(title));
  request.mutable_thread()->set_busy_policy(policy);
  request.set_request_id(std::move(request_id));
  ASSIGN_OR_RETURN(v1::Thread thread, Call<v1::ThreadService>(user, &v1::ThreadService::Stub::CreateThread, request));
  return thread.name();
}

struct InThread {
  v1::BusyPolicy policy = v1::BUSY_POLICY_UNSPECIFIED;
  std::string request_id;
  int timeout_seconds = 0;
};

// The name of the run.
absl::StatusOr<std::string> Start(User& user, const std::string& thread, const json& input, InThread options = {}) {
  v1::CreateRunRequest request;
  request.set_agent("agents/talker");
  request.set_thread(thread);
  request.set_busy_policy(options.policy);
  request.set_request_id(options.request_id);
  if (options.timeout_seconds > 0) {
    request.mutable_timeout()->set_seconds(options.timeout_seconds);
  }
  for (const auto& [key, value] : input.items()) {
    google::protobuf::Value& field = (*request.mutable_input()->mutable_fields())[key];
    if (value.is_number()) {
      field.set_number_value(value.get<double>());
    } else {
      field.set_string_value(value.get<std::string>());
    }
  }
  ASSIGN_OR_RETURN(v1::Run run, Call<v1::RunService>(user, &v1::RunService::Stub::CreateRun, request));
  return run.name();
}

// Opens the gate at which the run stands.
absl::Status Open(User& user, const std::string& run) {
  ASSIGN_OR_RETURN(v1::Approval gate, user.WaitForApproval(run));
  return user.Decide(gate, /*allow=*/true).status();
}

std::vector<std::string> PastOf(const v1::Run& run) {
  std::vector<std::string> past;
  const auto& fields = run.answer().data().fields();
  if (auto found = fields.find("past"); found != fields.end()) {
    for (const google::protobuf::Value& value : found->second.list_value().values()) {
      past.push_back(value.string_value());
    }
  }
  return past;
}

absl::StatusOr<std::vector<std::string>> RunsOf(User& user, const std::string& thread) {
  v1::ListRunsRequest request;
  request.set_thread(thread);
  ASSIGN_OR_RETURN(v1::ListRunsResponse runs, Call<v1::RunService>(user, &v1::RunService::Stub::ListRuns, request));
  std::vector<std::string> names;
  for (const v1::Run& run : runs.runs()) {
    names.push_back(run.name());
  }
  return names;
}

std::string Last(const std::string& name) { return name.substr(name.rfind('/') + 1); }

// With one place for each user: nothing here may need a second one.
absl::StatusOr<std::unique_ptr<Harness>> Platform() {
  return Harness::Builder()
      .WithUsers({"ada", "bob"})
      .WithAgent(Talker())
      .Configure([](common::v1::PlatformConfig& config) { config.mutable_agent()->set_max_running_per_user(1); })
      .Build();
}

TEST(ThreadsTest, ThreadIsMadeFoundChangedListedAndDeletedOverHttp) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(json made, ada.Http("POST", "/v1/threads",
                                           {{"thread", {{"title", "Sales"}, {"busyPolicy", "BUSY_POLICY_QUEUE"}}},
                                            {"requestId", "r1"}}));
  const std::string path = absl::StrCat("/v1/threads/", Last(made.at("name")));
  ASSERT_OK_AND_ASSIGN(json again,
                       ada.Http("POST", "/v1/threads", {{"thread", {{"title", "Other"}}}, {"requestId", "r1"}}));
  EXPECT_EQ(again, made) << "a repeated request gets the first answer";

  ASSERT_OK_AND_ASSIGN(json renamed,
                       ada.Http("PATCH", path, {{"thread", {{"title", "Sales, May"}}}, {"updateMask", "title"}}));
  EXPECT_EQ(renamed.at("title"), "Sales, May");
  EXPECT_EQ(renamed.at("busyPolicy"), "BUSY_POLICY_QUEUE") << "the mask does not name it";
  EXPECT_THAT(ada.Http("GET", path, nullptr), IsOkAndHolds(renamed));

  ASSERT_OK_AND_ASSIGN(std::string second, NewThread(ada, kRefuse, "Second"));
  ASSERT_OK_AND_ASSIGN(json page, ada.Http("GET", "/v1/threads?pageSize=1", nullptr));
  ASSERT_THAT(page.at("threads"), SizeIs(1));
  EXPECT_EQ(page.at("threads")[0].at("name"), second) << "newest first";
  ASSERT_OK_AND_ASSIGN(
      page,
      ada.Http("GET", absl::StrCat("/v1/threads?pageSize=1&pageToken=", page.at("nextPageToken").get<std::string>()),
               nullptr));
  ASSERT_THAT(page.at("threads"), SizeIs(1));
  EXPECT_EQ(page.at("threads")[0], renamed);
  EXPECT_FALSE(page.contains("nextPageToken"));

  ASSERT_OK(ada.Http("DELETE", path, nullptr));
  EXPECT_THAT(ada.Http("GET", path, nullptr), HasReason(absl::StatusCode::kNotFound, "THREAD_NOT_FOUND"));
}

TEST(ThreadsTest, ThreadOfAnotherUserDoesNotExist) {
  Covers({"AE-1", "RF-2", "RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue, "Secret"));
  ASSERT_OK_AND_ASSIGN(std::string run, Start(ada, thread, Say("mine")));
  ASSERT_OK(ada.WaitForRun(run));
  const auto unknown = HasReason(absl::StatusCode::kNotFound, "THREAD_NOT_FOUND");

  v1::GetThreadRequest get;
  get.set_name(thread);
  EXPECT_THAT(Call<v1::ThreadService>(bob, &v1::ThreadService::Stub::GetThread, get), unknown);
  v1::UpdateThreadRequest update;
  update.mutable_thread()->set_name(thread);
  EXPECT_THAT(Call<v1::ThreadService>(bob, &v1::ThreadService::Stub::UpdateThread, update), unknown);
  v1::DeleteThreadRequest remove;
  remove.set_name(thread);
  EXPECT_THAT(Call<v1::ThreadService>(bob, &v1::ThreadService::Stub::DeleteThread, remove), unknown);
  EXPECT_THAT(RunsOf(bob, thread), unknown);
  EXPECT_THAT(Start(bob, thread, Say("yours")), unknown);
  // Nor by its id under his own name.
  EXPECT_THAT(Start(bob, absl::StrCat(bob.name(), "/threads/", Last(thread)), Say("yours")), unknown);
  EXPECT_THAT(bob.ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(bob.Http("GET", "/v1/threads", nullptr), IsOkAndHolds(json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Thread same, Call<v1::ThreadService>(ada, &v1::ThreadService::Stub::GetThread, get));
  EXPECT_EQ(same.title(), "Secret");
  EXPECT_EQ(same.busy_policy(), kQueue);
  EXPECT_THAT(RunsOf(ada, thread), IsOkAndHolds(ElementsAre(run)));
}

TEST(ThreadsTest, ThreadsThatCannotBeAreRefusedWithTheField) {
  Covers({"RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  const auto invalid = HasReason(absl::StatusCode::kInvalidArgument, "THREAD_INVALID");
  EXPECT_OK(NewThread(ada, kQueue, absl::StrCat("\xC3\xA9", std::string(199, 'x'))));
  EXPECT_THAT(NewThread(ada, kQueue, std::string(201, 'x')), invalid);
  EXPECT_THAT(NewThread(ada, kQueue, "two\nlines"), invalid);
  EXPECT_THAT(NewThread(ada, static_cast<v1::BusyPolicy>(17), ""), invalid);
  EXPECT_THAT(NewThread(ada, kQueue, "", std::string(129, 'r')), HasReason("REQUEST_ID_INVALID"));

  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  v1::UpdateThreadRequest update;
  update.mutable_thread()->set_name(thread);
  update.mutable_update_mask()->add_paths("create_time");
  EXPECT_THAT(Call<v1::ThreadService>(ada, &v1::ThreadService::Stub::UpdateThread, update), invalid);
  EXPECT_THAT(Start(ada, thread, Say("x"), {.policy = static_cast<v1::BusyPolicy>(17)}),
              HasReason(absl::StatusCode::kInvalidArgument, "BUSY_POLICY_INVALID"));
  for (const std::string& name : {std::string("threads/thread-1"), ada.name() + "/threads/default",
                                  ada.name() + "/threads/", ada.name() + "/runs/thread-1"}) {
    EXPECT_THAT(Start(ada, name, Say("x")), HasReason(absl::StatusCode::kInvalidArgument, "THREAD_NAME_INVALID"));
  }
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(json threads, ada.Http("GET", "/v1/threads", nullptr));
  EXPECT_THAT(threads.at("threads"), SizeIs(2));
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
  ASSERT_OK_AND_ASSIGN(std::string first, NewThread(ada, kQueue, "", "once"));
  ASSERT_OK(NewThread(ada));
  EXPECT_THAT(NewThread(ada), HasReason(absl::StatusCode::kResourceExhausted, "THREAD_QUOTA_EXCEEDED"));
  EXPECT_THAT(NewThread(ada, kQueue, "", "once"), IsOkAndHolds(first)) << "that one is there already";
  EXPECT_OK(NewThread(platform->As("bob"))) << "the limit is each user's own";
  v1::DeleteThreadRequest remove;
  remove.set_name(first);
  ASSERT_OK(Call<v1::ThreadService>(ada, &v1::ThreadService::Stub::DeleteThread, remove));
  EXPECT_OK(NewThread(ada));
}

TEST(ThreadsTest, BusyThreadRefusesASecondRunUntilTheFirstHasEnded) {
  Covers({"AE-4", "AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));  // Refusing is the default.
  ASSERT_OK_AND_ASSIGN(std::string first, Start(ada, thread, Say("one", 1), {.request_id = "first"}));
  absl::StatusOr<std::string> refused = Start(ada, thread, Say("two"), {.request_id = "second"});
  ASSERT_THAT(refused, HasReason(absl::StatusCode::kFailedPrecondition, "THREAD_BUSY"));
  EXPECT_EQ(ErrorInfoOf(refused.status())->metadata.at("run"), first);
  EXPECT_THAT(RunsOf(ada, thread), IsOkAndHolds(ElementsAre(first))) << "nothing was made";
  EXPECT_THAT(Start(ada, thread, Say("one", 1), {.request_id = "first"}), IsOkAndHolds(first))
      << "a repeated request is no second run";

  ASSERT_OK(Open(ada, first));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(first));
  EXPECT_EQ(ended.thread(), thread);
  ASSERT_OK_AND_ASSIGN(std::string second, Start(ada, thread, Say("two"), {.request_id = "second"}));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(second));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
}

TEST(ThreadsTest, QueuedRunsBeginInTheirOrderAlsoAfterACrash) {
  Covers({"AE-4", "AE-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string first, Start(ada, thread, Say("one", 1)));
  ASSERT_OK_AND_ASSIGN(std::string second, Start(ada, thread, Say("two", 1)));
  ASSERT_OK_AND_ASSIGN(std::string third, Start(ada, thread, Say("three")));
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event queued, ada.WaitForEvent(third, "run_queued"));
  EXPECT_EQ(queued.run_queued().waits_for(), second);
  ASSERT_OK(ada.WaitForApproval(first));

  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK_AND_ASSIGN(v1::Run waiting, ada.GetRun(second));
  EXPECT_EQ(waiting.state(), v1::RUN_STATE_PENDING);
  EXPECT_EQ(waiting.waits_for(), first);
  // What waits takes no place: another thread's run gets the one that there is when the first has ended.
  ASSERT_OK(Open(ada, first));
  ASSERT_OK(ada.WaitForRun(first));
  ASSERT_OK(ada.WaitForApproval(second));
  ASSERT_OK_AND_ASSIGN(waiting, ada.GetRun(third));
  EXPECT_EQ(waiting.state(), v1::RUN_STATE_PENDING);
  EXPECT_EQ(waiting.waits_for(), second);
  ASSERT_OK(Open(ada, second));
  ASSERT_OK_AND_ASSIGN(v1::Run last, ada.WaitForRun(third));
  EXPECT_THAT(PastOf(last), ElementsAre("one", "two"));
  EXPECT_TRUE(last.waits_for().empty());
  for (const std::string& run : {first, second, third}) {
    ExpectWholeStory(ada, run);
  }
}

TEST(ThreadsTest, QueuedRunHoldsNoPlaceAgainstOtherThreads) {
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
  ASSERT_OK_AND_ASSIGN(std::string first, Start(ada, thread, Say("one", 1)));
  ASSERT_OK(ada.WaitForApproval(first));
  ASSERT_OK_AND_ASSIGN(std::string second, Start(ada, thread, Say("two")));
  ASSERT_OK_AND_ASSIGN(std::string elsewhere, ada.StartRun("talker", Say("elsewhere")));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(elsewhere));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED);
  EXPECT_THAT(PastOf(ended), IsEmpty()) << "outside a thread there is no history";
  EXPECT_EQ(ada.GetRun(second)->state(), v1::RUN_STATE_PENDING);
  ASSERT_OK(Open(ada, first));
  ASSERT_OK(ada.WaitForRun(second));
}

TEST(ThreadsTest, QueuedRunThatTimesOutOrIsCancelledLetsTheNextOneWaitForTheOneBefore) {
  Covers({"AE-4", "AE-9"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string first, Start(ada, thread, Say("one", 1)));
  ASSERT_OK_AND_ASSIGN(std::string late, Start(ada, thread, Say("late"), {.timeout_seconds = 60}));
  ASSERT_OK_AND_ASSIGN(std::string unwanted, Start(ada, thread, Say("unwanted")));
  ASSERT_OK_AND_ASSIGN(std::string last, Start(ada, thread, Say("last")));
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

  ASSERT_OK(Open(ada, first));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(last));
  EXPECT_THAT(PastOf(ended), ElementsAre("one", "RUN_TIMED_OUT", "RUN_CANCELLED"));
  for (const std::string& run : {late, unwanted, last}) {
    ExpectWholeStory(ada, run);
  }
}

TEST(ThreadsTest, InterruptedRunGoesOnWhenTheNewOneHasEnded) {
  Covers({"AE-4", "AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  ASSERT_OK_AND_ASSIGN(std::string old, Start(ada, thread, Say("old", 2)));
  ASSERT_OK(ada.WaitForApproval(old));
  // The request's own policy goes before the thread's. There is one place, and the old one has it.
  ASSERT_OK_AND_ASSIGN(std::string urgent, Start(ada, thread, Say("urgent", 1), {.policy = kInterrupt}));
  ASSERT_OK(ada.WaitForApproval(urgent));
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event interrupted, ada.WaitForEvent(old, "run_interrupted"));
  EXPECT_EQ(interrupted.run_interrupted().interrupted_by(), urgent);
  EXPECT_TRUE(ada.GetRun(old)->has_interrupt_time());
  // What is under way goes on, and the next command does not begin.
  ASSERT_OK(Open(ada, old));
  ASSERT_OK(Open(ada, urgent));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(urgent));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();

  ASSERT_OK_AND_ASSIGN(notifier::v1::Event resumed, ada.WaitForEvent(old, "run_resumed"));
  EXPECT_EQ(resumed.run_resumed().resumed_by(), urgent);
  ASSERT_OK(WaitFor([&] { return ada.GetRun(old)->state() == v1::RUN_STATE_AWAITING_APPROVAL; },
                    "the second gate of the old run"));
  EXPECT_FALSE(ada.GetRun(old)->has_interrupt_time());
  ASSERT_OK(Open(ada, old));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(old));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_THAT(ada.EventTypesOf(old),
              IsOkAndHolds(ElementsAre("run_queued", "agent_started", "approval_requested", "run_interrupted",
                                       "approval_resolved", "run_resumed", "approval_requested", "approval_resolved",
                                       "agent_thinking", "agent_completed")));
  ExpectWholeStory(ada, old);
  ExpectWholeStory(ada, urgent);
}

TEST(ThreadsTest, InterruptedRunGoesOnAlsoWhenTheNewOneEndsAfterACrash) {
  Covers({"AE-4", "AE-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string old, Start(ada, thread, Say("old", 1)));
  ASSERT_OK(ada.WaitForApproval(old));
  ASSERT_OK_AND_ASSIGN(std::string urgent, Start(ada, thread, Say("urgent", 1)));
  ASSERT_OK(ada.WaitForApproval(urgent));
  ASSERT_OK(Open(ada, old));
  platform->Crash();
  ASSERT_OK(platform->Start());

  EXPECT_TRUE(ada.GetRun(old)->has_interrupt_time());
  ASSERT_OK(Open(ada, urgent));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(urgent));
  EXPECT_THAT(PastOf(ended), IsEmpty());
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(old));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> types, ada.EventTypesOf(old));
  EXPECT_THAT(types, Contains("run_resumed"));
  EXPECT_THAT(types, Contains("agent_thinking").Times(1));
  ExpectWholeStory(ada, old);
}

TEST(ThreadsTest, OfThreeThatInterruptEachOtherTheMiddleOnesEndLeavesTheFirstHeldBack) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string first, Start(ada, thread, Say("first", 1)));
  ASSERT_OK(ada.WaitForApproval(first));
  ASSERT_OK_AND_ASSIGN(std::string second, Start(ada, thread, Say("second", 1)));
  ASSERT_OK(ada.WaitForApproval(second));
  ASSERT_OK_AND_ASSIGN(std::string third, Start(ada, thread, Say("third", 1)));
  ASSERT_OK(ada.WaitForApproval(third));
  ASSERT_OK(Open(ada, first));

  ASSERT_OK(ada.CancelRun(second));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(second));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
  EXPECT_TRUE(ada.GetRun(first)->has_interrupt_time()) << "the third one still goes first";
  ASSERT_OK(ada.CancelRun(third));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(third));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED) << "whatever way it ends";
  ASSERT_OK_AND_ASSIGN(notifier::v1::Event resumed, ada.WaitForEvent(first, "run_resumed"));
  EXPECT_EQ(resumed.run_resumed().resumed_by(), third);
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(first));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  ExpectWholeStory(ada, first);
}

TEST(ThreadsTest, UserMayLetAHeldBackRunGoOnOrKeepItHeldBack) {
  Covers({"AE-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithAgent(Talker()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string old, Start(ada, thread, Say("old", 1)));
  ASSERT_OK(ada.WaitForApproval(old));
  ASSERT_OK_AND_ASSIGN(std::string urgent, Start(ada, thread, Say("urgent", 1)));
  ASSERT_OK(ada.WaitForApproval(urgent));
  ASSERT_OK(Open(ada, old));
  const std::string path = absl::StrCat("/v1/runs/", Last(old));
  // Held back by the user as well: the end of the new one is not enough any more.
  ASSERT_OK(ada.Http("POST", absl::StrCat(path, ":interrupt"), json::object()));
  ASSERT_OK(Open(ada, urgent));
  ASSERT_OK(ada.WaitForRun(urgent));
  EXPECT_TRUE(ada.GetRun(old)->has_interrupt_time());
  // And beside another new one it goes on when the user says so.
  ASSERT_OK_AND_ASSIGN(std::string other, Start(ada, thread, Say("other", 1)));
  ASSERT_OK(ada.WaitForApproval(other));
  ASSERT_OK(ada.Http("POST", absl::StrCat(path, ":resume"), json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(old));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ada.GetRun(other)->state(), v1::RUN_STATE_AWAITING_APPROVAL);
  ASSERT_OK(Open(ada, other));
  ASSERT_OK(ada.WaitForRun(other));
}

TEST(ThreadsTest, ReplacingRunBeginsWhenThoseItCancelledHaveEnded) {
  Covers({"AE-4", "AE-9"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string running, Start(ada, thread, Say("running", 1)));
  ASSERT_OK(ada.WaitForApproval(running));
  ASSERT_OK_AND_ASSIGN(std::string queued, Start(ada, thread, Say("queued")));
  ASSERT_OK_AND_ASSIGN(std::string elsewhere, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string other, Start(ada, elsewhere, Say("other")));

  ASSERT_OK_AND_ASSIGN(std::string replacing, Start(ada, thread, Say("new"), {.policy = kReplace}));
  for (const std::string& run : {running, queued}) {
    ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
    EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
    ASSERT_OK_AND_ASSIGN(notifier::v1::Event cancelled, ada.WaitForEvent(run, "agent_cancelled"));
    EXPECT_EQ(cancelled.agent_cancelled().comment(), absl::StrCat("replaced by ", replacing));
    ExpectWholeStory(ada, run);
  }
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(replacing));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_THAT(PastOf(ended), ElementsAre("RUN_CANCELLED", "RUN_CANCELLED"));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(other));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << "another thread's runs are not touched";
}

TEST(ThreadsTest, HistoryHasAnswersAndErrorsOfTheEarlierRunsOnly) {
  Covers({"AE-1", "RF-2"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string other_thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string bobs_thread, NewThread(bob, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string one, Start(ada, thread, Say("one")));
  ASSERT_OK_AND_ASSIGN(std::string bobs, Start(bob, bobs_thread, Say("bob's")));
  ASSERT_OK_AND_ASSIGN(std::string aside, Start(ada, other_thread, Say("aside")));
  ASSERT_OK_AND_ASSIGN(std::string two, Start(ada, thread, {{"fail", "OUT_OF_WORDS"}}));
  ASSERT_OK_AND_ASSIGN(std::string three, Start(ada, thread, Say("three")));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(three));
  EXPECT_THAT(PastOf(ended), ElementsAre("one", "OUT_OF_WORDS"));
  ASSERT_OK_AND_ASSIGN(std::string bobs_next, Start(bob, bobs_thread, Say("next")));
  ASSERT_OK_AND_ASSIGN(ended, bob.WaitForRun(bobs_next));
  EXPECT_THAT(PastOf(ended), ElementsAre("bob's"));
  ASSERT_OK(ada.WaitForRun(aside));
}

TEST(ThreadsTest, ReplayHasTheHistoryThatTheRunSawFirst) {
  Covers({"AE-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).WithAgent(Talker()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kInterrupt));
  ASSERT_OK_AND_ASSIGN(std::string before, Start(ada, thread, Say("before")));
  ASSERT_OK(ada.WaitForRun(before));
  ASSERT_OK_AND_ASSIGN(std::string run, Start(ada, thread, Say("run", 1)));
  ASSERT_OK(ada.WaitForApproval(run));
  // One more ends after the history was asked for.
  ASSERT_OK_AND_ASSIGN(std::string between, Start(ada, thread, Say("between")));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(between));
  EXPECT_THAT(PastOf(ended), ElementsAre("before"));
  platform->Crash();
  ASSERT_OK(platform->Start());
  ASSERT_OK(Open(ada, run));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_GE(ended.recoveries(), 1);
  EXPECT_THAT(PastOf(ended), ElementsAre("before"));
  // Who comes later sees both, in the order in which they were made.
  ASSERT_OK_AND_ASSIGN(std::string after, Start(ada, thread, Say("after")));
  ASSERT_OK_AND_ASSIGN(ended, ada.WaitForRun(after));
  EXPECT_THAT(PastOf(ended), ElementsAre("before", "run", "between"));
}

TEST(ThreadsTest, BusyThreadIsNotDeletedAndADeletedOneLeavesItsRuns) {
  Covers({"AE-4", "RF-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Platform());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, kQueue));
  ASSERT_OK_AND_ASSIGN(std::string run, Start(ada, thread, Say("one", 1)));
  v1::DeleteThreadRequest remove;
  remove.set_name(thread);
  EXPECT_THAT(Call<v1::ThreadService>(ada, &v1::ThreadService::Stub::DeleteThread, remove),
              HasReason(absl::StatusCode::kFailedPrecondition, "THREAD_BUSY"));
  ASSERT_OK(Open(ada, run));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK(Call<v1::ThreadService>(ada, &v1::ThreadService::Stub::DeleteThread, remove));
  ASSERT_OK_AND_ASSIGN(v1::Run left, ada.GetRun(run));
  EXPECT_EQ(left.answer().summary(), "one");
  EXPECT_TRUE(left.thread().empty());
  EXPECT_THAT(RunsOf(ada, thread), HasReason("THREAD_NOT_FOUND"));
  EXPECT_THAT(Start(ada, thread, Say("two")), HasReason("THREAD_NOT_FOUND"));
}

// Says in which conversation it is called.
class ListeningTool final : public CountingTool {
 public:
  using CountingTool::CountingTool;
  Awaitable<absl::StatusOr<json>> Run(tool::ToolCall& call) override {
    co_return json{{"echo", call.user().request().thread}, {"call", Count(call)}};
  }
};

TEST(ThreadsTest, ThreadGoesWithTheRunAndItsRetryToTheToolsButNotToItsChildren) {
  Covers({"AE-1", "AE-4", "TD-2", "AU-4"});
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .WithUsers({"ada"})
                           .WithTool(std::make_shared<ListeningTool>("listen"))
                           .WithAgent(ToolChainAgent())
                           .WithAgent(ScriptedAgent(
                               "talker",
                               [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                 CO_ASSIGN_OR_RETURN(json heard, co_await run.CallTool("listen", json::object()));
                                 CO_ASSIGN_OR_RETURN(Answer child, co_await run.RunAgent("chain", Tools({"listen"})));
                                 co_return Answer{.summary = heard.at("echo").get<std::string>(),
                                                  .data = child.data.at("outputs").at(0)};
                               }))
                           .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada));
  ASSERT_OK_AND_ASSIGN(std::string run, Start(ada, thread, json::object()));
  ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), Last(thread)) << ended.error().message();
  EXPECT_EQ(ended.answer().data().fields().at("echo").string_value(), "");
  ASSERT_OK_AND_ASSIGN(json retried, ada.Http("POST", absl::StrCat("/v1/runs/", Last(run), ":retry"), json::object()));
  EXPECT_EQ(retried.at("thread"), thread);
  ASSERT_OK(ada.WaitForRun(retried.at("name").get<std::string>()));
  EXPECT_THAT(RunsOf(ada, thread), IsOkAndHolds(ElementsAre(retried.at("name").get<std::string>(), run)));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(SizeIs(4))) << "the children are no part of the conversation";
}

TEST(ThreadsTest, OfManyRunsAtOnceOneIsAcceptedOrAllGoOneAfterAnother) {
  Covers({"AE-8"});
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent("talker",
                                   [&](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     most = std::max<int>(most, ++inside);
                                     co_await run.Think("alone");
                                     --inside;
                                     co_return Answer{};
                                   }))
          .WithAgent(ScriptedAgent("waiter",
                                   [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
                                     CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = "?"})).status());
                                     co_return Answer{};
                                   }))
          .Build());
  User& ada = platform->As("ada");
  constexpr int kRuns = 8;
  for (v1::BusyPolicy policy : {kRefuse, kQueue}) {
    ASSERT_OK_AND_ASSIGN(std::string thread, NewThread(ada, policy));
    absl::Mutex mutex;
    std::vector<std::string> accepted;
    int busy = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < kRuns; ++i) {
      clients.emplace_back([&] {
        v1::CreateRunRequest request;
        // Of those that are refused, the one that is accepted must still be there.
        request.set_agent(policy == kRefuse ? "agents/waiter" : "agents/talker");
        request.set_thread(thread);
        request.mutable_input();
        absl::StatusOr<v1::Run> run = Call<v1::RunService>(ada, &v1::RunService::Stub::CreateRun, request);
        absl::MutexLock lock(mutex);
        if (run.ok()) {
          accepted.push_back(run->name());
        } else {
          busy += ReasonOf(run.status()) == "THREAD_BUSY" ? 1 : 0;
        }
      });
    }
    for (std::thread& client : clients) {
      client.join();
    }
    EXPECT_THAT(accepted, SizeIs(policy == kRefuse ? 1 : kRuns));
    EXPECT_EQ(busy, policy == kRefuse ? kRuns - 1 : 0);
    for (const std::string& run : accepted) {
      if (policy == kRefuse) {
        ASSERT_OK(Open(ada, run));
      }
      ASSERT_OK_AND_ASSIGN(v1::Run ended, ada.WaitForRun(run));
      EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
    }
  }
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace bulkhead::testing
