#include "services/common/status/error.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"

namespace bulkhead {
namespace {

constexpr std::string_view kErrorInfoUrl = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr std::string_view kRetryInfoUrl = "type.googleapis.com/google.rpc.RetryInfo";

// Errors travel in HTTP/2 trailers, of which peers accept 8 KiB; so what an error quotes is bounded where it is made.
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxMetadataValueBytes = 2048;

// The length of the well-formed UTF-8 sequence at the front of `text`; 0 when there is none. RFC 3629.
size_t SequenceLength(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    return 1;
  }
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : lead >= 0xE0 && lead <= 0xEF ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  if (length == 0 || text.size() < length) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xED && byte(1) > 0x9F;
  const bool too_large = lead == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || too_large ? 0 : length;
}

// `text` as valid UTF-8 of at most about `max_bytes`. A proto string that is not valid cannot be parsed by the
// receiver, and messages quote what users send.
std::string Presentable(std::string_view text, size_t max_bytes) {
  std::string result;
  result.reserve(std::min(text.size(), max_bytes));
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (result.size() + length > max_bytes) {
      absl::StrAppend(&result, "...");
      break;
    }
    if (length == 0) {
      result.push_back('?');
      text.remove_prefix(1);
    } else {
      result.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return result;
}

google::rpc::RetryInfo ToRetryInfo(absl::Duration delay) {
  absl::Duration rest;
  const int64_t seconds = absl::IDivDuration(delay, absl::Seconds(1), &rest);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(seconds);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return retry;
}

template <typename Message>
std::optional<Message> PayloadOf(const absl::Status& status, std::string_view url) {
  const std::optional<absl::Cord> payload = status.GetPayload(url);
  Message message;
  if (!payload.has_value() || !message.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return message;
}

// Of a view: gcc, which built Abseil, and clang name the constructor that takes a string differently.
absl::Cord ToCord(std::string_view bytes) { return absl::Cord(bytes); }

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view message, ErrorInfo info) {
  CHECK(code != absl::StatusCode::kOk) << "An error needs a code: " << info.reason;
  google::rpc::ErrorInfo proto;
  proto.set_domain(info.domain);
  proto.set_reason(info.reason);
  for (const auto& [key, value] : info.metadata) {
    (*proto.mutable_metadata())[key] = Presentable(value, kMaxMetadataValueBytes);
  }
  absl::Status status(code, Presentable(message, kMaxMessageBytes));
  status.SetPayload(kErrorInfoUrl, ToCord(proto.SerializeAsString()));
  if (info.retry_after.has_value()) {
    status.SetPayload(kRetryInfoUrl, ToCord(ToRetryInfo(*info.retry_after).SerializeAsString()));
  }
  return status;
}

std::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status) {
  const auto proto = PayloadOf<google::rpc::ErrorInfo>(status, kErrorInfoUrl);
  if (!proto.has_value()) {
    return std::nullopt;
  }
  ErrorInfo info{.domain = proto->domain(), .reason = proto->reason()};
  info.metadata.insert(proto->metadata().begin(), proto->metadata().end());
  if (const auto retry = PayloadOf<google::rpc::RetryInfo>(status, kRetryInfoUrl)) {
    info.retry_after = absl::Seconds(retry->retry_delay().seconds()) + absl::Nanoseconds(retry->retry_delay().nanos());
  }
  return info;
}

std::string ReasonOf(const absl::Status& status) {
  const auto proto = PayloadOf<google::rpc::ErrorInfo>(status, kErrorInfoUrl);
  return proto.has_value() ? proto->reason() : "";
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) {
    return status;
  }
  absl::Status result(status.code(), Presentable(absl::StrCat(prefix, ": ", status.message()), kMaxMessageBytes));
  status.ForEachPayload(
      [&result](std::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

}  // namespace bulkhead
