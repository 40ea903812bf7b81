// What reaches a subscriber, in which order, and that nothing is lost on the way.
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
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/client/gateway_client.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/faults/hold.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"
#include "testing/integration/websocket/event_socket.h"

namespace bulkhead::testing {
namespace {

using notifier::v1::Event;
using notifier::v1::ServerFrame;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

nlohmann::json Chain(std::vector<std::string> tools) { return {{"tools", tools}}; }

std::vector<uint64_t> OneTo(size_t last) {
  std::vector<uint64_t> numbers;
  for (uint64_t number = 1; number <= last; ++number) {
    numbers.push_back(number);
  }
  return numbers;
}

// Thinks `thoughts` times, `bytes` each.
agent::AgentFactory Thinker() {
  return ScriptedAgent(
      "thinker", [](agent::RunContext& run, const nlohmann::json& input) -> Awaitable<absl::StatusOr<agent::Answer>> {
        for (int i = 0; i < input.at("thoughts").get<int>(); ++i) {
          co_await run.Think(std::string(input.at("bytes").get<size_t>(), 'x'));
        }
        co_return agent::Answer{.summary = "thought"};
      });
}

TEST(DeliveryTest, CriticalEventsArriveInOrder) {
  Covers({"WS-1", "WS-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));

  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"count"})));
  ASSERT_OK(socket->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, socket->EventsToTheEnd());

  EXPECT_THAT(TypesOf(events), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                           "tool_completed", "agent_completed"));
  EXPECT_EQ(NumbersOf(events), OneTo(events.size()));
  for (const Event& event : events) {
    EXPECT_EQ(event.stream(), run);
    EXPECT_EQ(event.user(), ada.name());
    EXPECT_EQ(event.agent(), "agents/chain");
    EXPECT_TRUE(event.has_time());
  }
  EXPECT_EQ(events[4].tool_completed().tool(), "tools/count");
}

TEST(DeliveryTest, BinaryAndJsonFramesCarryTheSameEvents) {
  Covers({"WS-3", "WS-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> json, EventSocket::Open(*platform, ada, Format::kJson));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> proto, EventSocket::Open(*platform, ada, Format::kProto));

  // Commands travel both ways as well.
  notifier::v1::ClientFrame start;
  start.mutable_start_run()->set_agent("agents/chain");
  (*start.mutable_start_run()->mutable_input()->mutable_fields())["tools"]
      .mutable_list_value()
      ->add_values()
      ->set_string_value("count");
  ASSERT_OK_AND_ASSIGN(notifier::v1::Reply reply, proto->Ask(start));
  const std::string run = reply.run().name();

  ASSERT_OK(json->Subscribe(run));
  ASSERT_OK(proto->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> as_json, json->EventsToTheEnd());
  ASSERT_OK_AND_ASSIGN(std::vector<Event> as_proto, proto->EventsToTheEnd());

  ASSERT_EQ(as_json.size(), as_proto.size());
  for (size_t i = 0; i < as_json.size(); ++i) {
    EXPECT_THAT(as_json[i], EqualsProto(as_proto[i]));
  }
}

TEST(DeliveryTest, FailedToolAndFailedRunGetTheirTerminalEvents) {
  Covers({"WS-1", "AE-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<FailingTool>(
                                              "broken", MakeError(absl::StatusCode::kFailedPrecondition, "no",
                                                                  {.domain = "bulkhead.tool", .reason = "BROKEN"})))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"broken"})));
  ASSERT_OK(socket->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, socket->EventsToTheEnd());

  ASSERT_THAT(TypesOf(events), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                           "tool_completed", "agent_failed"));
  EXPECT_EQ(events[4].tool_completed().error().reason(), "BROKEN");
  EXPECT_EQ(events[5].agent_failed().error().reason(), "BROKEN");
}

TEST(DeliveryTest, RunCancelledOverTheSocketEndsWithItsEvents) {
  Covers({"WS-1", "WS-3", "AE-4"});
  auto tool = std::make_shared<HoldingTool>("wait");
  std::shared_ptr<Hold> held = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"wait"})));
  ASSERT_OK(socket->Subscribe(run));
  ASSERT_OK(held->Wait());

  notifier::v1::ClientFrame cancel;
  cancel.mutable_cancel_run()->set_name(run);
  cancel.mutable_cancel_run()->set_comment("enough");
  ASSERT_OK(socket->Ask(cancel));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, socket->EventsToTheEnd());

  EXPECT_THAT(TypesOf(events), ElementsAre("run_queued", "agent_started", "agent_thinking", "tool_executing",
                                           "tool_completed", "agent_cancelled"));
  EXPECT_EQ(events.back().agent_cancelled().comment(), "enough");
}

TEST(DeliveryTest, ReconnectWithTheCursorMissesNothing) {
  Covers({"WS-6", "WS-5"});
  auto tool = std::make_shared<HoldingTool>("wait");
  std::shared_ptr<Hold> held = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"wait", "wait"})));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> first, EventSocket::Open(*platform, ada));
  ASSERT_OK(first->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> before, first->NextEvents(4));
  first.reset();  // The network is gone, without a goodbye.
  held->Resume();
  ASSERT_OK(ada.WaitForRun(run));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> second, EventSocket::Open(*platform, ada));
  ASSERT_OK(second->Subscribe(run, before.back().sequence()));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> after, second->EventsToTheEnd());

  std::vector<Event> all = before;
  all.insert(all.end(), after.begin(), after.end());
  EXPECT_EQ(NumbersOf(all), OneTo(all.size()));
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> logged, ada.EventTypesOf(run));
  EXPECT_EQ(TypesOf(all), logged);
}

TEST(DeliveryTest, RestartedPlatformGoesOnFromTheCursor) {
  Covers({"WS-4", "WS-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"count"})));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> before, EventSocket::Open(*platform, ada));
  ASSERT_OK(before->Subscribe(run));
  ASSERT_OK(before->NextEvents(2));

  // The socket is told, and closed in good order.
  absl::Status restarted;
  std::thread restart([&] { restarted = platform->Restart(); });
  bool told = false;
  for (absl::StatusOr<ServerFrame> frame = before->Next(); frame.ok(); frame = before->Next()) {
    told = told || frame->has_going_away();
  }
  restart.join();
  ASSERT_OK(restarted);
  EXPECT_TRUE(told);
  EXPECT_EQ(before->raw().close_code(), 1001);

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> after, EventSocket::Open(*platform, ada));
  ASSERT_OK(after->Subscribe(run, 2));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> rest, after->EventsToTheEnd());
  EXPECT_EQ(NumbersOf(rest), std::vector<uint64_t>({3, 4, 5, 6}));
}

TEST(DeliveryTest, TrimmedLogAnswersWithAGap) {
  Covers({"WS-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithAgent(Thinker())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_notifier()->mutable_retention()->set_seconds(60);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("thinker", {{"thoughts", 3}, {"bytes", 10}}));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK(WaitFor(
      [&] {
        platform->Advance(absl::Seconds(20));
        return ada.EventsOf(run)->empty();
      },
      "the log to be trimmed"));

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK(socket->Subscribe(run, 1));
  ASSERT_OK_AND_ASSIGN(ServerFrame gap, socket->Next());
  ASSERT_OK_AND_ASSIGN(ServerFrame end, socket->Next());

  // Queued, started, three thoughts, completed: the next one would be the seventh.
  EXPECT_EQ(gap.gap().first_available(), 7u) << gap.DebugString();
  EXPECT_EQ(gap.gap().stream(), run);
  EXPECT_EQ(end.caught_up().sequence(), 6u) << end.DebugString();
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

TEST(DeliveryTest, ProgressReachesLiveSubscribersAndIsNotInTheLog) {
  Covers({"WS-2", "TD-9"});
  auto first = std::make_shared<HoldingTool>("wait");
  auto second = std::make_shared<ReportingTool>("report");
  std::shared_ptr<Hold> before = first->HoldCall();
  std::shared_ptr<Hold> after = second->HoldCall();
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"ada"}).WithTool(first).WithTool(second).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"wait", "report"})));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK(socket->Subscribe(run));
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
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> logged, ada.EventTypesOf(run));
  EXPECT_THAT(logged, ::testing::Not(Contains("tool_progress")));
}

TEST(DeliveryTest, AnotherUsersStreamIsRefusedAndSilent) {
  Covers({"WS-8", "AU-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> bobs, EventSocket::Open(*platform, platform->As("bob")));
  ASSERT_OK_AND_ASSIGN(std::string run, platform->As("ada").StartRun("chain", Chain({"count"})));

  EXPECT_THAT(bobs->Subscribe(run), HasReason(absl::StatusCode::kNotFound, "STREAM_NOT_FOUND"));
  notifier::v1::ClientFrame cancel;
  cancel.mutable_cancel_run()->set_name(run);
  EXPECT_THAT(bobs->Ask(cancel), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));

  ASSERT_OK(platform->As("ada").WaitForRun(run));
  // Whatever had been on its way would have come before this answer, and been kept.
  ASSERT_OK(bobs->Ping());
  ASSERT_OK_AND_ASSIGN(std::string own, platform->As("bob").StartRun("chain", Chain({"count"})));
  ASSERT_OK(bobs->Subscribe(own));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, bobs->EventsToTheEnd());
  for (const Event& event : events) {
    EXPECT_EQ(event.stream(), own);
  }
}

TEST(DeliveryTest, SlowReaderLosesNothingAndHoldsUpNobody) {
  Covers({"WS-7", "WS-2"});
  constexpr int kThoughts = 300;
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithAgent(Thinker())
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_notifier()->set_subscriber_queue_bytes(4096);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> slow, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("thinker", {{"thoughts", kThoughts}, {"bytes", 2000}}));
  ASSERT_OK(slow->Subscribe(run));

  // It does not read until the run is over, while another follows it to the end.
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> quick, EventSocket::Open(*platform, ada));
  ASSERT_OK(quick->Subscribe(run));
  ASSERT_OK_AND_ASSIGN(std::vector<Event> followed, quick->EventsToTheEnd());
  ASSERT_OK_AND_ASSIGN(std::vector<Event> events, slow->EventsToTheEnd());

  EXPECT_EQ(events.size(), kThoughts + 3u);
  EXPECT_EQ(NumbersOf(events), OneTo(events.size()));
  EXPECT_EQ(NumbersOf(followed), NumbersOf(events));
}

TEST(DeliveryTest, EarlyAndLateSubscribersSeeTheSameOrder) {
  Covers({"WS-5", "WS-2"});
  auto tool = std::make_shared<HoldingTool>("wait");
  std::shared_ptr<Hold> held = tool->HoldCall(2);
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> early, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> late, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"wait", "wait", "wait"})));
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

TEST(DeliveryTest, TwoUsersRunsDoNotMix) {
  Covers({"WS-8", "AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  std::vector<std::string> failures[2];
  std::vector<std::thread> threads;
  int index = 0;
  for (const char* login : {"ada", "bob"}) {
    threads.emplace_back([&, login, mine = &failures[index++]] {
      User& user = platform->As(login);
      absl::StatusOr<std::unique_ptr<EventSocket>> socket = EventSocket::Open(*platform, user);
      if (!socket.ok()) {
        mine->push_back(std::string(socket.status().message()));
        return;
      }
      for (int i = 0; i < 5; ++i) {
        absl::StatusOr<std::string> run = user.StartRun("chain", Chain({"count", "count"}));
        absl::Status subscribed = run.ok() ? (*socket)->Subscribe(*run) : run.status();
        absl::StatusOr<std::vector<Event>> events =
            subscribed.ok() ? (*socket)->EventsToTheEnd() : absl::StatusOr<std::vector<Event>>(subscribed);
        if (!events.ok() || NumbersOf(*events) != OneTo(9)) {
          mine->push_back(std::string(events.status().message()));
        }
        for (size_t k = 0; events.ok() && k < events->size(); ++k) {
          if ((*events)[k].user() != user.name() || (*events)[k].stream() != *run) {
            mine->push_back((*events)[k].ShortDebugString());
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(failures[0], ElementsAre());
  EXPECT_THAT(failures[1], ElementsAre());
}

TEST(DeliveryTest, ServerSentEventsAndPagesGoByTheSameCursor) {
  Covers({"WS-3", "WS-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"count"})));
  ASSERT_OK(ada.WaitForRun(run));
  const std::string path = absl::StrCat("/v1/runs/", run.substr(run.rfind('/') + 1), "/events");

  ASSERT_OK_AND_ASSIGN(nlohmann::json page, ada.Http("GET", absl::StrCat(path, "?after=3&pageSize=2"), nullptr));
  ASSERT_EQ(page.at("events").size(), 2u);
  EXPECT_EQ(page["events"][0]["sequence"], 4);
  EXPECT_EQ(page["more"], true);

  ASSERT_OK_AND_ASSIGN(std::unique_ptr<gateway::GatewayClient> client, ada.NewGatewayClient());
  ASSERT_OK_AND_ASSIGN(
      gateway::RawResponse stream,
      client->Send({.path = path, .headers = {{"Accept", "text/event-stream"}, {"Last-Event-ID", "4"}}}, ada.token()));
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.headers["content-type"], "text/event-stream");
  EXPECT_THAT(stream.body, ::testing::StartsWith("id: 5\nevent: tool_completed\ndata: {"));
  EXPECT_THAT(stream.body, HasSubstr("id: 6\nevent: agent_completed\n"));
  EXPECT_THAT(stream.body, ::testing::EndsWith("event: end\ndata: {}\n\n"));
}

TEST(DeliveryTest, WatchedRunArrivesWholeAtTheClient) {
  Covers({"WS-1", "WS-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .WithTool(std::make_shared<CountingTool>("count"))
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", Chain({"count"})));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<gateway::GatewayClient> client, ada.NewGatewayClient());
  std::vector<uint64_t> numbers;
  ASSERT_OK(client->WatchRun(run, {}, ada.token(), [&](const nlohmann::json& frame) {
    if (frame.contains("event") && frame["event"].contains("sequence")) {
      numbers.push_back(frame["event"]["sequence"].get<uint64_t>());
    }
    return true;
  }));
  EXPECT_EQ(numbers, OneTo(6));
}

}  // namespace
}  // namespace bulkhead::testing
