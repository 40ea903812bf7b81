// The command that is the server, and those about its configuration.
#ifndef SERVICES_BULKHEAD_CLI_SERVER_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_SERVER_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/interrupt.h"
#include "services/common/config/environment.h"

namespace bulkhead::cli {

struct ServerOptions {
  std::string config_file;             // "" for none.
  std::vector<std::string> overrides;  // "section.field=value"
  std::string data_dir;                // "" takes the configured one.
  std::string listen;                  // "" takes the configured one.
  std::string admin_login;             // "" for nobody.
};

// Runs until it is interrupted, which is a success.
absl::Status Serve(Console& console, const Interrupt& interrupt, const config::Environment& environment,
                   const ServerOptions& options);

// OK when the configuration holds together; else every violation.
absl::Status CheckConfig(Console& console, const config::Environment& environment, const ServerOptions& options);

// Each setting, its value, and which layer set it.
absl::Status ExplainConfig(Console& console, const config::Environment& environment, const ServerOptions& options);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_SERVER_COMMANDS_H_
