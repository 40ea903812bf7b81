// The commands that bring their own platform.
#ifndef SERVICES_BULKHEAD_CLI_LOCAL_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_LOCAL_COMMANDS_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/interrupt.h"

namespace bulkhead::cli {

struct DemoOptions {
  std::string data_dir;               // "" takes a temporary one.
  std::string out = "bulkhead-demo";  // Where the reports go, a folder a user.
  std::string listen = "127.0.0.1:0";
  bool keep = false;  // Stay until interrupted.
};

struct AnalyzeOptions {
  std::string file;
  std::string question;
  std::string out;  // "" takes "<name of the file>-report".
};

// Two users, one agent each, at once. FAILED_PRECONDITION `RUN_NOT_SUCCEEDED` when one of the runs failed.
absl::Status Demo(Console& console, const Interrupt& interrupt, const DemoOptions& options);

// One file, one run, one report.
absl::Status Analyze(Console& console, const Interrupt& interrupt, const AnalyzeOptions& options);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_LOCAL_COMMANDS_H_
