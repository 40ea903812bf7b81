#include "testing/base/matchers.h"

#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/message_differencer.h"
#include "services/common/status/error.h"

namespace bulkhead::testing::internal {

std::string Describe(const absl::Status& status) {
  if (status.ok()) {
    return "OK";
  }
  std::string text = absl::StatusCodeToString(status.code());
  if (const std::optional<ErrorInfo> info = ErrorInfoOf(status)) {
    text += " " + info->reason + " (" + info->domain + ")";
    for (const auto& [key, value] : info->metadata) {
      text += " " + key + "=" + value;
    }
  } else {
    text += " without a reason";
  }
  return text + ": " + std::string(status.message());
}

bool StatusMatcher::Matches(const absl::Status& status, std::ostream* explanation) const {
  if (explanation != nullptr) {  // GoogleMock passes null when nobody will read it.
    *explanation << "which is " << Describe(status);
  }
  return (!code_.has_value() || status.code() == *code_) &&
         (!message_.has_value() || message_->Matches(std::string(status.message()))) &&
         (!reason_.has_value() || ReasonOf(status) == *reason_);
}

void StatusMatcher::DescribeTo(std::ostream* out) const {
  *out << "is " << (code_.has_value() ? absl::StatusCodeToString(*code_) : "an error");
  if (reason_.has_value()) {
    *out << " with reason " << *reason_;
  }
  if (message_.has_value()) {
    *out << " with a message that ";
    message_->DescribeTo(out);
  }
}

void StatusMatcher::DescribeNegationTo(std::ostream* out) const {
  *out << "not (";
  DescribeTo(out);
  *out << ")";
}

EqualsProtoMatcher::EqualsProtoMatcher(const google::protobuf::Message& expected) {
  std::shared_ptr<google::protobuf::Message> copy(expected.New());
  copy->CopyFrom(expected);
  expected_ = std::move(copy);
}

bool EqualsProtoMatcher::MatchAndExplain(const google::protobuf::Message& actual, std::ostream* explanation) const {
  std::ostringstream ignored;  // GoogleMock passes null when nobody will read it.
  std::ostream& out = explanation != nullptr ? *explanation : ignored;
  if (actual.GetDescriptor() != expected_->GetDescriptor()) {
    out << "which is a " << actual.GetDescriptor()->full_name();
    return false;
  }
  std::string differences;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&differences);
  if (differencer.Compare(*expected_, actual)) {
    return true;
  }
  out << "which differs from the expected in:\n" << differences;
  return false;
}

void EqualsProtoMatcher::DescribeTo(std::ostream* out) const {
  *out << "equals " << expected_->GetDescriptor()->full_name() << " {\n" << expected_->DebugString() << "}";
}

void EqualsProtoMatcher::DescribeNegationTo(std::ostream* out) const {
  *out << "not (";
  DescribeTo(out);
  *out << ")";
}

}  // namespace bulkhead::testing::internal
