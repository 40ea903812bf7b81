#include "services/notifier/hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::notifier {
namespace {

// What a subscriber that reads the log holds at most, about.
constexpr PageLimits kReplayPage = {.events = 200, .bytes = 256 * 1024};

absl::Status CursorAhead(std::string_view stream, uint64_t after, uint64_t last) {
  return MakeError(absl::StatusCode::kOutOfRange,
                   absl::StrCat("the cursor ", after, " is ahead of ", stream, ", whose last event is ", last),
                   {.domain = "bulkhead.notifier",
                    .reason = "CURSOR_AHEAD",
                    .metadata = {{"stream", std::string(stream)}, {"last", absl::StrCat(last)}}});
}

}  // namespace

Subscription::Subscription(EventLog::Reader reader, Start start)
    : reader_(std::move(reader)), start_(std::move(start)), cursor_(start_.after) {}

absl::Status Subscription::Begin() {
  ASSIGN_OR_RETURN(LogPage page, reader_.Read(start_.stream, start_.after, {.events = 0}));
  if (start_.after > page.last) {
    return CursorAhead(start_.stream, start_.after, page.last);
  }
  replay_end_ = page.last;
  ended_ = page.ended && page.last == cursor_;
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<std::optional<Delivery>>> Subscription::Next() {
  while (true) {
    if (!replay_ended_ && cursor_ >= replay_end_) {
      replay_ended_ = true;
      TryGoLive();
      co_return Delivery(ReplayEnd{.sequence = cursor_});
    }
    if (ended_) {
      co_return std::nullopt;
    }
    EventPtr event;
    if (!page_.empty()) {
      event = std::move(page_.front());
      page_.pop_front();
    } else {
      switch (Take(event)) {
        case Turn::kClosed:
          co_return std::nullopt;
        case Turn::kWait:
          co_await Wait();
          continue;
        case Turn::kBehind: {
          if (replay_ended_ && TryGoLive()) {
            continue;
          }
          std::optional<Delivery> gap;
          CO_RETURN_IF_ERROR(ReadPage(gap));
          if (gap.has_value()) {
            co_return gap;
          }
          continue;
        }
        case Turn::kEvent:
          break;
      }
    }
    if (event->transient()) {
      co_return Delivery(std::move(event));
    }
    if (event->sequence <= cursor_) {
      continue;  // Read from the log before it was published.
    }
    if (event->sequence > cursor_ + 1) {
      FallBehind();  // Published before the one in between, which the log has.
      continue;
    }
    cursor_ = event->sequence;
    ended_ = event->terminal;
    co_return Delivery(std::move(event));
  }
}

absl::Status Subscription::ReadPage(std::optional<Delivery>& gap) {
  ASSIGN_OR_RETURN(LogPage page, reader_.Read(start_.stream, cursor_, kReplayPage));
  if (page.first > cursor_ + 1) {
    cursor_ = page.first - 1;
    gap = Delivery(LogGap{.first_available = page.first});
  }
  ended_ = page.ended && page.last == cursor_;
  std::move(page.events.begin(), page.events.end(), std::back_inserter(page_));
  return absl::OkStatus();
}

void Subscription::Offer(const EventPtr& event) {
  absl::AnyInvocable<void(bool)> waker;
  {
    absl::MutexLock lock(mutex_);
    if (!event->transient()) {
      published_ = std::max(published_, event->sequence);
    }
    if (closed_ || !live_ || (event->transient() && start_.durable_only)) {
      return;
    }
    if (queued_bytes_ + event->size() > start_.queue_bytes && !event->transient()) {
      std::erase_if(queue_, [this](const EventPtr& queued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        if (queued->transient()) {
          queued_bytes_ -= queued->size();
        }
        return queued->transient();
      });
    }
    if (queued_bytes_ + event->size() <= start_.queue_bytes) {
      queued_bytes_ += event->size();
      queue_.push_back(event);
    } else if (!event->transient()) {
      live_ = false;
      queue_.clear();
      queued_bytes_ = 0;
    }
    waker = std::exchange(waker_, nullptr);
  }
  if (waker) {
    waker(true);
  }
}

Subscription::Turn Subscription::Take(EventPtr& event) {
  absl::MutexLock lock(mutex_);
  if (closed_) {
    return Turn::kClosed;
  }
  if (!live_) {
    return Turn::kBehind;
  }
  if (queue_.empty()) {
    return Turn::kWait;
  }
  event = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= event->size();
  return Turn::kEvent;
}

void Subscription::FallBehind() {
  absl::MutexLock lock(mutex_);
  live_ = false;
  queue_.clear();
  queued_bytes_ = 0;
}

bool Subscription::TryGoLive() {
  absl::MutexLock lock(mutex_);
  live_ = published_ <= cursor_;
  return live_;
}

Awaitable<void> Subscription::Wait() {
  co_await AwaitCallback<bool>([this](absl::AnyInvocable<void(bool)> done) {
    {
      absl::MutexLock lock(mutex_);
      if (!closed_ && live_ && queue_.empty()) {
        waker_ = std::move(done);
        return;
      }
    }
    done(true);  // Something came in between.
  });
}

void Subscription::Close() {
  absl::AnyInvocable<void(bool)> waker;
  {
    absl::MutexLock lock(mutex_);
    closed_ = true;
    waker = std::exchange(waker_, nullptr);
  }
  if (waker) {
    waker(true);
  }
}

absl::StatusOr<std::shared_ptr<Subscription>> Hub::Subscribe(std::string user, std::string stream,
                                                             SubscribeOptions options) {
  std::shared_ptr<Subscription> subscription(
      new Subscription(log_->For(std::move(user)), {.stream = stream,
                                                    .after = options.after,
                                                    .durable_only = options.durable_only,
                                                    .queue_bytes = options_.queue_bytes}),
      [this, stream](Subscription* dropped) {
        delete dropped;
        Forget(stream);
      });
  // Known to the hub first, then reading the log: what is appended in between is seen by both, and delivered once.
  bool closed = false;
  {
    absl::MutexLock lock(mutex_);
    closed = closed_;
    streams_[stream].push_back(subscription);
  }
  if (closed) {
    subscription->Close();
  }
  RETURN_IF_ERROR(subscription->Begin());
  return subscription;
}

std::vector<std::shared_ptr<Subscription>> Hub::ListenersOf(const std::string& stream) {
  std::vector<std::shared_ptr<Subscription>> result;
  absl::MutexLock lock(mutex_);
  auto found = streams_.find(stream);
  if (found == streams_.end()) {
    return result;
  }
  for (const std::weak_ptr<Subscription>& listener : found->second) {
    if (std::shared_ptr<Subscription> subscription = listener.lock()) {
      result.push_back(std::move(subscription));
    }
  }
  return result;
}

void Hub::Forget(const std::string& stream) {
  absl::MutexLock lock(mutex_);
  auto found = streams_.find(stream);
  if (found == streams_.end()) {
    return;
  }
  std::erase_if(found->second, [](const auto& listener) { return listener.expired(); });
  if (found->second.empty()) {
    streams_.erase(found);
  }
}

void Hub::Publish(const std::vector<EventPtr>& events) {
  for (const EventPtr& event : events) {
    for (const std::shared_ptr<Subscription>& subscription : ListenersOf(event->stream)) {
      subscription->Offer(event);
    }
  }
}

void Hub::Close() {
  std::vector<std::shared_ptr<Subscription>> all;
  {
    absl::MutexLock lock(mutex_);
    closed_ = true;
    for (const auto& [stream, listeners] : streams_) {
      for (const std::weak_ptr<Subscription>& listener : listeners) {
        if (std::shared_ptr<Subscription> subscription = listener.lock()) {
          all.push_back(std::move(subscription));
        }
      }
    }
  }
  for (const std::shared_ptr<Subscription>& subscription : all) {
    subscription->Close();
  }
}

size_t Hub::subscriptions() const {
  absl::MutexLock lock(mutex_);
  size_t count = 0;
  for (const auto& [stream, listeners] : streams_) {
    count += static_cast<size_t>(
        std::count_if(listeners.begin(), listeners.end(), [](const auto& listener) { return !listener.expired(); }));
  }
  return count;
}

}  // namespace bulkhead::notifier
