#include "services/agent/watchdog.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/synchronization/mutex.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"

namespace bulkhead::agent {
namespace {

// Beyond these the platform is lost anyway: it wants a restart, and better agents.
constexpr size_t kMaxExtraThreads = 32;
// How long an extra thread works before it looks whether it shall end.
constexpr std::chrono::milliseconds kSlice(50);

// An answer that is waited for: true until it has come.
using Question = std::shared_ptr<std::atomic<bool>>;

Question Ask(const boost::asio::any_io_executor& executor) {
  auto question = std::make_shared<std::atomic<bool>>(true);
  boost::asio::post(executor, [question] { question->store(false); });
  return question;
}

bool IsOpen(const Question& question) { return question != nullptr && question->load(); }

}  // namespace

struct Watchdog::Watched::Strand {
  boost::asio::any_io_executor executor;
  std::function<void()> on_unresponsive;
  std::atomic<bool> gone = false;
  // Of the watching thread alone.
  Question question;
  bool reported = false;
};

struct Watchdog::State {
  State(absl::Duration l, Executor* e) : limit(l), executor(e) {}

  void Run() {
    while (true) {
      {
        absl::MutexLock lock(mutex);
        auto ends = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return closing; };
        if (mutex.AwaitWithTimeout(absl::Condition(&ends), limit)) {
          return;
        }
      }
      Look();
    }
  }

  void Look() {
    if (IsOpen(question)) {
      // No thread is free to answer. With one more, those that are only waiting will.
      AddThread();
      return;
    }
    std::vector<std::shared_ptr<Watched::Strand>> all;
    {
      absl::MutexLock lock(mutex);
      std::erase_if(strands, [](const auto& strand) { return strand->gone.load(); });
      all = strands;
    }
    for (const std::shared_ptr<Watched::Strand>& strand : all) {
      if (strand->reported) {
        continue;
      }
      if (IsOpen(strand->question)) {
        strand->reported = true;
        AddThread();
        strand->on_unresponsive();
      } else {
        strand->question = Ask(strand->executor);
      }
    }
    // After the strands: when this one is answered, theirs have had their turn.
    question = Ask(executor->get());
  }

  void AddThread() {
    auto* io = executor->get().target<boost::asio::io_context::executor_type>();
    if (io == nullptr || extra.size() == kMaxExtraThreads) {
      ABSL_LOG(ERROR) << "agents hold " << extra.size() << " threads, and no more are added";
      return;
    }
    // noexcept, as the executor's own: what a posted function throws ends the process where it was thrown.
    extra.emplace_back([this, context = &io->context()]() noexcept {
      while (!ending.load() && !context->stopped()) {
        context->run_for(kSlice);
      }
    });
  }

  const absl::Duration limit;
  Executor* const executor;
  absl::Mutex mutex;
  bool closing ABSL_GUARDED_BY(mutex) = false;
  std::vector<std::shared_ptr<Watched::Strand>> strands ABSL_GUARDED_BY(mutex);
  Question question;  // To the executor itself. Of the watching thread alone, as the next.
  std::vector<std::thread> extra;
  std::atomic<bool> ending = false;
  std::thread thread;
};

Watchdog::Watched::~Watched() {
  if (strand_ != nullptr) {
    strand_->gone = true;
  }
}

Watchdog::Watchdog(absl::Duration limit, Executor* executor) : state_(std::make_unique<State>(limit, executor)) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

Watchdog::~Watchdog() {
  {
    absl::MutexLock lock(state_->mutex);
    state_->closing = true;
  }
  state_->thread.join();
  state_->ending = true;
  for (std::thread& thread : state_->extra) {
    thread.join();
  }
}

Watchdog::Watched Watchdog::Watch(boost::asio::any_io_executor strand, std::function<void()> on_unresponsive) {
  auto watched = std::make_shared<Watched::Strand>();
  watched->executor = std::move(strand);
  watched->on_unresponsive = std::move(on_unresponsive);
  absl::MutexLock lock(state_->mutex);
  state_->strands.push_back(watched);
  return Watched(std::move(watched));
}

}  // namespace bulkhead::agent
