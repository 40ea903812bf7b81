#include "services/bulkhead/cli/near_words.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bulkhead::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Commands() { return {"run", "runs", "threads", "tools", "interrupt"}; }

TEST(NearWordsTest, EachSlipOfTheHandIsForgiven) {
  EXPECT_THAT(NearWords("threds", Commands()), ElementsAre("threads")) << "left out";
  EXPECT_THAT(NearWords("threaads", Commands()), ElementsAre("threads")) << "put in";
  EXPECT_THAT(NearWords("threats", Commands()), ElementsAre("threads")) << "wrong";
  EXPECT_THAT(NearWords("htreads", Commands()), ElementsAre("threads")) << "before its neighbour";
  EXPECT_THAT(NearWords("interupted", Commands()), ElementsAre("interrupt")) << "three in ten";
}

TEST(NearWordsTest, NearestComesFirst) {
  EXPECT_THAT(NearWords("rnus", Commands()), ElementsAre("runs"));
  EXPECT_THAT(NearWords("runss", Commands()), ElementsAre("runs"));
  EXPECT_THAT(NearWords("runns", Commands()), ElementsAre("runs"));
  EXPECT_THAT(NearWords("ruun", Commands()), ElementsAre("run"));
  EXPECT_THAT(NearWords("interup", {"interrupted", "interrupt"}), ElementsAre("interrupt"));
  EXPECT_THAT(NearWords("abcdef", {"abcdxy", "abcdeg"}), ElementsAre("abcdeg", "abcdxy"));
}

TEST(NearWordsTest, BeginningOfAWordIsNearIt) {
  EXPECT_THAT(NearWords("int", Commands()), ElementsAre("interrupt"));
  EXPECT_THAT(NearWords("t", Commands()), ElementsAre("threads", "tools"));
}

TEST(NearWordsTest, OtherWordsAreNot) {
  EXPECT_THAT(NearWords("nonsense", Commands()), IsEmpty());
  EXPECT_THAT(NearWords("xy", Commands()), IsEmpty());
  EXPECT_THAT(NearWords("runs", {}), IsEmpty());
}

}  // namespace
}  // namespace bulkhead::cli
