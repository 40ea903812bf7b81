#include "services/bulkhead/cli/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_check.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "services/common/status/error.h"
#include "services/common/time/real_time.h"

namespace bulkhead::cli {

struct Interrupt::State {
  std::stop_source stop;
  absl::Notification requested;
  int signals = -1;  // A signalfd.
  int ended = -1;    // An eventfd.
  int limited = -1;  // Another one: there is a limit now.
  absl::Mutex mutex;
  absl::Time limit ABSL_GUARDED_BY(mutex) = absl::InfiniteFuture();
  ExitCode code_at_limit ABSL_GUARDED_BY(mutex) = ExitCode::kFailed;
  std::thread waiter;

  // Of poll: -1 for ever. Ends the process when the limit is over.
  int MillisecondsLeft() {
    absl::MutexLock lock(mutex);
    if (limit == absl::InfiniteFuture()) {
      return -1;
    }
    const absl::Duration left = limit - RealNow();
    if (left <= absl::ZeroDuration()) {
      std::fputs("The shutdown does not end: agents hold too many threads. What runs goes on at the next start.\n", stderr);
      _exit(static_cast<int>(code_at_limit));
    }
    return static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
  }

  void Run() {
    bool first = true;
    while (true) {
      pollfd files[] = {{.fd = signals, .events = POLLIN, .revents = 0},
                        {.fd = ended, .events = POLLIN, .revents = 0},
                        {.fd = limited, .events = POLLIN, .revents = 0}};
      if (poll(files, 3, MillisecondsLeft()) < 0) {
        continue;  // EINTR.
      }
      if (uint64_t times; (files[2].revents & POLLIN) != 0 && read(limited, &times, sizeof(times)) < 0) {
        continue;
      }
      if ((files[1].revents & POLLIN) != 0) {
        return;
      }
      signalfd_siginfo info;
      if ((files[0].revents & POLLIN) == 0 || read(signals, &info, sizeof(info)) != sizeof(info)) {
        continue;
      }
      if (!first) {
        _exit(130);
      }
      first = false;
      stop.request_stop();
      requested.Notify();
    }
  }
};

Interrupt::Interrupt() : state_(std::make_unique<State>()) {
  // A reader that has gone shows as an error of the write.
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  ABSL_CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  state_->signals = signalfd(-1, &set, SFD_CLOEXEC);
  state_->ended = eventfd(0, EFD_CLOEXEC);
  state_->limited = eventfd(0, EFD_CLOEXEC);
  ABSL_CHECK(state_->signals >= 0 && state_->ended >= 0 && state_->limited >= 0);
  state_->waiter = std::thread([state = state_.get()] { state->Run(); });
}

Interrupt::~Interrupt() {
  const uint64_t one = 1;
  ABSL_CHECK_EQ(write(state_->ended, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  state_->waiter.join();
  close(state_->signals);
  close(state_->ended);
  close(state_->limited);
}

std::stop_token Interrupt::token() const { return state_->stop.get_token(); }

void Interrupt::Wait() const { state_->requested.WaitForNotification(); }

void Interrupt::EndProcessAfter(absl::Duration limit, ExitCode code) const {
  {
    absl::MutexLock lock(state_->mutex);
    state_->limit = RealDeadline(limit);
    state_->code_at_limit = code;
  }
  const uint64_t one = 1;
  ABSL_CHECK_EQ(write(state_->limited, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
}

absl::Status InterruptedError() {
  return MakeError(absl::StatusCode::kCancelled, "interrupted", {.domain = "bulkhead.cli", .reason = "INTERRUPTED"});
}

}  // namespace bulkhead::cli
