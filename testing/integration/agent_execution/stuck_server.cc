// The program with an agent that holds its thread for ever.
#include <cstdio>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/bulkhead/program.h"
#include "services/common/runtime/awaitable.h"

namespace {

using bulkhead::agent::Agent;
using bulkhead::agent::Answer;
using bulkhead::agent::RunContext;

class Stuck final : public Agent {
 public:
  bulkhead::Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const nlohmann::json&) override {
    co_await run.Think("I hold my thread from here on");
    std::puts("{\"held\": true}");
    std::fflush(stdout);
    absl::Notification().WaitForNotification();
    co_return Answer{};
  }
};

}  // namespace

int main(int argc, char** argv) {
  return bulkhead::RunProgram(
      argc, argv,
      {.agents = {bulkhead::agent::FactoryOf<Stuck>({.name = "stuck", .version = "1.0.0", .description = "Hangs."})},
       .tools = {}});
}
