#include <unistd.h>

#include <cstdio>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "services/bulkhead/cli/command_line.h"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/interrupt.h"
#include "services/common/config/environment.h"

int main(int argc, char** argv) {
  using bulkhead::config::Environment;
  // Before any other thread.
  const bulkhead::cli::Interrupt interrupt;
  // The only place that reads the process's variables.
  const Environment environment = Environment::FromEnviron(environ);
  absl::InitializeLog();
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kWarning);
  // `bazel run` starts programs in a folder of its own, and says where the user is.
  if (const auto folder = environment.Find("BUILD_WORKING_DIRECTORY");
      folder.has_value() && chdir(folder->c_str()) != 0) {
    std::perror(folder->c_str());
    return static_cast<int>(bulkhead::cli::ExitCode::kUsage);
  }
  bulkhead::cli::Console console(stdout, stderr);
  console.set_colour(isatty(STDOUT_FILENO) != 0 && !environment.Find("NO_COLOR").has_value());
  return static_cast<int>(bulkhead::cli::RunCommandLine(argc, argv, environment, console, interrupt));
}
