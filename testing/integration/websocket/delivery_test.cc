// What reaches a subscriber while runs go on: which events, in which order, and whose.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/faults/hold.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"
#include "testing/integration/websocket/event_socket.h"
#include "testing/integration/websocket/following.h"

namespace bulkhead::testing {
namespace {

using notifier::v1::Event;
using notifier::v1::ServerFrame;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

using DeliveryTest = FollowingTest;

TEST_F(DeliveryTest, CriticalEventsArriveInOrder) {
  Covers({"WS-1", "WS-5"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, Open(ada()));
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"count"}));
  ASSERT_OK(socket->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, socket->EventsToTheEnd());

  EXPECT_THAT(TypesOf(events), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                           "tool_completed", "agent_completed"));
  EXPECT_EQ(NumbersOf(events), OneTo(events.size()));
  for (const Event& event : events) {
    EXPECT_EQ(event.stream(), run);
    EXPECT_EQ(event.user(), ada().name());
    EXPECT_EQ(event.agent(), "agents/chain");
    EXPECT_TRUE(event.has_time());
  }
  EXPECT_EQ(events[4].tool_completed().tool(), "tools/count");
}

TEST_F(DeliveryTest, BinaryAndJsonFramesCarryTheSameEvents) {
  Covers({"WS-3", "WS-5"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> json, Open(ada(), Format::kJson));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> proto, Open(ada(), Format::kProto));

  // Commands travel both ways as well.
  ASSERT_OK_AND_ASSIGN(std::string run, proto->StartRun("chain", Tools({"count"})));
  ASSERT_OK(json->Subscribe(run));
  ASSERT_OK(proto->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> as_json, json->EventsToTheEnd());
  ASSERT_OK_AND_ASSIGN(std::vector<Event> as_proto, proto->EventsToTheEnd());

  ASSERT_EQ(as_json.size(), as_proto.size());
  for (size_t i = 0; i < as_json.size(); ++i) {
    EXPECT_THAT(as_json[i], EqualsProto(as_proto[i]));
  }
}

TEST_F(DeliveryTest, FailedToolAndFailedRunGetTheirTerminalEvents) {
  Covers({"WS-1", "AE-5"});
  const absl::Status failure =
      MakeError(absl::StatusCode::kFailedPrecondition, "no", {.domain = "bulkhead.tool", .reason = "BROKEN"});
  ASSERT_OK(
      Build([&](HarnessBuilder& platform) { platform.WithTool(std::make_shared<FailingTool>("broken", failure)); }));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, Open(ada()));
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"broken"}));
  ASSERT_OK(socket->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, socket->EventsToTheEnd());

  ASSERT_THAT(TypesOf(events), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                           "tool_completed", "agent_failed"));
  EXPECT_EQ(events[4].tool_completed().error().reason(), "BROKEN");
  EXPECT_EQ(events[5].agent_failed().error().reason(), "BROKEN");
}

TEST_F(DeliveryTest, RunCancelledOverTheSocketEndsWithItsEvents) {
  Covers({"WS-1", "WS-3", "AE-4"});
  std::shared_ptr<Hold> held = wait_->HoldCall();
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"wait"}));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, Follow(ada(), run));
  ASSERT_OK(held->Wait());

  ASSERT_OK(socket->CancelRun(run, "enough"));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, socket->EventsToTheEnd());

  EXPECT_THAT(TypesOf(events), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                           "tool_completed", "agent_cancelled"));
  EXPECT_EQ(events.back().agent_cancelled().comment(), "enough");
}

TEST_F(DeliveryTest, EarlyAndLateSubscribersSeeTheSameOrder) {
  Covers({"WS-5", "WS-2"});
  std::shared_ptr<Hold> held = wait_->HoldCall(2);
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> early, Open(ada()));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> late, Open(ada()));
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"wait", "wait", "wait"}));
  ASSERT_OK(early->Subscribe(run));
  ASSERT_OK(held->Wait());
  ASSERT_OK(late->Subscribe(run));
  held->Resume();

  ASSERT_OK_AND_ASSIGN(std::vector<Event> seen_early, early->EventsToTheEnd());
  ASSERT_OK_AND_ASSIGN(std::vector<Event> seen_late, late->EventsToTheEnd());
  ASSERT_EQ(seen_early.size(), seen_late.size());
  for (size_t i = 0; i < seen_early.size(); ++i) {
    EXPECT_EQ(seen_early[i].event_id(), seen_late[i].event_id());
  }
  EXPECT_EQ(NumbersOf(seen_early), OneTo(seen_early.size()));
}

// Reports progress when it begins, and then waits for the test.
class ReportingTool : public HoldingTool {
 public:
  using HoldingTool::HoldingTool;
  Awaitable<absl::StatusOr<nlohmann::json>> Run(tool::ToolCall& call) override {
    call.ReportProgress(0.5, "half-way");
    co_return co_await HoldingTool::Run(call);
  }
};

TEST_F(DeliveryTest, ProgressReachesLiveSubscribersAndIsNotInTheLog) {
  Covers({"WS-2", "TD-9"});
  auto report = std::make_shared<ReportingTool>("report");
  std::shared_ptr<Hold> before = wait_->HoldCall();
  std::shared_ptr<Hold> after = report->HoldCall();
  ASSERT_OK(Build([&](HarnessBuilder& platform) { platform.WithTool(report); }));
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"wait", "report"}));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, Follow(ada(), run));
  ASSERT_OK(socket->NextEvents(4));  // The subscriber is live now.
  before->Resume();

  ServerFrame frame;
  while (!frame.event().has_tool_progress()) {
    ASSERT_OK_AND_ASSIGN(frame, socket->Next());
  }
  EXPECT_EQ(frame.event().sequence(), 0u);
  EXPECT_EQ(frame.event().tool_progress().tool(), "tools/report");
  EXPECT_EQ(frame.event().tool_progress().fraction(), 0.5);

  after->Resume();
  ASSERT_OK(socket->EventsToTheEnd());
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> logged, ada().EventTypesOf(run));
  EXPECT_THAT(logged, Not(Contains("tool_progress")));
}

TEST_F(DeliveryTest, AnotherUsersStreamIsRefusedAndSilent) {
  Covers({"WS-8", "AU-5"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> bobs, Open(bob()));
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"count"}));

  EXPECT_THAT(bobs->Subscribe(run), HasReason(absl::StatusCode::kNotFound, "STREAM_NOT_FOUND"));
  EXPECT_THAT(bobs->CancelRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));

  ASSERT_OK(ada().WaitForRun(run));
  // Whatever had been on its way would have come before this answer, and been kept.
  ASSERT_OK(bobs->Ping());
  ASSERT_OK_AND_ASSIGN(std::string own, StartChain(bob(), {"count"}));
  ASSERT_OK(bobs->Subscribe(own));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, bobs->EventsToTheEnd());
  for (const Event& event : events) {
    EXPECT_EQ(event.stream(), own);
  }
}

TEST_F(DeliveryTest, TwoUsersRunsDoNotMix) {
  Covers({"WS-8", "AE-8"});
  ASSERT_OK(Build());
  // Nothing but its own events reaches a socket that follows one run after the other.
  auto follow_runs = [this](User& user) -> absl::Status {
    ASSIGN_OR_RETURN(std::unique_ptr<EventSocket> socket, Open(user));
    for (int i = 0; i < 5; ++i) {
      ASSIGN_OR_RETURN(std::string run, StartChain(user, {"count", "count"}));
      RETURN_IF_ERROR(socket->Subscribe(run));
      ASSIGN_OR_RETURN(std::vector<Event> events, socket->EventsToTheEnd());
      EXPECT_EQ(NumbersOf(events), OneTo(9));
      for (const Event& event : events) {
        EXPECT_EQ(event.user(), user.name()) << event.ShortDebugString();
        EXPECT_EQ(event.stream(), run) << event.ShortDebugString();
      }
    }
    return absl::OkStatus();
  };
  absl::Status of_ada;
  std::thread other([&, &user = ada()] { of_ada = follow_runs(user); });
  EXPECT_OK(follow_runs(bob()));
  other.join();
  EXPECT_OK(of_ada);
}

}  // namespace
}  // namespace bulkhead::testing
