#include "services/bulkhead/program.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "services/bulkhead/cli/command_line.h"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/exit_code.h"
#include "services/bulkhead/cli/interrupt.h"
#include "services/common/config/environment.h"

namespace bulkhead {

int RunProgram(int argc, char** argv, cli::Additions additions) {
  // Before any other thread.
  const cli::Interrupt interrupt;
  // The only place that reads the process's variables.
  const config::Environment environment = config::Environment::FromEnviron(environ);
  absl::InitializeLog();
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kWarning);
  // `bazel run` starts programs in a folder of its own, and says where the user is.
  if (const auto folder = environment.Find("BUILD_WORKING_DIRECTORY");
      folder.has_value() && chdir(folder->c_str()) != 0) {
    std::perror(folder->c_str());
    return static_cast<int>(cli::ExitCode::kUsage);
  }
  cli::Console console(stdout, stderr);
  console.set_colour(isatty(STDOUT_FILENO) != 0 && !environment.Find("NO_COLOR").has_value());
  const cli::ExitCode code = cli::RunCommandLine(argc, argv, environment, console, interrupt, std::move(additions));
  if (code == cli::ExitCode::kHeld) {
    std::fflush(nullptr);
    _exit(static_cast<int>(code));
  }
  return static_cast<int>(code);
}

}  // namespace bulkhead
