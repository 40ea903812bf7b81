#include "services/notifier/event_log.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/notifier/event_conversion.h"

namespace bulkhead::notifier {
namespace {

constexpr char kDomain[] = "bulkhead.notifier";

// Events lie in the order of their arrival, whichever stream they belong to: appending touches the end of one tree, and
// the oldest are its front.
constexpr std::string_view kSchema = R"sql(
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  ended INTEGER NOT NULL
);
CREATE TABLE events (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  stream INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  append_time INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX events_by_stream ON events (stream, sequence);
)sql";

// Events that one transaction of the trimming removes: writers wait for it no longer than for a commit.
constexpr int64_t kTrimBatch = 500;

struct Stream {
  int64_t id = 0;
  uint64_t first = 1;
  uint64_t last = 0;
  bool ended = false;
};

absl::StatusOr<std::optional<Stream>> FindStream(storage::Connection& connection, std::string_view name,
                                                 std::string_view owner) {
  std::optional<Stream> stream;
  RETURN_IF_ERROR(connection.Query("SELECT id, first, last, ended FROM streams WHERE name = ? AND owner = ?",
                                   {std::string(name), std::string(owner)}, [&](const storage::Row& row) {
                                     stream = Stream{.id = row.Int(0),
                                                     .first = static_cast<uint64_t>(row.Int(1)),
                                                     .last = static_cast<uint64_t>(row.Int(2)),
                                                     .ended = row.Int(3) != 0};
                                     return absl::OkStatus();
                                   }));
  return stream;
}

absl::StatusOr<Stream> FindOrAddStream(storage::Connection& connection, const EventRecord& event) {
  ASSIGN_OR_RETURN(std::optional<Stream> stream, FindStream(connection, event.stream, event.owner));
  if (stream.has_value()) {
    return *stream;
  }
  RETURN_IF_ERROR(connection
                      .Execute("INSERT INTO streams (owner, name, first, last, ended) VALUES (?, ?, 1, 0, 0)",
                               {event.owner, event.stream})
                      .status());
  return Stream{.id = connection.last_insert_id()};
}

// Whether an event that is not after the stream's last is the one that is there.
absl::Status CheckDuplicate(storage::Connection& connection, const Stream& stream, const EventRecord& event) {
  if (event.sequence < stream.first) {
    return absl::OkStatus();  // Trimmed; nobody can tell any more.
  }
  std::string present;
  RETURN_IF_ERROR(connection.Query("SELECT event_id FROM events WHERE stream = ? AND sequence = ?",
                                   {stream.id, static_cast<int64_t>(event.sequence)}, [&](const storage::Row& row) {
                                     present = row.Text(0);
                                     return absl::OkStatus();
                                   }));
  if (present == event.event_id) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kAlreadyExists,
      absl::StrCat("event ", event.sequence, " of ", event.stream, " is '", present, "', not '", event.event_id, "'"),
      {.domain = kDomain,
       .reason = "EVENT_CONFLICT",
       .metadata = {{"stream", event.stream},
                    {"sequence", absl::StrCat(event.sequence)},
                    {"present", present},
                    {"got", event.event_id}}});
}

absl::Status SequenceGap(const EventRecord& event, uint64_t expected) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat("the next event of ", event.stream, " has number ", expected, ", not ", event.sequence),
      {.domain = kDomain,
       .reason = "EVENT_SEQUENCE_GAP",
       .metadata = {
           {"stream", event.stream}, {"expected", absl::StrCat(expected)}, {"got", absl::StrCat(event.sequence)}}});
}

absl::Status StreamEnded(const EventRecord& event, uint64_t last) {
  return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat(event.stream, " has ended with event ", last),
                   {.domain = kDomain,
                    .reason = "EVENT_STREAM_ENDED",
                    .metadata = {{"stream", event.stream}, {"last", absl::StrCat(last)}}});
}

absl::Status StreamNotFound(std::string_view stream) {
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no stream '", stream, "'"),
                   {.domain = kDomain, .reason = "STREAM_NOT_FOUND", .metadata = {{"stream", std::string(stream)}}});
}

// Appends one event unless it is there. True when it was new.
absl::StatusOr<bool> Append(storage::Connection& connection, int64_t now, Stream& stream, const EventRecord& event) {
  if (event.sequence <= stream.last) {
    RETURN_IF_ERROR(CheckDuplicate(connection, stream, event));
    return false;
  }
  if (stream.ended) {
    return StreamEnded(event, stream.last);
  }
  if (event.sequence != stream.last + 1) {
    return SequenceGap(event, stream.last + 1);
  }
  RETURN_IF_ERROR(
      connection
          .Execute("INSERT INTO events (stream, sequence, append_time, event_id, body) VALUES (?, ?, ?, ?, ?)",
                   {stream.id, static_cast<int64_t>(event.sequence), now, event.event_id, storage::Blob{event.bytes}})
          .status());
  stream.last = event.sequence;
  stream.ended = event.terminal;
  return true;
}

absl::StatusOr<std::vector<EventPtr>> AppendAll(storage::Connection& connection, int64_t now,
                                                const std::vector<EventPtr>& events) {
  std::map<std::string_view, Stream> streams;
  std::vector<EventPtr> appended;
  for (const EventPtr& event : events) {
    auto stream = streams.find(event->stream);
    if (stream == streams.end()) {
      ASSIGN_OR_RETURN(Stream found, FindOrAddStream(connection, *event));
      stream = streams.emplace(event->stream, found).first;
    }
    ASSIGN_OR_RETURN(bool added, Append(connection, now, stream->second, *event));
    if (added) {
      appended.push_back(event);
    }
  }
  for (const auto& [name, stream] : streams) {
    RETURN_IF_ERROR(connection
                        .Execute("UPDATE streams SET last = ?, ended = ? WHERE id = ?",
                                 {static_cast<int64_t>(stream.last), int64_t{stream.ended}, stream.id})
                        .status());
  }
  return appended;
}

// Removes up to kTrimBatch of the oldest events.
absl::StatusOr<int64_t> TrimBatch(storage::Connection& connection, int64_t before) {
  int64_t end = 0;    // After the last position to remove.
  bool kept = false;  // Times of appending may go back with the clock: what follows an event that stays, stays.
  std::map<int64_t, int64_t> first;  // The first sequence that remains, by stream.
  RETURN_IF_ERROR(
      connection.Query("SELECT position, stream, sequence, append_time FROM events ORDER BY position LIMIT ?",
                       {kTrimBatch}, [&](const storage::Row& row) {
                         kept = kept || row.Int(3) >= before;
                         if (!kept) {
                           end = row.Int(0) + 1;
                           first[row.Int(1)] = row.Int(2) + 1;
                         }
                         return absl::OkStatus();
                       }));
  for (const auto& [stream, sequence] : first) {
    RETURN_IF_ERROR(connection.Execute("UPDATE streams SET first = ? WHERE id = ?", {sequence, stream}).status());
  }
  return connection.Execute("DELETE FROM events WHERE position < ?", {end});
}

}  // namespace

EventLog::EventLog(std::unique_ptr<storage::Database> database, const Clock* clock)
    : database_(std::move(database)), clock_(clock) {}

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Create(Options options, const Clock* clock) {
  storage::Database::Options database_options;
  database_options.path = std::move(options.path);
  database_options.migrations = {{.name = "events", .statements = kSchema}};
  ASSIGN_OR_RETURN(auto database, storage::Database::Open(std::move(database_options)));
  return std::unique_ptr<EventLog>(new EventLog(std::move(database), clock));
}

absl::StatusOr<LogPage> EventLog::Reader::Read(std::string_view stream, uint64_t after, PageLimits limits) const {
  absl::StatusOr<std::string> owner = OwnerOfStream(stream);
  if (!owner.ok() || *owner != user_) {
    return StreamNotFound(stream);
  }
  LogPage page;
  RETURN_IF_ERROR(log_->database_->Read([&](storage::Connection& connection) -> absl::Status {
    page = LogPage();  // A read may be tried again.
    ASSIGN_OR_RETURN(std::optional<Stream> found, FindStream(connection, stream, user_));
    if (!found.has_value()) {
      return absl::OkStatus();
    }
    page.first = found->first;
    page.last = found->last;
    page.ended = found->ended;
    if (after >= found->last) {
      return absl::OkStatus();
    }
    size_t bytes = 0;
    bool full = false;
    // One more than the limit is asked for, to know whether there is more.
    return connection.Query(
        "SELECT sequence, event_id, body FROM events WHERE stream = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        {found->id, static_cast<int64_t>(after), static_cast<int64_t>(limits.events + 1)},
        [&](const storage::Row& row) {
          full = full || page.events.size() == limits.events;
          page.more = page.more || full;
          if (full) {
            return absl::OkStatus();
          }
          auto event = std::make_shared<EventRecord>();
          event->stream = std::string(stream);
          event->owner = user_;
          event->sequence = static_cast<uint64_t>(row.Int(0));
          event->event_id = row.Text(1);
          event->terminal = found->ended && event->sequence == found->last;
          event->bytes = row.Blob(2);
          bytes += event->size();
          full = bytes >= limits.bytes;
          page.events.push_back(std::move(event));
          return absl::OkStatus();
        });
  }));
  return page;
}

Awaitable<absl::StatusOr<std::vector<EventPtr>>> EventLog::AppendAcrossUsers(std::vector<EventPtr> events) {
  // Shared: the writer may outlive a coroutine that is destroyed while it waits.
  auto appended = std::make_shared<std::vector<EventPtr>>();
  const int64_t now = absl::ToUnixMicros(clock_->Now());
  CO_RETURN_IF_ERROR(co_await database_->Write(
      [events = std::move(events), appended, now](storage::Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(*appended, AppendAll(connection, now, events));
        return absl::OkStatus();
      }));
  co_return std::move(*appended);
}

Awaitable<absl::StatusOr<int64_t>> EventLog::TrimAcrossUsers(absl::Time time) {
  const int64_t before = absl::ToUnixMicros(time);
  int64_t total = 0;
  while (true) {
    auto removed = std::make_shared<int64_t>(0);
    CO_RETURN_IF_ERROR(co_await database_->Write([before, removed](storage::Connection& connection) -> absl::Status {
      ASSIGN_OR_RETURN(*removed, TrimBatch(connection, before));
      return absl::OkStatus();
    }));
    total += *removed;
    if (*removed < kTrimBatch) {
      co_return total;
    }
  }
}

}  // namespace bulkhead::notifier
