#include "services/common/runtime/executor.h"

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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
  bool AwaitZero(absl::Duration limit) const {
    absl::MutexLock lock(mutex_);
    auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return count_ == 0; };
    return mutex_.AwaitWithTimeout(absl::Condition(&none), limit);
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

struct Executor::State {
  explicit State(Options o)
      : options(std::move(o)),
        context(std::make_unique<boost::asio::io_context>(options.threads)),
        work(boost::asio::make_work_guard(*context)) {}

  const Options options;
  const std::shared_ptr<ActiveCount> active = std::make_shared<ActiveCount>();
  std::unique_ptr<boost::asio::io_context> context;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::vector<std::thread> threads;
};

std::unique_ptr<Executor> Executor::Create(Options options) {
  ABSL_CHECK_GE(options.threads, 1);
  auto state = std::make_unique<State>(std::move(options));
  for (int i = 0; i < state->options.threads; ++i) {
    // noexcept: what a posted function throws ends the process where it was thrown.
    state->threads.emplace_back([context = state->context.get()]() noexcept { context->run(); });
  }
  return std::unique_ptr<Executor>(new Executor(std::move(state)));
}

Executor::Executor(std::unique_ptr<State> state) : state_(std::move(state)) {}

Executor::~Executor() {
  state_->work.reset();
  state_->context->stop();
  for (std::thread& thread : state_->threads) {
    thread.join();
  }
  if (size_t left = state_->active->count(); left > 0) {
    ABSL_LOG(ERROR) << "Executor '" << state_->options.name << "' ended with " << left << " coroutines suspended";
    // Whoever holds their callbacks may still call them, which needs the context.
    static_cast<void>(state_->context.release());
  }
}

boost::asio::any_io_executor Executor::get() const { return state_->context->get_executor(); }

void Executor::Spawn(Awaitable<void> coroutine) {
  boost::asio::co_spawn(*state_->context, std::move(coroutine),
                        [token = ActiveToken(state_->active)](std::exception_ptr exception) {
                          if (exception != nullptr) {
                            Die(exception);
                          }
                        });
}

void Executor::Post(absl::AnyInvocable<void() &&> function) {
  boost::asio::post(*state_->context, [function = std::move(function)]() mutable { std::move(function)(); });
}

absl::Status Executor::Drain(absl::Duration limit) {
  if (state_->active->AwaitZero(limit)) {
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
  explicit State(int threads) : pool(threads) {}
  boost::asio::thread_pool pool;
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
