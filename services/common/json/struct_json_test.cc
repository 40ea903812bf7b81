#include "services/common/json/struct_json.h"

#include <cstdint>
#include <limits>

#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

TEST(StructJsonTest, ObjectComesBackAsItWas) {
  const nlohmann::json object = {{"text", "a\u00e9"},  {"whole", 3},
                                 {"real", 2.5},        {"flag", true},
                                 {"nothing", nullptr}, {"list", {1, "two", nlohmann::json::object()}}};
  auto proto = ToStruct(object);
  ASSERT_TRUE(proto.ok()) << proto.status();
  EXPECT_EQ(ToJson(*proto), object);
  EXPECT_TRUE(ToJson(*proto)["whole"].is_number_integer());
}

TEST(StructJsonTest, WhatADoubleCannotHoldIsNotChangedInSilence) {
  auto proto = ToStruct({{"large", int64_t{9007199254740993}},
                         {"unsigned", std::numeric_limits<uint64_t>::max()},
                         {"nan", std::numeric_limits<double>::quiet_NaN()},
                         {"broken", "\xff!"}});
  ASSERT_TRUE(proto.ok()) << proto.status();
  const nlohmann::json json = ToJson(*proto);
  EXPECT_EQ(json["large"], "9007199254740993");
  EXPECT_EQ(json["unsigned"], "18446744073709551615");
  EXPECT_EQ(json["nan"], nullptr);
  EXPECT_EQ(json["broken"], "\uFFFD!");
}

TEST(StructJsonTest, OnlyObjectsOfBearableDepthConvert) {
  EXPECT_EQ(ReasonOf(ToStruct(nlohmann::json::array()).status()), "JSON_NOT_AN_OBJECT");
  nlohmann::json deep = 1;
  for (int i = 0; i < 60; ++i) {
    deep = nlohmann::json{{"x", deep}};
  }
  EXPECT_EQ(ReasonOf(ToStruct(deep).status()), "JSON_TOO_DEEP");
}

}  // namespace
}  // namespace bulkhead
