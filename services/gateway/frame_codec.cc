#include "services/gateway/frame_codec.h"

#include <optional>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "google/protobuf/json/json.h"
#include "services/common/status/error.h"
#include "services/gateway/http_message.h"

namespace bulkhead::gateway {
namespace {

constexpr uint32_t kVersion = 1;

}  // namespace

std::optional<FrameFormat> ChooseFormat(std::string_view offered) {
  for (std::string_view protocol : absl::StrSplit(offered, ',')) {
    protocol = absl::StripAsciiWhitespace(protocol);
    if (protocol == kJsonProtocol) {
      return FrameFormat::kJson;
    }
    if (protocol == kProtoProtocol) {
      return FrameFormat::kProto;
    }
  }
  return std::nullopt;
}

std::string_view ProtocolName(FrameFormat format) {
  return format == FrameFormat::kJson ? kJsonProtocol : kProtoProtocol;
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::json::PrintOptions options;
  options.unquote_int64_if_possible = true;  // Browsers compare sequence numbers.
  std::string json;
  const absl::Status status = google::protobuf::json::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    // Only a Struct with NaN, or a Timestamp out of range, gets here: services refuse both.
    ABSL_LOG(ERROR) << message.GetTypeName() << " has no JSON form: " << status;
    return "{}";
  }
  return json;
}

absl::Status FromJson(std::string_view json, google::protobuf::Message* message) {
  const absl::Status status = google::protobuf::json::JsonStringToMessage(json, message);
  if (status.ok()) {
    return absl::OkStatus();
  }
  return GatewayError(absl::StatusCode::kInvalidArgument, "JSON_INVALID",
                      absl::StrCat("not the JSON of a ", message->GetDescriptor()->name(), ": ", status.message()),
                      {{"message", std::string(message->GetTypeName())}});
}

absl::Status DecodeFrame(FrameFormat format, bool is_text, std::string_view data, notifier::v1::ClientFrame* frame) {
  if (is_text != (format == FrameFormat::kJson)) {
    return GatewayError(absl::StatusCode::kInvalidArgument, "FRAME_INVALID",
                        absl::StrCat(ProtocolName(format), " has ", is_text ? "binary" : "text", " frames only"));
  }
  if (format == FrameFormat::kProto) {
    return frame->ParseFromString(data) ? absl::OkStatus()
                                        : GatewayError(absl::StatusCode::kInvalidArgument, "FRAME_INVALID",
                                                       "the frame is no binary ClientFrame");
  }
  const absl::Status parsed = FromJson(data, frame);
  return parsed.ok() ? parsed : GatewayError(absl::StatusCode::kInvalidArgument, "FRAME_INVALID", parsed.message());
}

std::string EncodeFrame(FrameFormat format, notifier::v1::ServerFrame frame) {
  frame.set_version(kVersion);
  return format == FrameFormat::kJson ? ToJson(frame) : frame.SerializeAsString();
}

notifier::v1::ErrorFrame ToErrorFrame(std::string_view id, const absl::Status& error) {
  notifier::v1::ErrorFrame frame;
  frame.set_id(std::string(id));
  frame.set_code(std::string(StatusCodeName(error.code())));
  frame.mutable_error()->set_message(std::string(error.message()));
  if (std::optional<ErrorInfo> info = ErrorInfoOf(error); info.has_value()) {
    frame.mutable_error()->set_reason(info->reason);
    frame.mutable_error()->set_domain(info->domain);
    frame.mutable_error()->mutable_metadata()->insert(info->metadata.begin(), info->metadata.end());
  }
  return frame;
}

}  // namespace bulkhead::gateway
