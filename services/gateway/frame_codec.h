// WebSocket frames as JSON text or as binary protobuf, by the subprotocol.
#ifndef SERVICES_GATEWAY_FRAME_CODEC_H_
#define SERVICES_GATEWAY_FRAME_CODEC_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace google::protobuf {
class Message;
}
namespace bulkhead::notifier::v1 {
class ClientFrame;
class ErrorFrame;
class ServerFrame;
}  // namespace bulkhead::notifier::v1

namespace bulkhead::gateway {

enum class FrameFormat { kJson, kProto };

inline constexpr std::string_view kJsonProtocol = "bulkhead.v1.json";
inline constexpr std::string_view kProtoProtocol = "bulkhead.v1.proto";

// What `offered` (the value of Sec-WebSocket-Protocol, in the order of the client's preference) has that we speak.
std::optional<FrameFormat> ChooseFormat(std::string_view offered);
std::string_view ProtocolName(FrameFormat format);

// INVALID_ARGUMENT `FRAME_INVALID` when `data` is no ClientFrame, or came as text where binary was due or the other way
// round.
absl::Status DecodeFrame(FrameFormat format, bool is_text, std::string_view data, notifier::v1::ClientFrame* frame);
// Sets the version.
std::string EncodeFrame(FrameFormat format, notifier::v1::ServerFrame frame);

// `error` as clients see it; `id` is that of the client's frame, or "".
notifier::v1::ErrorFrame ToErrorFrame(std::string_view id, const absl::Status& error);

// The one way that the gateway writes JSON: 64-bit integers as numbers, fields without a value left out.
std::string ToJson(const google::protobuf::Message& message);
// INVALID_ARGUMENT `JSON_INVALID` when it is no JSON of that message.
absl::Status FromJson(std::string_view json, google::protobuf::Message* message);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_FRAME_CODEC_H_
