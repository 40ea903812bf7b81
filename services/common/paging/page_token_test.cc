#include "services/common/paging/page_token.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "testing/base/matchers.h"

namespace bulkhead {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOkAndHolds;

TEST(PageTokenTest, PositionComesBackForTheSameRequest) {
  const std::string position("7\0.x", 4);

  EXPECT_THAT(DecodePageToken("runs of ada", EncodePageToken("runs of ada", position)), IsOkAndHolds(position));
  EXPECT_THAT(DecodePageToken("runs of ada", ""), IsOkAndHolds(std::string()));
}

TEST(PageTokenTest, AnotherRequestsTokenIsRefused) {
  const auto invalid = HasReason(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID");

  EXPECT_THAT(DecodePageToken("runs of bob", EncodePageToken("runs of ada", "7")), invalid);
  EXPECT_THAT(DecodePageToken("runs of ada", "not base64!"), invalid);
  EXPECT_THAT(DecodePageToken("runs of ada", "AAAA"), invalid);
}

TEST(PageTokenTest, SizeHasADefaultAndAMaximum) {
  EXPECT_THAT(PageSize(0), IsOkAndHolds(50));
  EXPECT_THAT(PageSize(7), IsOkAndHolds(7));
  EXPECT_THAT(PageSize(5000), IsOkAndHolds(1000));
  EXPECT_THAT(PageSize(-1), HasReason(absl::StatusCode::kInvalidArgument, "PAGE_SIZE_INVALID"));
}

}  // namespace
}  // namespace bulkhead
