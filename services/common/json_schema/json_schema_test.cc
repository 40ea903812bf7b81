#include "services/common/json_schema/json_schema.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;

constexpr std::string_view kSchema = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {"file": {"type": "string", "minLength": 1}, "limit": {"type": "integer", "minimum": 1}},
  "required": ["file"],
  "additionalProperties": false
})";

TEST(JsonSchemaTest, ValidInstanceHasNoViolations) {
  auto schema = JsonSchema::Compile(kSchema);
  ASSERT_TRUE(schema.ok()) << schema.status();
  EXPECT_THAT((*schema)->Validate({{"file", "a.csv"}, {"limit", 3}}), IsEmpty());
  // What came through a google.protobuf.Struct has doubles for integers.
  EXPECT_THAT((*schema)->Validate({{"file", "a.csv"}, {"limit", 3.0}}), IsEmpty());
}

TEST(JsonSchemaTest, EveryViolationIsReportedWithItsPointer) {
  auto schema = JsonSchema::Compile(kSchema);
  ASSERT_TRUE(schema.ok()) << schema.status();
  auto violations = (*schema)->Validate({{"file", ""}, {"limit", 1.5}, {"extra", true}});
  EXPECT_THAT(violations, SizeIs(3));
  auto metadata = ViolationMetadata(violations);
  EXPECT_THAT(metadata, Contains(Key("/file")));
  EXPECT_THAT(metadata, Contains(Key("/limit")));
  EXPECT_THAT(ViolationMetadata((*schema)->Validate(nlohmann::json::array())), Contains(Key("/")));
}

TEST(JsonSchemaTest, WhatIsNoSchemaIsRefused) {
  for (std::string_view bad :
       {"", "[]", "{\"type\":", R"({"type": "strange"})", R"({"$ref": "https://example.com/other"})",
        R"({"$schema": "https://example.com/mine"})", R"({"pattern": "("})"}) {
    auto schema = JsonSchema::Compile(bad);
    EXPECT_EQ(ReasonOf(schema.status()), "JSON_SCHEMA_INVALID") << bad << " " << schema.status();
  }
}

}  // namespace
}  // namespace bulkhead
