// SIGINT and SIGTERM as a stop token.
#ifndef SERVICES_BULKHEAD_CLI_INTERRUPT_H_
#define SERVICES_BULKHEAD_CLI_INTERRUPT_H_

#include <memory>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/bulkhead/cli/exit_code.h"

namespace bulkhead::cli {

// One a process. Make it before any other thread: threads inherit that the signals are blocked, and one thread waits
// for them. The first signal requests the stop; the second ends the process at once, with code 130, for a shutdown that
// hangs.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const;
  bool requested() const { return token().stop_requested(); }
  // Blocks until the first signal.
  void Wait() const;
  // Ends the process with `code` unless it has ended by itself when `limit` of real time is over.
  void EndProcessAfter(absl::Duration limit, ExitCode code) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// CANCELLED `INTERRUPTED`.
absl::Status InterruptedError();

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_INTERRUPT_H_
