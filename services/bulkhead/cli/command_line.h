// The program's command line. docs/cli.md is the reference.
#ifndef SERVICES_BULKHEAD_CLI_COMMAND_LINE_H_
#define SERVICES_BULKHEAD_CLI_COMMAND_LINE_H_

#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/exit_code.h"
#include "services/bulkhead/cli/interrupt.h"
#include "services/bulkhead/cli/server_commands.h"
#include "services/common/config/environment.h"

namespace bulkhead::cli {

// Does what the arguments of main say. The platform of `serve` has the additions.
ExitCode RunCommandLine(int argc, const char* const* argv, const config::Environment& environment, Console& console,
                        const Interrupt& interrupt, Additions additions);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_COMMAND_LINE_H_
