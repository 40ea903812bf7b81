#include "services/common/ids/id_generator.h"

#include <set>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "testing/base/matchers.h"

namespace bulkhead {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::testing::MatchesRegex;

TEST(IdGeneratorTest, RandomIdsAreValidAndDiffer) {
  const auto ids = CreateRandomIds();
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = ids->NewId("run");
    EXPECT_THAT(id, MatchesRegex("run-[a-z2-7]{26}"));
    EXPECT_THAT(ValidateId("run", id), IsOk());
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(IdGeneratorTest, SequentialIdsCountAcrossPrefixes) {
  const auto ids = CreateSequentialIds();
  EXPECT_EQ(ids->NewId("run"), "run-000001");
  EXPECT_EQ(ids->NewId("session"), "session-000002");
}

TEST(ValidateIdTest, RefusesWhatIsNoIdentity) {
  EXPECT_THAT(ValidateId("user", ""), HasReason(absl::StatusCode::kInvalidArgument, "ID_EMPTY"));
  for (const char* id : {"default", "test", "none", "null", "temp", "undefined", "anonymous", "unknown", "0", "DEFAULT",
                         "user-default"}) {
    EXPECT_THAT(ValidateId("user", id), HasReason(absl::StatusCode::kInvalidArgument, "ID_PLACEHOLDER")) << id;
  }
  for (const std::string id : {"ab", "Ada", "9lives", "a/b", "a b", "ad\xC3\xA9", "../up"}) {
    EXPECT_THAT(ValidateId("user", id), HasReason(absl::StatusCode::kInvalidArgument, "ID_MALFORMED")) << id;
  }
  EXPECT_THAT(ValidateId("user", std::string(65, 'a')), HasReason("ID_MALFORMED"));
  EXPECT_THAT(ValidateId("user", std::string(64, 'a')), IsOk());
  EXPECT_THAT(ValidateId("user", "test-pilot"), IsOk());
}

}  // namespace
}  // namespace bulkhead
