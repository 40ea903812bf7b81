#include "services/common/time/clock.h"

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/time/real_time.h"
#include "services/common/time/simulated_clock.h"

namespace bulkhead {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

TEST(SimulatedClockTest, AdvanceStopsAtEachTimerInOrderOfTime) {
  SimulatedClock clock(kStart);
  std::vector<absl::Time> seen;
  clock.CallAt(kStart + absl::Seconds(3), [&] { seen.push_back(clock.Now()); });
  clock.CallAt(kStart + absl::Seconds(1), [&] {
    seen.push_back(clock.Now());
    // A timer set by a timer, due on the way, runs in the same Advance.
    clock.CallAt(clock.Now() + absl::Seconds(1), [&] { seen.push_back(clock.Now()); });
  });
  clock.CallAt(kStart + absl::Seconds(9), [&] { seen.push_back(clock.Now()); });

  clock.Advance(absl::Seconds(5));

  EXPECT_THAT(seen, ElementsAre(kStart + absl::Seconds(1), kStart + absl::Seconds(2), kStart + absl::Seconds(3)));
  EXPECT_EQ(clock.Now(), kStart + absl::Seconds(5));
  EXPECT_EQ(clock.pending_timers(), 1u);
}

TEST(SimulatedClockTest, CancelledTimerNeverRuns) {
  SimulatedClock clock(kStart);
  bool ran = false;
  const Clock::TimerId id = clock.CallAt(kStart + absl::Seconds(1), [&] { ran = true; });
  EXPECT_TRUE(clock.Cancel(id));
  EXPECT_FALSE(clock.Cancel(id));
  clock.Advance(absl::Hours(1));
  EXPECT_FALSE(ran);
}

TEST(SimulatedClockTest, DueTimerRunsAtOnce) {
  SimulatedClock clock(kStart);
  bool ran = false;
  const Clock::TimerId id = clock.CallAt(kStart, [&] { ran = true; });
  EXPECT_TRUE(ran);
  EXPECT_FALSE(clock.Cancel(id));
}

TEST(SystemClockTest, RunsTimersInOrderAndDropsCancelledAndPendingOnes) {
  std::vector<int> seen;
  absl::Notification done;
  std::unique_ptr<Clock> clock = CreateSystemClock();
  const absl::Time now = clock->Now();
  clock->CallAt(now + absl::Hours(1), [&] { seen.push_back(4); });
  clock->CallAt(now + absl::Milliseconds(20), [&] {
    seen.push_back(2);
    done.Notify();
  });
  const Clock::TimerId cancelled = clock->CallAt(now + absl::Milliseconds(19), [&] { seen.push_back(3); });
  EXPECT_TRUE(clock->Cancel(cancelled));
  clock->CallAt(now - absl::Hours(1), [&] { seen.push_back(1); });

  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(30)));
  clock.reset();

  EXPECT_THAT(seen, ElementsAre(1, 2));
  EXPECT_GE(RealNow(), now + absl::Milliseconds(20));
}

}  // namespace
}  // namespace bulkhead
