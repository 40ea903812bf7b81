#include "services/agent/run_queue.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bulkhead::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

void Fill(RunQueue& queue, const std::string& user, int runs, int weight = 1) {
  for (int i = 0; i < runs; ++i) {
    queue.Enqueue({.user = user, .run = absl::StrCat(user, i), .weight = weight});
  }
}

// The users of the next `count` turns, each run ending before the next begins.
std::vector<std::string> Turns(RunQueue& queue, int count) {
  std::vector<std::string> users;
  for (int i = 0; i < count; ++i) {
    std::optional<RunQueue::Entry> next = queue.Next();
    if (!next.has_value()) {
      break;
    }
    users.push_back(next->user);
    queue.Finished(next->user);
  }
  return users;
}

std::map<std::string, int> Count(const std::vector<std::string>& users) {
  std::map<std::string, int> counts;
  for (const std::string& user : users) {
    ++counts[user];
  }
  return counts;
}

TEST(RunQueueTest, TurnsAreSharedByWeightInEachRound) {
  RunQueue queue({.max_running = 1});
  Fill(queue, "ada", 400, /*weight=*/3);
  Fill(queue, "bob", 400, /*weight=*/1);
  Fill(queue, "cy", 400, /*weight=*/1);
  for (int round = 0; round < 60; ++round) {
    EXPECT_THAT(Count(Turns(queue, 5)), UnorderedElementsAre(Pair("ada", 3), Pair("bob", 1), Pair("cy", 1))) << round;
  }
}

TEST(RunQueueTest, LargestWeightStarvesNobody) {
  RunQueue queue({.max_running = 1});
  Fill(queue, "ada", 3000, /*weight=*/1000);
  Fill(queue, "bob", 3);
  EXPECT_THAT(Count(Turns(queue, 2002)), UnorderedElementsAre(Pair("ada", 2000), Pair("bob", 2)));
}

TEST(RunQueueTest, NewcomerIsServedInTheRoundThatIsOn) {
  RunQueue queue({.max_running = 1});
  Fill(queue, "ada", 100, /*weight=*/3);
  Fill(queue, "bob", 100);
  Turns(queue, 41);
  Fill(queue, "cy", 2);
  EXPECT_EQ(Count(Turns(queue, 5))["cy"], 1);
  EXPECT_EQ(Count(Turns(queue, 5))["cy"], 1);
}

TEST(RunQueueTest, WhoAsksForOneRunAfterAnotherGetsNoMoreTurnsThanOthers) {
  RunQueue queue({.max_running = 1});
  for (const char* user : {"ada", "bob", "cy", "dan"}) {
    Fill(queue, user, 100);
  }
  int turns = 0;
  Fill(queue, "eve", 1);
  for (int i = 0; i < 100; ++i) {
    if (Turns(queue, 1).front() == "eve") {
      ++turns;
      Fill(queue, "eve", 1);
    }
  }
  EXPECT_EQ(turns, 20);
}

TEST(RunQueueTest, WhoWasAtHisLimitIsNotOwedTheTurnsThatPassed) {
  RunQueue queue({.max_running = 3, .max_running_per_user = 2});
  Fill(queue, "ada", 100);
  EXPECT_EQ(queue.Next()->user, "ada");
  EXPECT_EQ(queue.Next()->user, "ada");
  EXPECT_FALSE(queue.Next().has_value()) << "she has two, and nobody else waits";
  Fill(queue, "bob", 100);
  EXPECT_THAT(Count(Turns(queue, 30)), ElementsAre(Pair("bob", 30)));
  queue.Finished("ada");
  queue.Finished("ada");
  EXPECT_THAT(Count(Turns(queue, 10)), UnorderedElementsAre(Pair("ada", 5), Pair("bob", 5)));
}

TEST(RunQueueTest, RunThatResumesGoesBeforeThoseOfItsUserThatHaveNotBegun) {
  RunQueue queue({.max_running = 1});
  Fill(queue, "ada", 3);
  const RunQueue::Entry parked = *queue.Next();
  queue.Finished("ada");
  EXPECT_EQ(queue.running(), 0);
  queue.EnqueueResuming(parked);
  EXPECT_EQ(queue.waiting(), 3);
  std::optional<RunQueue::Entry> next = queue.Next();
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->run, "ada0");
  EXPECT_TRUE(next->resumes);
  queue.Finished("ada");
  next = queue.Next();
  EXPECT_EQ(next->run, "ada1");
  EXPECT_FALSE(next->resumes);
  queue.EnqueueResuming(parked);
  EXPECT_TRUE(queue.Remove("ada", "ada0"));
  EXPECT_FALSE(queue.Remove("ada", "ada0"));
  EXPECT_EQ(queue.waiting(), 1);
}

}  // namespace
}  // namespace bulkhead::agent
