#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"

namespace bulkhead::testing {
namespace {

using ::testing::Eq;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;

absl::Status ExpiredError() {
  return MakeError(absl::StatusCode::kUnauthenticated, "The token has expired.",
                   {.domain = "bulkhead.auth", .reason = "TOKEN_EXPIRED"});
}

template <typename Matcher, typename Value>
std::string Explain(const Matcher& matcher, const Value& value) {
  ::testing::StringMatchResultListener listener;
  ::testing::ExplainMatchResult(matcher, value, &listener);
  return listener.str();
}

TEST(MatchersTest, StatusMatchers) {
  EXPECT_OK(absl::OkStatus());
  EXPECT_THAT(absl::StatusOr<int>(4), IsOk());
  EXPECT_THAT(absl::StatusOr<int>(4), IsOkAndHolds(4));
  EXPECT_THAT(absl::StatusOr<int>(4), IsOkAndHolds(Gt(3)));
  EXPECT_THAT(absl::StatusOr<int>(4), Not(IsOkAndHolds(5)));
  EXPECT_THAT(absl::StatusOr<int>(ExpiredError()), Not(IsOkAndHolds(5)));
  EXPECT_THAT(ExpiredError(), Not(IsOk()));
  EXPECT_THAT(ExpiredError(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(ExpiredError(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  EXPECT_THAT(ExpiredError(), Not(StatusIs(absl::StatusCode::kUnauthenticated, "expired")));
  EXPECT_THAT(ExpiredError(), HasReason("TOKEN_EXPIRED"));
  EXPECT_THAT(absl::StatusOr<int>(ExpiredError()), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED"));
  EXPECT_THAT(ExpiredError(), Not(HasReason(absl::StatusCode::kNotFound, "TOKEN_EXPIRED")));
  EXPECT_THAT(absl::UnauthenticatedError(""), Not(HasReason("TOKEN_EXPIRED")));
  EXPECT_EQ(Explain(IsOk(), ExpiredError()),
            "which is UNAUTHENTICATED TOKEN_EXPIRED (bulkhead.auth): The token has expired.");
  ASSERT_OK_AND_ASSIGN(const int number, absl::StatusOr<int>(4));
  EXPECT_EQ(number, 4);
}

TEST(MatchersTest, EqualsProtoNamesTheFieldThatDiffers) {
  google::rpc::ErrorInfo want;
  want.set_reason("TOKEN_EXPIRED");
  google::rpc::ErrorInfo got = want;
  EXPECT_THAT(got, EqualsProto(want));
  got.set_reason("TOKEN_MISSING");
  EXPECT_THAT(got, Not(EqualsProto(want)));
  EXPECT_THAT(Explain(EqualsProto(want), got), HasSubstr("reason"));
  EXPECT_THAT(google::rpc::RetryInfo(), Not(EqualsProto(want)));
}

TEST(WaitTest, ReturnsWhenAnotherThreadMakesItTrue) {
  absl::Mutex mutex;
  int count = 0;
  std::thread other([&] {
    absl::MutexLock lock(mutex);
    count = 1;
  });
  EXPECT_OK(WaitFor(mutex, [&] { return count == 1; }, "count 1", [&] { return std::to_string(count); }));
  other.join();
  int looks = 0;
  EXPECT_OK(WaitFor([&] { return ++looks == 3; }, "the third look"));
}

TEST(WaitTest, TimeoutSaysWhatWasAwaitedAndWhatWasSeen) {
  absl::Mutex mutex;
  const absl::Status status = WaitFor(
      mutex, [] { return false; }, "tool_completed", [] { return std::string("agent_started, agent_thinking"); },
      absl::Milliseconds(1));
  EXPECT_THAT(status, HasReason(absl::StatusCode::kDeadlineExceeded, "WAIT_TIMED_OUT"));
  EXPECT_EQ(status.message(), "timed out waiting for tool_completed; saw agent_started, agent_thinking");
}

TEST(TempDirTest, IsUniqueAndRemoved) {
  std::string path;
  {
    const TempDir first;
    const TempDir second;
    EXPECT_NE(first.path(), second.path());
    path = first.path();
    std::ofstream(first.File("data.txt")) << "x";
    EXPECT_TRUE(std::filesystem::exists(path + "/data.txt"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(RequirementsTest, AreRecordedWithTheResult) {
  Covers({"TD-7", "AU-5"});
  const ::testing::TestResult& result = *::testing::UnitTest::GetInstance()->current_test_info()->result();
  ASSERT_EQ(result.test_property_count(), 1);
  EXPECT_THAT(result.GetTestProperty(0).key(), Eq(std::string("requirement")));
  EXPECT_THAT(result.GetTestProperty(0).value(), Eq(std::string("TD-7,AU-5")));
}

}  // namespace
}  // namespace bulkhead::testing
