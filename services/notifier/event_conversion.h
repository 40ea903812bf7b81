// From and to the proto Event, with all that an event must satisfy to enter the log.
#ifndef SERVICES_NOTIFIER_EVENT_CONVERSION_H_
#define SERVICES_NOTIFIER_EVENT_CONVERSION_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/notifier/event_record.h"

namespace bulkhead::notifier {

namespace v1 {
class Event;
}

// The largest event, serialized.
inline constexpr size_t kMaxEventBytes = 256 * 1024;

// The {user} of users/{user}/runs/{run}. INVALID_ARGUMENT `EVENT_INVALID` for any other form.
absl::StatusOr<std::string> OwnerOfStream(std::string_view stream);

// Checks and serializes. INVALID_ARGUMENT `EVENT_INVALID` (metadata `field`, `stream`, `event_id`) unless: the stream
// is a run's; user and run agree with it; event_id has 1 to 128 bytes; the time is set; one payload is set, and `type`
// is its name; the sequence is given exactly if the type is durable; the whole is at most kMaxEventBytes.
absl::StatusOr<EventRecord> ParseEvent(const v1::Event& event);

// What ParseEvent serialized. DATA_LOSS `EVENT_CORRUPT`.
absl::Status ToProto(const EventRecord& record, v1::Event* event);

}  // namespace bulkhead::notifier

#endif  // SERVICES_NOTIFIER_EVENT_CONVERSION_H_
