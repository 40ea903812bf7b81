// Matchers for absl::Status, absl::StatusOr and protos.
//
//   EXPECT_THAT(verifier->Verify(token), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED"));
//   ASSERT_OK_AND_ASSIGN(Run run, client.GetRun(name));
//   EXPECT_THAT(run, EqualsProto(want));
#ifndef TESTING_BASE_MATCHERS_H_
#define TESTING_BASE_MATCHERS_H_

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace google::protobuf {
class Message;
}

namespace bulkhead::testing {
namespace internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status) {
  return status.status();
}

// What a Status shows of itself in a failure: code, message, reason and metadata.
std::string Describe(const absl::Status& status);

// Expectations of a Status, each of them optional.
class StatusMatcher {
 public:
  using is_gtest_matcher = void;

  StatusMatcher(std::optional<absl::StatusCode> code, std::optional<::testing::Matcher<const std::string&>> message,
                std::optional<std::string> reason)
      : code_(code), message_(std::move(message)), reason_(std::move(reason)) {}

  template <typename StatusOrStatusOr>
  bool MatchAndExplain(const StatusOrStatusOr& actual, std::ostream* explanation) const {
    return Matches(StatusOf(actual), explanation);
  }
  void DescribeTo(std::ostream* out) const;
  void DescribeNegationTo(std::ostream* out) const;

 private:
  bool Matches(const absl::Status& status, std::ostream* explanation) const;

  std::optional<absl::StatusCode> code_;
  std::optional<::testing::Matcher<const std::string&>> message_;
  std::optional<std::string> reason_;
};

template <typename Inner>
class IsOkAndHoldsMatcher {
 public:
  using is_gtest_matcher = void;

  explicit IsOkAndHoldsMatcher(Inner inner) : inner_(std::move(inner)) {}

  template <typename T>
  bool MatchAndExplain(const absl::StatusOr<T>& actual, ::testing::MatchResultListener* listener) const {
    if (!actual.ok()) {
      *listener << "which is " << Describe(actual.status());
      return false;
    }
    return ::testing::SafeMatcherCast<const T&>(inner_).MatchAndExplain(*actual, listener);
  }
  void DescribeTo(std::ostream* out) const { *out << "is OK and holds the wanted value"; }
  void DescribeNegationTo(std::ostream* out) const { *out << "is an error, or holds another value"; }

 private:
  Inner inner_;
};

class EqualsProtoMatcher {
 public:
  using is_gtest_matcher = void;

  explicit EqualsProtoMatcher(const google::protobuf::Message& expected);
  bool MatchAndExplain(const google::protobuf::Message& actual, std::ostream* explanation) const;
  void DescribeTo(std::ostream* out) const;
  void DescribeNegationTo(std::ostream* out) const;

 private:
  std::shared_ptr<const google::protobuf::Message> expected_;
};

}  // namespace internal

inline auto IsOk() { return internal::StatusMatcher(absl::StatusCode::kOk, std::nullopt, std::nullopt); }

// An OK StatusOr whose value matches `inner` (a value or a matcher).
template <typename Inner>
auto IsOkAndHolds(Inner inner) {
  return internal::IsOkAndHoldsMatcher<Inner>(std::move(inner));
}

inline auto StatusIs(absl::StatusCode code) { return internal::StatusMatcher(code, std::nullopt, std::nullopt); }
template <typename Message>
auto StatusIs(absl::StatusCode code, Message message) {
  return internal::StatusMatcher(code, ::testing::SafeMatcherCast<const std::string&>(message), std::nullopt);
}

// An error whose google.rpc.ErrorInfo has `reason`.
inline auto HasReason(std::string reason) {
  return internal::StatusMatcher(std::nullopt, std::nullopt, std::move(reason));
}
inline auto HasReason(absl::StatusCode code, std::string reason) {
  return internal::StatusMatcher(code, std::nullopt, std::move(reason));
}

// The same type and fields; the explanation lists what differs, field by field.
inline auto EqualsProto(const google::protobuf::Message& expected) { return internal::EqualsProtoMatcher(expected); }

}  // namespace bulkhead::testing

#define EXPECT_OK(expr) EXPECT_THAT((expr), ::bulkhead::testing::IsOk())
#define ASSERT_OK(expr) ASSERT_THAT((expr), ::bulkhead::testing::IsOk())

#define BULKHEAD_TEST_CONCAT_INNER_(a, b) a##b
#define BULKHEAD_TEST_CONCAT_(a, b) BULKHEAD_TEST_CONCAT_INNER_(a, b)
#define BULKHEAD_ASSERT_OK_AND_ASSIGN_(result, lhs, expr)                                               \
  auto result = (expr);                                                                                 \
  ASSERT_TRUE(result.ok()) << #expr " is " << ::bulkhead::testing::internal::Describe(result.status()); \
  lhs = std::move(result).value()

// Assigns the value of `expr` (an absl::StatusOr) to `lhs`, which may declare a variable, or ends the test.
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  BULKHEAD_ASSERT_OK_AND_ASSIGN_(BULKHEAD_TEST_CONCAT_(bulkhead_test_result_, __LINE__), lhs, expr)

#endif  // TESTING_BASE_MATCHERS_H_
