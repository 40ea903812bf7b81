// That nothing is lost to who comes late, comes back or is slow: the cursor, over each way of following.
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/resource_name.h"
#include "testing/base/wait.h"
#include "testing/faults/hold.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"
#include "testing/integration/websocket/event_socket.h"
#include "testing/integration/websocket/following.h"

namespace bulkhead::testing {
namespace {

using notifier::v1::Event;
using notifier::v1::ServerFrame;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using ReplayTest = FollowingTest;

TEST_F(ReplayTest, ReconnectWithTheCursorMissesNothing) {
  Covers({"WS-6", "WS-5"});
  std::shared_ptr<Hold> held = wait_->HoldCall();
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"wait", "wait"}));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> first, Follow(ada(), run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> before, first->NextEvents(4));
  first.reset();  // The network is gone, without a goodbye.
  held->Resume();
  ASSERT_OK(ada().WaitForRun(run));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> second, Follow(ada(), run, before.back().sequence()));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> after, second->EventsToTheEnd());

  std::vector<Event> all = before;
  all.insert(all.end(), after.begin(), after.end());
  EXPECT_EQ(NumbersOf(all), OneTo(all.size()));
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> logged, ada().EventTypesOf(run));
  EXPECT_EQ(TypesOf(all), logged);
}

TEST_F(ReplayTest, RestartedPlatformGoesOnFromTheCursor) {
  Covers({"WS-4", "WS-6"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"count"}));
  ASSERT_OK(ada().WaitForRun(run));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> before, Follow(ada(), run));
  ASSERT_OK(before->NextEvents(2));

  // The socket is told, and closed in good order.
  absl::Status restarted;
  std::thread restart([&] { restarted = platform_->Restart(); });
  bool told = false;
  for (absl::StatusOr<ServerFrame> frame = before->Next(); frame.ok(); frame = before->Next()) {
    told = told || frame->has_going_away();
  }
  restart.join();
  ASSERT_OK(restarted);
  EXPECT_TRUE(told);
  EXPECT_EQ(before->raw().close_code(), 1001);

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> after, Follow(ada(), run, 2));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> rest, after->EventsToTheEnd());
  EXPECT_EQ(NumbersOf(rest), std::vector<uint64_t>({3, 4, 5, 6}));
}

TEST_F(ReplayTest, TrimmedLogAnswersWithAGap) {
  Covers({"WS-6"});
  ASSERT_OK(Build([](HarnessBuilder& platform) {
    platform.Configure(
        [](common::v1::PlatformConfig& config) { config.mutable_notifier()->mutable_retention()->set_seconds(60); });
  }));
  ASSERT_OK_AND_ASSIGN(std::string run, ada().StartRun("thinker", {{"thoughts", 3}, {"bytes", 10}}));
  ASSERT_OK(ada().WaitForRun(run));
  ASSERT_OK(WaitFor(
      [&] {
        platform_->Advance(absl::Seconds(20));
        return ada().EventsOf(run)->empty();
      },
      "the log to be trimmed"));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, Follow(ada(), run, 1));
  ASSERT_OK_AND_ASSIGN(ServerFrame gap, socket->Next());
  ASSERT_OK_AND_ASSIGN(ServerFrame end, socket->Next());

  // Queued, started, three thoughts, completed: the next one would be the seventh.
  EXPECT_EQ(gap.gap().first_available(), 7u) << gap.DebugString();
  EXPECT_EQ(gap.gap().stream(), run);
  EXPECT_EQ(end.caught_up().sequence(), 6u) << end.DebugString();
}

TEST_F(ReplayTest, SlowReaderLosesNothingAndHoldsUpNobody) {
  Covers({"WS-7", "WS-2"});
  constexpr int kThoughts = 300;
  ASSERT_OK(Build([](HarnessBuilder& platform) {
    platform.Configure(
        [](common::v1::PlatformConfig& config) { config.mutable_notifier()->set_subscriber_queue_bytes(4096); });
  }));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> slow, Open(ada()));
  ASSERT_OK_AND_ASSIGN(std::string run, ada().StartRun("thinker", {{"thoughts", kThoughts}, {"bytes", 2000}}));
  ASSERT_OK(slow->Subscribe(run));

  // It does not read until the run is over, while another follows it to the end.
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> quick, Follow(ada(), run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> followed, quick->EventsToTheEnd());
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, slow->EventsToTheEnd());

  EXPECT_EQ(events.size(), kThoughts + 3u);
  EXPECT_EQ(NumbersOf(events), OneTo(events.size()));
  EXPECT_EQ(NumbersOf(followed), NumbersOf(events));
}

TEST_F(ReplayTest, ReaderThatStopsIsCutOff) {
  Covers({"WS-4", "WS-7"});
  ASSERT_OK(Build([](HarnessBuilder& platform) {
    platform.Configure([](common::v1::PlatformConfig& config) {
      config.mutable_gateway()->set_max_connections_per_user(1);
      config.mutable_gateway()->mutable_idle_timeout()->set_seconds(240);
    });
  }));
  // More than the buffers of both ends take.
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("thinker", {{"thoughts", 1200}, {"bytes", 16'000}}));
  ASSERT_OK(ada().WaitForRun(run));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> stuck, Open(ada()));
  ASSERT_OK(stuck->Subscribe(run));

  // A frame stays half written. That the connection is given up shows by its place being free. Time goes slowly enough for
  // the buffers to fill before.
  ASSERT_OK(WaitFor(
      [&] {
        platform_->Advance(absl::Seconds(2));
        return Open(ada()).ok();
      },
      "the connection to be cut off"));
  EXPECT_FALSE(stuck->EventsToTheEnd().ok()) << "all came, and nothing was cut off";
}

// Where HTTP has the run's events.
std::string EventsPath(const std::string& run) { return absl::StrCat("/v1/runs/", IdOf(run), "/events"); }

TEST_F(ReplayTest, PagesGoByTheCursor) {
  Covers({"WS-3", "WS-6"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"count"}));
  ASSERT_OK(ada().WaitForRun(run));

  ASSERT_OK_AND_ASSIGN(nlohmann::json page,
                       ada().Http("GET", absl::StrCat(EventsPath(run), "?after=3&pageSize=2"), nullptr));

  ASSERT_EQ(page.at("events").size(), 2u);
  EXPECT_EQ(page["events"][0]["sequence"], 4);
  EXPECT_EQ(page["more"], true);
}

TEST_F(ReplayTest, ServerSentEventsGoByTheCursor) {
  Covers({"WS-3", "WS-6"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"count"}));
  ASSERT_OK(ada().WaitForRun(run));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<gateway::GatewayClient> client, ada().NewGatewayClient());
  ASSERT_OK_AND_ASSIGN(
      gateway::RawResponse stream,
      client->Send({.path = EventsPath(run), .headers = {{"Accept", "text/event-stream"}, {"Last-Event-ID", "4"}}},
                   ada().token()));

  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.headers["content-type"], "text/event-stream");
  EXPECT_THAT(stream.body, StartsWith("id: 5\nevent: tool_completed\ndata: {"));
  EXPECT_THAT(stream.body, HasSubstr("id: 6\nevent: agent_completed\n"));
  EXPECT_THAT(stream.body, EndsWith("event: end\ndata: {}\n\n"));
}

TEST_F(ReplayTest, WatchedRunArrivesWholeAtTheClient) {
  Covers({"WS-1", "WS-6"});
  ASSERT_OK(Build());
  ASSERT_OK_AND_ASSIGN(std::string run, StartChain(ada(), {"count"}));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<gateway::GatewayClient> client, ada().NewGatewayClient());
  std::vector<uint64_t> numbers;
  ASSERT_OK(client->WatchRun(run, {}, ada().token(), [&](const nlohmann::json& frame) {
    if (frame.contains("event") && frame["event"].contains("sequence")) {
      numbers.push_back(frame["event"]["sequence"].get<uint64_t>());
    }
    return true;
  }));
  EXPECT_EQ(numbers, OneTo(6));
}

}  // namespace
}  // namespace bulkhead::testing
