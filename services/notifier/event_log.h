// The durable log of events: append-only, one gapless sequence a stream, trimmed from its old end.
#ifndef SERVICES_NOTIFIER_EVENT_LOG_H_
#define SERVICES_NOTIFIER_EVENT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"
#include "services/notifier/event_record.h"

namespace bulkhead::notifier {

// A piece of a stream, and what is known of the whole, from one snapshot.
struct LogPage {
  std::vector<EventPtr> events;
  bool more = false;   // The stream goes on after `events`.
  uint64_t first = 1;  // The first event that there is; last + 1 when there is none.
  uint64_t last = 0;   // The last event ever appended; 0 when there was none.
  bool ended = false;  // `last` is terminal.
};

struct PageLimits {
  size_t events = 100;
  size_t bytes = 1 << 20;  // The page ends with the event that reaches it.
};

// Thread-safe.
class EventLog {
 public:
  struct Options {
    std::string path;  // "" keeps it in memory, for tests.
  };

  // `clock` outlives the log.
  static absl::StatusOr<std::unique_ptr<EventLog>> Create(Options options, const Clock* clock);

  // The events of one user: the only way to read.
  class Reader {
   public:
    // Events of `stream` after `after`. An unknown stream of the user is an empty one: its run may just have been
    // created. NOT_FOUND `STREAM_NOT_FOUND` when the stream is not the user's, or not the name of a stream.
    absl::StatusOr<LogPage> Read(std::string_view stream, uint64_t after, PageLimits limits) const;

   private:
    friend class EventLog;
    Reader(EventLog* log, std::string user) : log_(log), user_(std::move(user)) {}
    EventLog* log_;
    std::string user_;
  };
  Reader For(std::string user) { return Reader(this, std::move(user)); }

  // Appends durable events, all or none, in one transaction that others share. Returns those that were new, in order;
  // an event that is there already (same stream, sequence and event_id) is skipped, also when it has been trimmed
  // since.
  //
  // FAILED_PRECONDITION `EVENT_SEQUENCE_GAP` (metadata `stream`, `expected`, `got`), `EVENT_STREAM_ENDED` (its last
  // event is terminal); ALREADY_EXISTS `EVENT_CONFLICT` (another event has that number).
  Awaitable<absl::StatusOr<std::vector<EventPtr>>> AppendAcrossUsers(std::vector<EventPtr> events);

  // Removes events that were appended before `time`. Returns how many. Streams keep their numbers.
  Awaitable<absl::StatusOr<int64_t>> TrimAcrossUsers(absl::Time time);

 private:
  EventLog(std::unique_ptr<storage::Database> database, const Clock* clock);

  const std::unique_ptr<storage::Database> database_;
  const Clock* const clock_;
};

}  // namespace bulkhead::notifier

#endif  // SERVICES_NOTIFIER_EVENT_LOG_H_
