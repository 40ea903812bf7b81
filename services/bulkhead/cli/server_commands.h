// The command that is the server, and those about its configuration.
#ifndef SERVICES_BULKHEAD_CLI_SERVER_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_SERVER_COMMANDS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/agent/agent.h"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/interrupt.h"
#include "services/common/config/environment.h"
#include "services/tool/tool.h"

namespace bulkhead::cli {

// What a program has beside the built-in agents and tools.
struct Additions {
  std::vector<agent::AgentFactory> agents;
  std::vector<std::shared_ptr<tool::Tool>> tools;
};

struct ServerOptions {
  std::string config_file;             // "" for none.
  std::vector<std::string> overrides;  // "section.field=value"
  std::string data_dir;                // "" takes the configured one.
  std::string listen;                  // "" takes the configured one.
  std::string admin_login;             // "" for nobody.
  bool log_calls = false;              // Each call of a service on standard error.
  Additions additions;
};

// Runs until it is interrupted, which is a success. DEADLINE_EXCEEDED `AGENTS_HOLD_THREADS` when agents did not give
// their threads back: the process should end at once then.
absl::Status Serve(Console& console, const Interrupt& interrupt, const config::Environment& environment,
                   const ServerOptions& options);

// OK when the configuration holds together; else every violation.
absl::Status CheckConfig(Console& console, const config::Environment& environment, const ServerOptions& options);

// Each setting, its value, and which layer set it.
absl::Status ExplainConfig(Console& console, const config::Environment& environment, const ServerOptions& options);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_SERVER_COMMANDS_H_
