#include "services/notifier/event_conversion.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "services/common/ids/id_generator.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::notifier {
namespace {

constexpr char kDomain[] = "bulkhead.notifier";
constexpr size_t kMaxEventIdBytes = 128;

absl::Status Invalid(const v1::Event& event, std::string_view field, std::string_view why) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("event '", event.event_id(), "': ", field, " ", why),
      {.domain = kDomain,
       .reason = "EVENT_INVALID",
       .metadata = {{"field", std::string(field)}, {"stream", event.stream()}, {"event_id", event.event_id()}}});
}

bool IsTransient(v1::Event::PayloadCase payload) {
  return payload == v1::Event::kToolProgress || payload == v1::Event::kModelDelta;
}

bool IsTerminal(v1::Event::PayloadCase payload) {
  return payload == v1::Event::kAgentCompleted || payload == v1::Event::kAgentFailed ||
         payload == v1::Event::kAgentCancelled;
}

}  // namespace

absl::StatusOr<std::string> OwnerOfStream(std::string_view stream) {
  const std::vector<std::string_view> parts = absl::StrSplit(stream, '/');
  if (parts.size() != 4 || parts[0] != "users" || parts[2] != "runs" || !ValidateId("user", parts[1]).ok() ||
      !ValidateId("run", parts[3]).ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("'", stream, "' is no stream: it has the form users/{user}/runs/{run}"),
                     {.domain = kDomain,
                      .reason = "EVENT_INVALID",
                      .metadata = {{"field", "stream"}, {"stream", std::string(stream)}}});
  }
  return std::string(parts[1]);
}

absl::StatusOr<EventRecord> ParseEvent(const v1::Event& event) {
  ASSIGN_OR_RETURN(std::string owner, OwnerOfStream(event.stream()));
  if (event.user() != absl::StrCat("users/", owner)) {
    return Invalid(event, "user", "is not the owner of the stream");
  }
  if (event.run() != event.stream()) {
    return Invalid(event, "run", "is not the run of the stream");
  }
  if (event.event_id().empty() || event.event_id().size() > kMaxEventIdBytes) {
    return Invalid(event, "event_id", "must have 1 to 128 bytes");
  }
  if (!event.has_time()) {
    return Invalid(event, "time", "must be set");
  }
  if (event.payload_case() == v1::Event::PAYLOAD_NOT_SET) {
    return Invalid(event, "payload", "must be set to one that this version knows");
  }
  const auto* payload = v1::Event::descriptor()->FindFieldByNumber(static_cast<int>(event.payload_case()));
  if (event.type() != payload->name()) {
    return Invalid(event, "type", absl::StrCat("must be '", payload->name(), "', the name of the payload"));
  }
  if (IsTransient(event.payload_case()) != (event.sequence() == 0)) {
    return Invalid(event, "sequence",
                   event.sequence() == 0 ? "must be given to a durable event" : "must be 0 in a transient event");
  }
  EventRecord record{.stream = event.stream(),
                     .owner = std::move(owner),
                     .sequence = event.sequence(),
                     .event_id = event.event_id(),
                     .terminal = IsTerminal(event.payload_case())};
  if (!event.SerializeToString(&record.bytes)) {
    return Invalid(event, "payload", "cannot be serialized");
  }
  if (record.bytes.size() > kMaxEventBytes) {
    return Invalid(event, "payload", absl::StrCat("is too large: the whole event may have ", kMaxEventBytes, " bytes"));
  }
  return record;
}

absl::Status ToProto(const EventRecord& record, v1::Event* event) {
  if (event->ParseFromString(record.bytes)) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kDataLoss,
                   absl::StrCat("event ", record.sequence, " of ", record.stream, " cannot be read"),
                   {.domain = kDomain,
                    .reason = "EVENT_CORRUPT",
                    .metadata = {{"stream", record.stream}, {"sequence", absl::StrCat(record.sequence)}}});
}

}  // namespace bulkhead::notifier
