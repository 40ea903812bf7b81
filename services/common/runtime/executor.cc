#include "services/common/runtime/executor.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/no_destructor.h"
#include "absl/base/thread_annotations.h"
#include "absl/log/absl_check.h"
#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/thread_pool.hpp"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

constexpr size_t kMaxAddedThreads = 32;
// How long an added thread waits for work before it looks whether it shall end.
constexpr std::chrono::milliseconds kSlice(50);
// How long the destructor waits for threads that are held. Real time.
constexpr absl::Duration kHeldLimit = absl::Seconds(2);

// How many spawned coroutines there are. Shared with them, since the last may be destroyed after its executor.
class ActiveCount {
 public:
  void Add(int change) {
    absl::MutexLock lock(mutex_);
    count_ += change;
  }
  size_t count() const {
    absl::MutexLock lock(mutex_);
    return count_;
  }
  bool AwaitAtMost(size_t wanted, absl::Duration limit) const {
    absl::MutexLock lock(mutex_);
    auto reached = [this, wanted]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return count_ <= wanted; };
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), limit);
  }

 private:
  mutable absl::Mutex mutex_;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Counts one coroutine for as long as it lives, however it ends.
class ActiveToken {
 public:
  explicit ActiveToken(std::shared_ptr<ActiveCount> count) : count_(std::move(count)) { count_->Add(1); }
  ActiveToken(ActiveToken&&) noexcept = default;
  ActiveToken& operator=(ActiveToken&&) = delete;
  ~ActiveToken() {
    if (count_ != nullptr) {
      count_->Add(-1);
    }
  }

 private:
  std::shared_ptr<ActiveCount> count_;
};

// State that nobody owns and somebody may still use. Static so that it is not a leak in the eyes of those who look for leaks.
void KeepForEver(std::shared_ptr<void> state) {
  struct Kept {
    absl::Mutex mutex;
    std::vector<std::shared_ptr<void>> all ABSL_GUARDED_BY(mutex);
  };
  static absl::NoDestructor<Kept> kept;
  absl::MutexLock lock(kept->mutex);
  kept->all.push_back(std::move(state));
}

[[noreturn]] void Die(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    ABSL_LOG(FATAL) << "An exception left a coroutine: " << e.what();
  } catch (...) {
    ABSL_LOG(FATAL) << "An exception of an unknown type left a coroutine";
  }
}

}  // namespace

// Owned by its threads as well: one that is held outlives the executor.
struct Executor::State : std::enable_shared_from_this<Executor::State> {
  explicit State(Options o)
      : options(std::move(o)), context(options.threads), work(boost::asio::make_work_guard(context)) {}

  // `added`: one that RemoveThread may end.
  void StartThread(bool added) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    ++running;
    // noexcept: what a posted function throws ends the process where it was thrown.
    threads.emplace_back([self = shared_from_this(), added]() noexcept {
      if (added) {
        self->RunWhileWanted();
      } else {
        while (self->context.run_one() > 0) {
          ++self->steps;
        }
      }
      absl::MutexLock lock(self->mutex);
      --self->running;
      self->ended.insert(std::this_thread::get_id());
    });
  }

  void RunWhileWanted() {
    while (!context.stopped()) {
      const bool worked = context.run_one_for(kSlice) > 0;
      steps += worked;
      absl::MutexLock lock(mutex);
      if (surplus > 0) {
        --surplus;
        return;
      }
    }
  }

  // Joins the threads that have ended.
  void Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::erase_if(threads, [this](std::thread& thread) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (ended.erase(thread.get_id()) == 0) {
        return false;
      }
      thread.join();  // It has nothing left to do but to let go of the lock, if that.
      return true;
    });
  }

  const Options options;
  const std::shared_ptr<ActiveCount> active = std::make_shared<ActiveCount>();
  std::atomic<uint64_t> steps = 0;
  boost::asio::io_context context;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  absl::Mutex mutex;
  std::vector<std::thread> threads ABSL_GUARDED_BY(mutex);
  std::set<std::thread::id> ended ABSL_GUARDED_BY(mutex);
  size_t running ABSL_GUARDED_BY(mutex) = 0;
  size_t added ABSL_GUARDED_BY(mutex) = 0;    // Wanted beyond options.threads.
  size_t surplus ABSL_GUARDED_BY(mutex) = 0;  // Added ones that shall end.
};

std::unique_ptr<Executor> Executor::Create(Options options) {
  ABSL_CHECK_GE(options.threads, 1);
  auto state = std::make_shared<State>(std::move(options));
  absl::MutexLock lock(state->mutex);
  for (int i = 0; i < state->options.threads; ++i) {
    state->StartThread(/*added=*/false);
  }
  return std::unique_ptr<Executor>(new Executor(state));
}

Executor::Executor(std::shared_ptr<State> state) : state_(std::move(state)) {}

Executor::~Executor() {
  state_->work.reset();
  state_->context.stop();
  size_t held = 0;
  {
    auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(state_->mutex) { return state_->running == 0; };
    absl::MutexLock lock(state_->mutex);
    state_->mutex.AwaitWithTimeout(absl::Condition(&none), kHeldLimit);
    state_->Collect();
    held = state_->threads.size();
    for (std::thread& thread : state_->threads) {
      thread.detach();
    }
    state_->threads.clear();
  }
  if (held > 0) {
    ABSL_LOG(ERROR) << "Executor '" << state_->options.name << "' leaves " << held << " threads behind that are held";
  }
  const size_t left = state_->active->count();
  if (left > 0) {
    ABSL_LOG(ERROR) << "Executor '" << state_->options.name << "' ended with " << left << " coroutines suspended";
  }
  if (left > 0 || held > 0) {
    // Whoever holds their callbacks may still call them, which needs the context.
    KeepForEver(state_);
  }
}

uint64_t Executor::steps() const { return state_->steps; }

boost::asio::any_io_executor Executor::get() const { return state_->context.get_executor(); }

bool Executor::AddThread() {
  absl::MutexLock lock(state_->mutex);
  state_->Collect();
  if (state_->added == kMaxAddedThreads) {
    return false;
  }
  ++state_->added;
  if (state_->surplus > 0) {
    --state_->surplus;  // One that was to end stays.
  } else {
    state_->StartThread(/*added=*/true);
  }
  return true;
}

void Executor::RemoveThread() {
  absl::MutexLock lock(state_->mutex);
  ABSL_CHECK_GT(state_->added, size_t{0});
  --state_->added;
  ++state_->surplus;
}

void Executor::Spawn(Awaitable<void> coroutine) {
  boost::asio::co_spawn(state_->context, std::move(coroutine),
                        [token = ActiveToken(state_->active)](std::exception_ptr exception) {
                          if (exception != nullptr) {
                            Die(exception);
                          }
                        });
}

void Executor::Post(absl::AnyInvocable<void() &&> function) {
  boost::asio::post(state_->context, [function = std::move(function)]() mutable { std::move(function)(); });
}

absl::Status Executor::Drain(absl::Duration limit, size_t held) {
  if (state_->active->AwaitAtMost(held, limit)) {
    return absl::OkStatus();
  }
  std::string left = absl::StrCat(state_->active->count());
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat("executor '", state_->options.name, "' still has ", left, " coroutines after ",
                                absl::FormatDuration(limit)),
                   {.domain = "bulkhead.runtime",
                    .reason = "EXECUTOR_BUSY",
                    .metadata = {{"executor", state_->options.name}, {"coroutines", left}}});
}

size_t Executor::active() const { return state_->active->count(); }

struct BlockingPool::State {
  struct Lane {
    std::deque<absl::AnyInvocable<void() &&>> waiting;
    int running = 0;
  };

  explicit State(int threads) : threads(threads), pool(threads) {}

  // Puts work that waits onto threads that are free.
  void Dispatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    while (running < threads) {
      auto next = NextLane();
      if (next == lanes.end()) {
        return;
      }
      absl::AnyInvocable<void() &&> function = std::move(next->second.waiting.front());
      next->second.waiting.pop_front();
      ++next->second.running;
      ++running;
      last = next->first;
      boost::asio::post(pool, [this, lane = next->first, function = std::move(function)]() mutable {
        std::move(function)();
        function = nullptr;
        absl::MutexLock lock(mutex);
        auto done = lanes.find(lane);
        if (--done->second.running == 0 && done->second.waiting.empty()) {
          lanes.erase(done);
        }
        --running;
        Dispatch();
      });
    }
  }

  // The one after the last that had a turn, of those that may have one.
  std::map<std::string, Lane, std::less<>>::iterator NextLane() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const int share = (threads + 1) / 2;
    auto lane = lanes.upper_bound(last);
    for (size_t i = 0; i < lanes.size(); ++i, ++lane) {
      if (lane == lanes.end()) {
        lane = lanes.begin();
      }
      if (!lane->second.waiting.empty() && lane->second.running < share) {
        return lane;
      }
    }
    return lanes.end();
  }

  const int threads;
  boost::asio::thread_pool pool;
  absl::Mutex mutex;
  std::map<std::string, Lane, std::less<>> lanes ABSL_GUARDED_BY(mutex);  // That work or wait.
  std::string last ABSL_GUARDED_BY(mutex);
  int running ABSL_GUARDED_BY(mutex) = 0;
};

std::unique_ptr<BlockingPool> BlockingPool::Create(int threads) {
  ABSL_CHECK_GE(threads, 1);
  return std::unique_ptr<BlockingPool>(new BlockingPool(std::make_unique<State>(threads)));
}

BlockingPool::BlockingPool(std::unique_ptr<State> state) : state_(std::move(state)) {}

BlockingPool::~BlockingPool() { state_->pool.join(); }

void BlockingPool::Post(absl::AnyInvocable<void() &&> function) {
  boost::asio::post(state_->pool, [function = std::move(function)]() mutable { std::move(function)(); });
}

void BlockingPool::PostIn(std::string_view lane, absl::AnyInvocable<void() &&> function) {
  absl::MutexLock lock(state_->mutex);
  state_->lanes[std::string(lane)].waiting.push_back(std::move(function));
  state_->Dispatch();
}

namespace {

// One sleep: the first of timer and stop request decides, and the coroutine resumes once.
class Sleep {
 public:
  // Called once. The timer is set before anybody can be resumed, so that the resumed coroutine may cancel it.
  void Start(Clock::TimerId timer, absl::AnyInvocable<void(absl::Status)> done) {
    absl::Status result;
    {
      absl::MutexLock lock(mutex_);
      timer_ = timer;
      if (!result_.has_value()) {
        done_ = std::move(done);
        return;
      }
      result = *result_;
    }
    done(std::move(result));
  }

  void Finish(absl::Status result) {
    absl::AnyInvocable<void(absl::Status)> done;
    {
      absl::MutexLock lock(mutex_);
      if (result_.has_value()) {
        return;
      }
      result_ = result;
      done = std::move(done_);
    }
    if (done) {
      done(std::move(result));
    }
  }

  Clock::TimerId timer() const {
    absl::MutexLock lock(mutex_);
    return timer_;
  }

 private:
  mutable absl::Mutex mutex_;
  Clock::TimerId timer_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> result_ ABSL_GUARDED_BY(mutex_);
  absl::AnyInvocable<void(absl::Status)> done_ ABSL_GUARDED_BY(mutex_);
};

absl::Status WaitCancelled() {
  return MakeError(absl::StatusCode::kCancelled, "the wait was cancelled",
                   {.domain = "bulkhead.runtime", .reason = "WAIT_CANCELLED"});
}

}  // namespace

Awaitable<absl::Status> SleepUntil(Clock* clock, absl::Time when, std::stop_token stop) {
  if (stop.stop_requested()) {
    co_return WaitCancelled();
  }
  auto sleep = std::make_shared<Sleep>();
  // The timer alone owns the sleep, and the coroutine through it: a clock that dies lets go of both.
  std::weak_ptr<Sleep> waiting = sleep;
  std::stop_callback on_stop(stop, [waiting] {
    if (std::shared_ptr<Sleep> sleep = waiting.lock()) {
      sleep->Finish(WaitCancelled());
    }
  });
  absl::Status result = co_await AwaitCallback<absl::Status>(
      [clock, when, owned = std::move(sleep)](absl::AnyInvocable<void(absl::Status)> done) mutable {
        std::shared_ptr<Sleep> sleep = std::move(owned);
        Clock::TimerId timer = clock->CallAt(when, [sleep] { sleep->Finish(absl::OkStatus()); });
        sleep->Start(timer, std::move(done));
      });
  if (!result.ok()) {
    if (std::shared_ptr<Sleep> sleep = waiting.lock()) {
      clock->Cancel(sleep->timer());
    }
  }
  co_return result;
}

}  // namespace bulkhead
