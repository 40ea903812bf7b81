// What `main` does. A program that has agents or tools of its own is three lines:
//
//   int main(int argc, char** argv) {
//     return bulkhead::RunProgram(argc, argv, {.agents = {LargestGroupFactory()}});
//   }
#ifndef SERVICES_BULKHEAD_PROGRAM_H_
#define SERVICES_BULKHEAD_PROGRAM_H_

#include "services/bulkhead/cli/server_commands.h"

namespace bulkhead {

// Once, before the process has other threads. The exit code, as docs/cli.md lists them. Does not return when agents hold threads at the end
// of `serve`: the process ends there, since what they use must not be taken from them.
int RunProgram(int argc, char** argv, cli::Additions additions);

}  // namespace bulkhead

#endif  // SERVICES_BULKHEAD_PROGRAM_H_
