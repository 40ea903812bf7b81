#include "services/bulkhead/cli/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <thread>

#include "absl/log/absl_check.h"
#include "absl/synchronization/notification.h"
#include "services/common/status/error.h"

namespace bulkhead::cli {

struct Interrupt::State {
  std::stop_source stop;
  absl::Notification requested;
  int signals = -1;  // A signalfd.
  int ended = -1;    // An eventfd.
  std::thread waiter;

  void Run() {
    bool first = true;
    while (true) {
      pollfd files[] = {{.fd = signals, .events = POLLIN, .revents = 0}, {.fd = ended, .events = POLLIN, .revents = 0}};
      if (poll(files, 2, -1) < 0) {
        continue;  // EINTR.
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
  ABSL_CHECK(state_->signals >= 0 && state_->ended >= 0);
  state_->waiter = std::thread([state = state_.get()] { state->Run(); });
}

Interrupt::~Interrupt() {
  const uint64_t one = 1;
  ABSL_CHECK_EQ(write(state_->ended, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  state_->waiter.join();
  close(state_->signals);
  close(state_->ended);
}

std::stop_token Interrupt::token() const { return state_->stop.get_token(); }

void Interrupt::Wait() const { state_->requested.WaitForNotification(); }

absl::Status InterruptedError() {
  return MakeError(absl::StatusCode::kCancelled, "interrupted", {.domain = "bulkhead.cli", .reason = "INTERRUPTED"});
}

}  // namespace bulkhead::cli
