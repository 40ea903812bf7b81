// Live delivery: hands appended events to subscribers, and joins the log and what is live without a gap or a duplicate.
#ifndef SERVICES_NOTIFIER_HUB_H_
#define SERVICES_NOTIFIER_HUB_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/common/runtime/awaitable.h"
#include "services/notifier/event_log.h"
#include "services/notifier/event_record.h"

namespace bulkhead::notifier {

// Events between the cursor and this one are gone.
struct LogGap {
  uint64_t first_available = 0;
};

// What was in the log at subscription has been delivered, up to this one.
struct ReplayEnd {
  uint64_t sequence = 0;
};

using Delivery = std::variant<EventPtr, LogGap, ReplayEnd>;

// One subscriber of one stream.
//
// It stands in one of two modes. Behind: it reads the log from its cursor, page by page, and ignores what is published.
// Live: what is published goes into its queue. It begins behind, becomes live when it has read all that was published,
// and falls behind again when its queue would exceed its bytes. So the log is the buffer of a slow reader, and a
// durable event is never lost. Transient events are only delivered live.
//
// Thread-safe, except that Next has one caller at a time.
class Subscription {
 public:
  // The next thing to deliver; waits for it. Nullopt when the stream has ended and all was delivered, or after Close.
  Awaitable<absl::StatusOr<std::optional<Delivery>>> Next();

  // Ends the subscription: Next returns. Idempotent.
  void Close();

 private:
  friend class Hub;
  struct Start {
    std::string stream;
    uint64_t after = 0;
    bool durable_only = false;
    size_t queue_bytes = 0;
  };
  enum class Turn { kEvent, kWait, kBehind, kClosed };

  Subscription(EventLog::Reader reader, Start start);

  // From the hub.
  void Offer(const EventPtr& event);
  // Checks the cursor against the log. To be called once the hub knows the subscription, before Next.
  absl::Status Begin();

  Turn Take(EventPtr& event);
  void FallBehind();
  // False when something was published that has not been read. What is not in the log at the end of the replay gets
  // published later, or has been.
  bool TryGoLive();
  absl::Status ReadPage(std::optional<Delivery>& gap);
  Awaitable<void> Wait();
  void Wake();

  const EventLog::Reader reader_;
  const Start start_;

  // Of Next alone.
  uint64_t cursor_;          // The last durable event delivered.
  uint64_t replay_end_ = 0;  // The log's last event at subscription.
  bool replay_ended_ = false;
  bool ended_ = false;  // Nothing comes after the cursor.
  std::deque<EventPtr> page_;

  absl::Mutex mutex_;
  bool live_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t published_ ABSL_GUARDED_BY(mutex_) = 0;  // The last durable event that was offered.
  std::deque<EventPtr> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::AnyInvocable<void(bool)> waker_ ABSL_GUARDED_BY(mutex_);
};

// Knows who listens to what. Thread-safe.
class Hub {
 public:
  struct Options {
    size_t queue_bytes = 1 << 20;  // Of each subscriber.
  };
  struct SubscribeOptions {
    uint64_t after = 0;
    bool durable_only = false;
  };

  // `log` outlives the hub.
  Hub(Options options, EventLog* log) : options_(options), log_(log) {}

  // Subscribes `user` to `stream`. The subscription lasts until it is dropped, which must be before the hub dies.
  // NOT_FOUND `STREAM_NOT_FOUND`; OUT_OF_RANGE `CURSOR_AHEAD` (metadata `stream`, `last`) when `after` is behind the
  // log's end.
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(std::string user, std::string stream,
                                                          SubscribeOptions options);

  // To be called with durable events once the log has them, and with transient ones.
  void Publish(const std::vector<EventPtr>& events);

  // Closes all subscriptions; new ones begin closed.
  void Close();

  // Subscriptions that live; for tests and metrics.
  size_t subscriptions() const;

 private:
  using Listeners = std::vector<std::weak_ptr<Subscription>>;

  std::vector<std::shared_ptr<Subscription>> ListenersOf(const std::string& stream);
  // Drops the listeners of `stream` that are gone.
  void Forget(const std::string& stream);

  const Options options_;
  EventLog* const log_;
  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Listeners> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::notifier

#endif  // SERVICES_NOTIFIER_HUB_H_
