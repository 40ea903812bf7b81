#include "absl/status/status.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "grpcpp/support/status.h"
#include "gtest/gtest.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"

namespace bulkhead {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::bulkhead::testing::IsOkAndHolds;
using ::bulkhead::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::Pair;

absl::Status QuotaError() {
  return MakeError(absl::StatusCode::kResourceExhausted, "Too many runs.",
                   {.domain = "bulkhead.agent",
                    .reason = "RUN_QUOTA_EXCEEDED",
                    .metadata = {{"limit", "4"}},
                    .retry_after = absl::Milliseconds(1500)});
}

TEST(ErrorTest, InfoSurvivesTheWayThroughGrpc) {
  const absl::Status status = FromGrpcStatus(ToGrpcStatus(QuotaError()));

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "Too many runs."));
  const auto info = ErrorInfoOf(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->domain, "bulkhead.agent");
  EXPECT_EQ(info->reason, "RUN_QUOTA_EXCEEDED");
  EXPECT_THAT(info->metadata, ElementsAre(Pair("limit", "4")));
  EXPECT_EQ(info->retry_after, absl::Milliseconds(1500));
  EXPECT_THAT(FromGrpcStatus(ToGrpcStatus(absl::OkStatus())), IsOk());
}

TEST(ErrorTest, TransportErrorGetsAReason) {
  EXPECT_THAT(FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused")),
              HasReason(absl::StatusCode::kUnavailable, "RPC_UNAVAILABLE"));
  EXPECT_THAT(FromGrpcStatus(grpc::Status(grpc::StatusCode::INTERNAL, "")),
              HasReason(absl::StatusCode::kInternal, "RPC_FAILED"));
}

TEST(ErrorTest, AnnotationKeepsCodeAndReason) {
  const absl::Status status = Annotate(QuotaError(), "Starting run-1");
  EXPECT_THAT(status, HasReason(absl::StatusCode::kResourceExhausted, "RUN_QUOTA_EXCEEDED"));
  EXPECT_EQ(status.message(), "Starting run-1: Too many runs.");
  EXPECT_THAT(Annotate(absl::OkStatus(), "Starting"), IsOk());
}

TEST(ErrorTest, QuotedUserDataIsBoundedAndValidUtf8) {
  const absl::Status status = FromGrpcStatus(ToGrpcStatus(MakeError(
      absl::StatusCode::kInvalidArgument, "name \xFF\xC3\xA9 \xED\xA0\x80",
      {.domain = "bulkhead.tool", .reason = "NAME_INVALID", .metadata = {{"name", std::string(100'000, '\xFF')}}})));
  EXPECT_THAT(status, HasReason("NAME_INVALID"));
  EXPECT_EQ(status.message(), "name ?\xC3\xA9 ???");
  EXPECT_LT(ErrorInfoOf(status)->metadata["name"].size(), 2100u);
}

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "odd", {.domain = "bulkhead.test", .reason = "ODD"});
  }
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  ASSIGN_OR_RETURN(const int quarter, Half(half));
  RETURN_IF_ERROR(absl::OkStatus());
  return quarter;
}

TEST(MacrosTest, AssignOrReturn) {
  EXPECT_THAT(Quarter(12), IsOkAndHolds(3));
  EXPECT_THAT(Quarter(6), HasReason(absl::StatusCode::kInvalidArgument, "ODD"));
}

}  // namespace
}  // namespace bulkhead
