#include "services/common/json/untrusted_json.h"

#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace bulkhead {
namespace {

std::string Nested(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(UntrustedJsonTest, WhatIsNestedTooDeepIsDiscarded) {
  EXPECT_FALSE(ParseUntrustedJson(Nested(kMaxJsonDepth)).is_discarded());
  EXPECT_TRUE(ParseUntrustedJson(Nested(kMaxJsonDepth + 1)).is_discarded());
  EXPECT_TRUE(ParseUntrustedJson("{\"a\": \"\\\\\", \"b\": " + Nested(2'000'000) + "}").is_discarded());
}

TEST(UntrustedJsonTest, BracketsOfStringsAndOfNeighboursDoNotCount) {
  EXPECT_EQ(ParseUntrustedJson("[\"\\\"" + std::string(100, '[') + "\"]")[0], "\"" + std::string(100, '['));
  std::string neighbours = "[0";
  for (int i = 0; i < 100; ++i) {
    neighbours += ",{\"a\":[]}";
  }
  EXPECT_EQ(ParseUntrustedJson(neighbours + "]").size(), 101);
  EXPECT_TRUE(ParseUntrustedJson("[1").is_discarded());
}

}  // namespace
}  // namespace bulkhead
