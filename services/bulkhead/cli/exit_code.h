// What the program tells its caller when it ends. docs/cli.md is the reference.
#ifndef SERVICES_BULKHEAD_CLI_EXIT_CODE_H_
#define SERVICES_BULKHEAD_CLI_EXIT_CODE_H_

#include "absl/status/status.h"

namespace bulkhead::cli {

enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,        // It was tried and did not work: a run that did not succeed, a refused request, a full disk.
  kUsage = 2,         // The command line, the configuration or an input is wrong; nothing was done.
  kUnreachable = 3,   // No server answers.
  kDenied = 4,        // Not signed in, or not permitted.
  kNotFound = 5,      // No such run, tool or file.
  kHeld = 6,          // The server was told to stop, and did not end in good order: agents held threads.
  kInterrupted = 130  // By SIGINT or SIGTERM, where that is not the normal way to end.
};

ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_EXIT_CODE_H_
