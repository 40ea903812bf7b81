#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/simulated_clock.h"
#include "services/notifier/event_conversion.h"
#include "services/notifier/event_log.h"
#include "services/notifier/event_record.h"
#include "services/notifier/hub.h"
#include "testing/base/matchers.h"

namespace bulkhead::notifier {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kStream[] = "users/ada/runs/run-a1";

EventPtr Durable(uint64_t sequence, std::string_view stream = kStream, bool terminal = false, size_t bytes = 10) {
  EventRecord record;
  record.stream = std::string(stream);
  record.owner = *OwnerOfStream(stream);
  record.sequence = sequence;
  record.event_id = absl::StrCat("event-", sequence);
  record.terminal = terminal;
  record.bytes = std::string(bytes, 'x');
  return std::make_shared<const EventRecord>(std::move(record));
}

EventPtr Transient() {
  return std::make_shared<const EventRecord>(
      EventRecord{.stream = kStream, .owner = "ada", .event_id = "progress", .bytes = std::string(10, 'p')});
}

// A log and a hub, as the service joins them.
class NotifierTest : public ::testing::Test {
 protected:
  NotifierTest() {
    absl::StatusOr<std::unique_ptr<EventLog>> log = EventLog::Create({}, &clock_);
    CHECK_OK(log);
    log_ = *std::move(log);
    hub_.emplace(Hub::Options{.queue_bytes = 2000}, log_.get());
  }

  absl::StatusOr<std::vector<EventPtr>> Append(std::vector<EventPtr> events) {
    return BlockOn(*executor_, log_->AppendAcrossUsers(std::move(events)));
  }

  // As PublishEvents does.
  void Publish(EventPtr event) {
    if (!event->transient()) {
      EXPECT_OK(Append({event}));
    }
    hub_->Publish({event});
  }

  std::vector<uint64_t> Sequences(uint64_t after = 0) {
    std::vector<uint64_t> result;
    absl::StatusOr<LogPage> page = log_->For("ada").Read(kStream, after, {});
    CHECK_OK(page);
    for (const EventPtr& event : page->events) {
      result.push_back(event->sequence);
    }
    return result;
  }

  std::shared_ptr<Subscription> Subscribe(uint64_t after = 0) {
    absl::StatusOr<std::shared_ptr<Subscription>> subscription = hub_->Subscribe("ada", kStream, {.after = after});
    CHECK_OK(subscription);
    return *std::move(subscription);
  }

  // The next delivery in short: "3", "transient", "gap 3", "caught up 2", "end".
  std::string Next(Subscription& subscription) {
    absl::StatusOr<std::optional<Delivery>> next = BlockOn(*executor_, subscription.Next());
    CHECK_OK(next);
    if (!next->has_value()) {
      return "end";
    }
    if (const EventPtr* event = std::get_if<EventPtr>(&**next)) {
      return (*event)->transient() ? "transient" : absl::StrCat((*event)->sequence);
    }
    if (const LogGap* gap = std::get_if<LogGap>(&**next)) {
      return absl::StrCat("gap ", gap->first_available);
    }
    return absl::StrCat("caught up ", std::get<ReplayEnd>(**next).sequence);
  }

  std::vector<std::string> Next(Subscription& subscription, int count) {
    std::vector<std::string> result;
    for (int i = 0; i < count; ++i) {
      result.push_back(Next(subscription));
    }
    return result;
  }

  SimulatedClock clock_{absl::UnixEpoch() + absl::Hours(1000)};
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test"});
  std::unique_ptr<EventLog> log_;
  std::optional<Hub> hub_;
};

TEST_F(NotifierTest, AppendIsIdempotentByStreamAndSequence) {
  ASSERT_OK_AND_ASSIGN(std::vector<EventPtr> first, Append({Durable(1), Durable(2)}));
  ASSERT_OK_AND_ASSIGN(std::vector<EventPtr> second, Append({Durable(1), Durable(2), Durable(3)}));

  EXPECT_EQ(first.size(), 2u);
  EXPECT_EQ(second.size(), 1u);
  EXPECT_THAT(Sequences(), ElementsAre(1, 2, 3));
}

TEST_F(NotifierTest, BatchWithAGapLeavesNothing) {
  EXPECT_THAT(Append({Durable(1), Durable(3)}), HasReason(absl::StatusCode::kFailedPrecondition, "EVENT_SEQUENCE_GAP"));
  EXPECT_THAT(Sequences(), IsEmpty());
}

TEST_F(NotifierTest, AnotherEventWithTheSameNumberIsRefused) {
  ASSERT_OK(Append({Durable(1)}));
  EventRecord other = *Durable(1);
  other.event_id = "another";

  EXPECT_THAT(Append({std::make_shared<const EventRecord>(other), Durable(2)}),
              HasReason(absl::StatusCode::kAlreadyExists, "EVENT_CONFLICT"));
  EXPECT_THAT(Sequences(), ElementsAre(1));
}

TEST_F(NotifierTest, NothingFollowsTheTerminalEvent) {
  ASSERT_OK(Append({Durable(1), Durable(2, kStream, /*terminal=*/true)}));
  EXPECT_THAT(Append({Durable(3)}), HasReason(absl::StatusCode::kFailedPrecondition, "EVENT_STREAM_ENDED"));
}

TEST_F(NotifierTest, AnotherUsersStreamIsNotFound) {
  ASSERT_OK(Append({Durable(1)}));

  EXPECT_THAT(log_->For("bob").Read(kStream, 0, {}), HasReason(absl::StatusCode::kNotFound, "STREAM_NOT_FOUND"));
  EXPECT_THAT(hub_->Subscribe("bob", kStream, {}), HasReason(absl::StatusCode::kNotFound, "STREAM_NOT_FOUND"));
  EXPECT_THAT(hub_->Subscribe("ada", "users/ada", {}), HasReason(absl::StatusCode::kNotFound, "STREAM_NOT_FOUND"));
  EXPECT_EQ(hub_->subscriptions(), 0u);
}

TEST_F(NotifierTest, PageSaysWhetherMoreIsThere) {
  ASSERT_OK(Append({Durable(1), Durable(2), Durable(3)}));

  ASSERT_OK_AND_ASSIGN(LogPage first, log_->For("ada").Read(kStream, 0, {.events = 2}));
  ASSERT_OK_AND_ASSIGN(LogPage small, log_->For("ada").Read(kStream, 0, {.events = 2, .bytes = 1}));
  ASSERT_OK_AND_ASSIGN(LogPage rest, log_->For("ada").Read(kStream, 2, {.events = 2}));

  EXPECT_EQ(first.events.size(), 2u);
  EXPECT_TRUE(first.more);
  EXPECT_EQ(small.events.size(), 1u);
  EXPECT_TRUE(small.more);
  EXPECT_EQ(rest.events.size(), 1u);
  EXPECT_FALSE(rest.more);
}

TEST_F(NotifierTest, TrimmedEventsLeaveAGapAndKeepTheirNumbers) {
  ASSERT_OK(Append({Durable(1), Durable(2)}));
  clock_.Advance(absl::Hours(2));
  ASSERT_OK(Append({Durable(3)}));

  EXPECT_THAT(BlockOn(*executor_, log_->TrimAcrossUsers(clock_.Now() - absl::Hours(1))),
              ::bulkhead::testing::IsOkAndHolds(2));

  ASSERT_OK(Append({Durable(2), Durable(3), Durable(4)}));  // A repeated batch is still no error.
  EXPECT_THAT(Next(*Subscribe(), 4), ElementsAre("gap 3", "3", "4", "caught up 4"));
  EXPECT_THAT(Next(*Subscribe(/*after=*/2), 3), ElementsAre("3", "4", "caught up 4"));
}

TEST_F(NotifierTest, WhollyTrimmedStreamGivesItsNextNumber) {
  ASSERT_OK(Append({Durable(1), Durable(2, kStream, /*terminal=*/true)}));
  clock_.Advance(absl::Hours(2));
  ASSERT_OK(BlockOn(*executor_, log_->TrimAcrossUsers(clock_.Now())));

  EXPECT_THAT(Next(*Subscribe(), 3), ElementsAre("gap 3", "caught up 2", "end"));
}

TEST_F(NotifierTest, SubscriberGetsTheReplayThenWhatIsLiveThenTheEnd) {
  Publish(Durable(1));
  Publish(Durable(2));
  std::shared_ptr<Subscription> subscription = Subscribe(/*after=*/1);
  EXPECT_THAT(Next(*subscription, 2), ElementsAre("2", "caught up 2"));

  std::thread publisher([this] { Publish(Durable(3)); });  // Next waits for it.
  EXPECT_EQ(Next(*subscription), "3");
  publisher.join();
  Publish(Transient());
  Publish(Durable(4, kStream, /*terminal=*/true));

  EXPECT_THAT(Next(*subscription, 3), ElementsAre("transient", "4", "end"));
}

TEST_F(NotifierTest, StreamWithoutEventsIsWaitedFor) {
  std::shared_ptr<Subscription> subscription = Subscribe();
  EXPECT_EQ(Next(*subscription), "caught up 0");
  std::thread publisher([this] { Publish(Durable(1)); });
  EXPECT_EQ(Next(*subscription), "1");
  publisher.join();
}

TEST_F(NotifierTest, TransientEventReachesLiveSubscribersOnly) {
  std::shared_ptr<Subscription> live = Subscribe();
  std::shared_ptr<Subscription> behind = Subscribe();
  EXPECT_EQ(Next(*live), "caught up 0");
  Publish(Durable(1));
  EXPECT_EQ(Next(*live), "1");

  Publish(Transient());
  Publish(Durable(2));

  EXPECT_THAT(Next(*live, 2), ElementsAre("transient", "2"));
  EXPECT_THAT(Next(*behind, 3), ElementsAre("caught up 0", "1", "2"));
}

TEST_F(NotifierTest, SlowSubscriberLosesTransientEventsAndNoDurableOne) {
  std::shared_ptr<Subscription> slow = Subscribe();
  EXPECT_EQ(Next(*slow), "caught up 0");
  Publish(Durable(1));
  EXPECT_EQ(Next(*slow), "1");

  // Its queue takes 2000 bytes.
  Publish(Transient());
  for (uint64_t sequence = 2; sequence <= 50; ++sequence) {
    Publish(Durable(sequence, kStream, /*terminal=*/sequence == 50, /*bytes=*/500));
  }

  std::vector<std::string> want;
  for (int sequence = 2; sequence <= 50; ++sequence) {
    want.push_back(absl::StrCat(sequence));
  }
  want.push_back("end");
  EXPECT_EQ(Next(*slow, 50), want);
}

TEST_F(NotifierTest, EventPublishedOutOfOrderIsDeliveredInOrder) {
  std::shared_ptr<Subscription> subscription = Subscribe();
  EXPECT_EQ(Next(*subscription), "caught up 0");
  Publish(Durable(1));
  EXPECT_EQ(Next(*subscription), "1");

  ASSERT_OK(Append({Durable(2), Durable(3)}));
  hub_->Publish({Durable(3)});  // Two publishers' calls may reach the hub in either order.
  hub_->Publish({Durable(2)});

  EXPECT_THAT(Next(*subscription, 2), ElementsAre("2", "3"));
}

TEST_F(NotifierTest, HandoverFromLogToLiveHasNoGapAndNoDuplicate) {
  constexpr uint64_t kEvents = 400;
  std::thread publisher([this] {
    for (uint64_t sequence = 1; sequence <= kEvents; ++sequence) {
      Publish(Durable(sequence, kStream, /*terminal=*/sequence == kEvents));
    }
  });
  std::vector<std::thread> subscribers;
  std::vector<std::vector<std::string>> seen(4);
  for (std::vector<std::string>& mine : seen) {
    subscribers.emplace_back([this, &mine] {
      std::shared_ptr<Subscription> subscription = Subscribe();
      for (std::string next = Next(*subscription); next != "end"; next = Next(*subscription)) {
        if (!next.starts_with("caught up")) {
          mine.push_back(next);
        }
      }
    });
  }
  publisher.join();
  for (std::thread& subscriber : subscribers) {
    subscriber.join();
  }

  std::vector<std::string> want;
  for (uint64_t sequence = 1; sequence <= kEvents; ++sequence) {
    want.push_back(absl::StrCat(sequence));
  }
  for (const std::vector<std::string>& mine : seen) {
    EXPECT_EQ(mine, want);
  }
}

TEST_F(NotifierTest, CursorAheadOfTheLogIsRefused) {
  Publish(Durable(1));
  EXPECT_THAT(hub_->Subscribe("ada", kStream, {.after = 2}), HasReason(absl::StatusCode::kOutOfRange, "CURSOR_AHEAD"));
}

TEST_F(NotifierTest, ClosedHubEndsItsSubscriptions) {
  std::shared_ptr<Subscription> subscription = Subscribe();
  EXPECT_EQ(Next(*subscription), "caught up 0");
  std::thread closer([this] { hub_->Close(); });
  EXPECT_EQ(Next(*subscription), "end");
  closer.join();
  subscription.reset();
  EXPECT_EQ(hub_->subscriptions(), 0u);
}

v1::Event Thinking() {
  v1::Event event;
  event.set_stream(kStream);
  event.set_run(kStream);
  event.set_user("users/ada");
  event.set_sequence(1);
  event.set_event_id("event-1");
  event.set_type("agent_thinking");
  event.mutable_time()->set_seconds(1);
  event.mutable_agent_thinking()->set_text("Reading");
  return event;
}

TEST(EventConversionTest, EventComesBackAsItWas) {
  ASSERT_OK_AND_ASSIGN(EventRecord record, ParseEvent(Thinking()));
  v1::Event back;
  ASSERT_OK(ToProto(record, &back));
  EXPECT_THAT(back, ::bulkhead::testing::EqualsProto(Thinking()));
  EXPECT_EQ(record.owner, "ada");
  EXPECT_FALSE(record.terminal);
}

TEST(EventConversionTest, EachDefectIsRefused) {
  std::vector<std::pair<std::string, void (*)(v1::Event&)>> defects = {
      {"stream of another form", [](v1::Event& event) { event.set_stream("users/ada"); }},
      {"another user", [](v1::Event& event) { event.set_user("users/bob"); }},
      {"another run", [](v1::Event& event) { event.set_run("users/ada/runs/run-b2"); }},
      {"no id", [](v1::Event& event) { event.clear_event_id(); }},
      {"no time", [](v1::Event& event) { event.clear_time(); }},
      {"no payload", [](v1::Event& event) { event.clear_agent_thinking(); }},
      {"type of another payload", [](v1::Event& event) { event.set_type("agent_started"); }},
      {"durable without a number", [](v1::Event& event) { event.clear_sequence(); }},
      {"transient with a number",
       [](v1::Event& event) {
         event.set_type("tool_progress");
         event.mutable_tool_progress();
       }},
      {"too large",
       [](v1::Event& event) { event.mutable_agent_thinking()->set_text(std::string(kMaxEventBytes, 'x')); }},
  };
  for (const auto& [name, spoil] : defects) {
    v1::Event event = Thinking();
    spoil(event);
    EXPECT_THAT(ParseEvent(event), HasReason(absl::StatusCode::kInvalidArgument, "EVENT_INVALID")) << name;
  }
}

}  // namespace
}  // namespace bulkhead::notifier
