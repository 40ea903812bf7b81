// An event as the log keeps it and subscribers get it: made once, then shared.
#ifndef SERVICES_NOTIFIER_EVENT_RECORD_H_
#define SERVICES_NOTIFIER_EVENT_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace bulkhead::notifier {

struct EventRecord {
  std::string stream;     // users/{user}/runs/{run}
  std::string owner;      // {user}
  uint64_t sequence = 0;  // 0: transient.
  std::string event_id;
  bool terminal = false;  // The last of its stream.
  std::string bytes;      // The whole Event, serialized.

  bool transient() const { return sequence == 0; }
  // What it costs in a queue.
  size_t size() const { return sizeof(EventRecord) + stream.size() + owner.size() + event_id.size() + bytes.size(); }
};

using EventPtr = std::shared_ptr<const EventRecord>;

}  // namespace bulkhead::notifier

#endif  // SERVICES_NOTIFIER_EVENT_RECORD_H_
