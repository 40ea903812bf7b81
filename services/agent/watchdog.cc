#include "services/agent/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_log.h"
#include "absl/synchronization/mutex.h"
#include "boost/asio/post.hpp"
#include "services/common/time/real_time.h"

namespace bulkhead::agent {
namespace {

// How often is looked whether a thread is free; what all wait at most when agents take the last one, with the moment after it.
constexpr absl::Duration kPulse = absl::Milliseconds(250);
// How often strands are asked whose agents may hold their threads for ever: threads that were added are taken back sometime.
constexpr absl::Duration kLongest = absl::Seconds(30);
// How often is looked while no thread is free, and after Release.
constexpr absl::Duration kMoment = absl::Milliseconds(100);

// Memory of this process that is in use; 0 where the system doesn't tell.
int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// A sign of life that is waited for.
class Question {
 public:
  // Unless the last one is still open.
  static void Ask(const std::shared_ptr<Question>& question, const boost::asio::any_io_executor& executor) {
    if (!question->open_.exchange(true)) {
      boost::asio::post(executor, [question] { question->open_ = false; });
    }
  }
  bool open() const { return open_; }

 private:
  std::atomic<bool> open_ = false;
};

}  // namespace

struct Watchdog::Watched::Strand {
  boost::asio::any_io_executor executor;
  std::string name;
  std::function<void(const Report&)> on_unresponsive;
  std::atomic<bool> gone = false;
  // Of the watching thread alone.
  const std::shared_ptr<Question> question = std::make_shared<Question>();
  bool reported = false;
  bool replaced = false;  // By a thread that was added.
};

struct Watchdog::State {
  using Strands = std::vector<std::shared_ptr<Watched::Strand>>;

  State(absl::Duration l, Executor* e) : limit(l), executor(e) {}

  void Run() {
    while (true) {
      bool released;
      {
        absl::MutexLock lock(mutex);
        const bool was = releasing;
        auto changed = [this, was]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return closing || releasing != was; };
        mutex.AwaitWithTimeout(absl::Condition(&changed), Interval());
        if (closing) {
          break;
        }
        released = releasing;
      }
      Look(released);
    }
    // Threads that agents hold for ever keep their replacements.
  }

  absl::Duration Interval() const ABSL_SHARED_LOCKS_REQUIRED(mutex) {
    if (releasing || pressed) {
      return kMoment;
    }
    return limit > absl::ZeroDuration() ? std::min(limit, kPulse) : kPulse;
  }

  void Look(bool released) {
    if (!IsFree()) {
      return;
    }
    const absl::Time now = RealNow();
    if (released || now - strands_asked >= (limit > absl::ZeroDuration() ? limit : kLongest)) {
      strands_asked = now;
      LookAtStrands(released);
    }
  }

  // Whether the executor has a thread that is not held. One is added when it has not.
  bool IsFree() {
    const uint64_t steps = executor->steps();
    const bool moved = steps != std::exchange(last_steps, steps);
    if (pulse->open()) {
      // Nobody has come to the question yet: all threads are held, or they have much to do. Held are all when none has done anything since the
      // last look, a moment ago. With one thread more, those that are only waiting will answer.
      if (std::exchange(pressed, true) && !moved) {
        starved += AddThread();
      }
      return false;
    }
    pressed = false;
    Question::Ask(pulse, executor->get());
    return true;
  }

  void LookAtStrands(bool released) {
    if (question->open()) {
      return;  // They have not had their turn.
    }
    // Those that had no thread to answer on get another limit.
    const bool reports = !released && starved == 0 && limit > absl::ZeroDuration();
    const int64_t resident = ResidentBytes();
    const Report report{.grown_bytes = resident - asked_resident};
    for (const std::shared_ptr<Watched::Strand>& strand : Watching()) {
      const bool held = strand->question->open();
      if (held && !strand->replaced) {
        strand->replaced = AddThread();
      } else if (!held && strand->replaced) {
        executor->RemoveThread();
        strand->replaced = false;
      }
      if (held && reports && !strand->reported) {
        strand->reported = true;
        strand->on_unresponsive(report);
      }
      Question::Ask(strand->question, strand->executor);
    }
    // Each strand that holds a thread has a thread in its place by now.
    for (; starved > 0; --starved) {
      executor->RemoveThread();
    }
    asked_resident = resident;
    // After the strands: when this one is answered, theirs have had their turn.
    Question::Ask(question, executor->get());
  }

  // Those that are still there; a thread is taken back from those that are not.
  Strands Watching() {
    absl::MutexLock lock(mutex);
    std::erase_if(strands, [this](const std::shared_ptr<Watched::Strand>& strand) {
      if (!strand->gone) {
        return false;
      }
      if (strand->replaced) {
        executor->RemoveThread();
      }
      return true;
    });
    return strands;
  }

  bool AddThread() {
    const bool added = executor->AddThread();
    if (!added && !std::exchange(exhausted, true)) {
      ABSL_LOG(ERROR) << "agents hold more threads than can be added: other runs wait until one is free";
    }
    exhausted = !added;
    return added;
  }

  const absl::Duration limit;
  Executor* const executor;
  mutable absl::Mutex mutex;
  bool closing ABSL_GUARDED_BY(mutex) = false;
  bool releasing ABSL_GUARDED_BY(mutex) = false;
  Strands strands ABSL_GUARDED_BY(mutex);
  // Of the watching thread alone.
  const std::shared_ptr<Question> pulse = std::make_shared<Question>();     // To the executor itself.
  const std::shared_ptr<Question> question = std::make_shared<Question>();  // The same, after all strands were asked.
  bool exhausted = false;                                                   // No more threads could be added.
  bool pressed = false;                                                     // It was not answered at the last look.
  uint64_t last_steps = 0;                                                  // Of the executor at the last look.
  int starved = 0;  // Threads added because none was free to answer it.
  absl::Time strands_asked = RealNow();
  int64_t asked_resident = 0;  // The process's memory when the questions were asked.
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
}

Watchdog::Watched Watchdog::Watch(boost::asio::any_io_executor strand, std::string name,
                                  std::function<void(const Report&)> on_unresponsive) {
  auto watched = std::make_shared<Watched::Strand>();
  watched->executor = std::move(strand);
  watched->name = std::move(name);
  watched->on_unresponsive = std::move(on_unresponsive);
  absl::MutexLock lock(state_->mutex);
  state_->strands.push_back(watched);
  return Watched(std::move(watched));
}

void Watchdog::Release() {
  absl::MutexLock lock(state_->mutex);
  state_->releasing = true;
}

std::vector<std::string> Watchdog::Holders(absl::Duration limit) const {
  struct Answers {
    absl::Mutex mutex;
    size_t missing ABSL_GUARDED_BY(mutex) = 0;
  };
  struct Asked {
    std::shared_ptr<Watched::Strand> strand;
    std::shared_ptr<std::atomic<bool>> answered = std::make_shared<std::atomic<bool>>(false);
  };
  auto answers = std::make_shared<Answers>();
  std::vector<Asked> all;
  {
    absl::MutexLock lock(state_->mutex);
    for (const std::shared_ptr<Watched::Strand>& strand : state_->strands) {
      if (!strand->gone) {
        all.push_back({.strand = strand});
      }
    }
  }
  {
    absl::MutexLock lock(answers->mutex);
    answers->missing = all.size();
  }
  for (const Asked& asked : all) {
    boost::asio::post(asked.strand->executor, [answers, answered = asked.answered] {
      *answered = true;
      absl::MutexLock lock(answers->mutex);
      --answers->missing;
    });
  }
  {
    auto none = [&answers]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return answers->missing == 0; };
    absl::MutexLock lock(answers->mutex);
    answers->mutex.AwaitWithTimeout(absl::Condition(&none), limit);
  }
  std::vector<std::string> holders;
  for (const Asked& asked : all) {
    if (!*asked.answered && !asked.strand->gone) {
      holders.push_back(asked.strand->name);
    }
  }
  return holders;
}

}  // namespace bulkhead::agent
