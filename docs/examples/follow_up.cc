#include "absl/strings/str_cat.h"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"

using namespace bulkhead;

// Lets the greeter look at a file today, and again tomorrow.
class FollowUpAgent final : public agent::Agent {
 public:
  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const nlohmann::json& input) override {
    CO_ASSIGN_OR_RETURN(agent::Answer today, co_await run.RunAgent("greeter", input));
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(24)));

    // Version 1.0.0 did not say anything here. Runs that came by under it go on without.
    if (co_await run.Patched("say-that-a-day-has-passed")) {
      co_await run.Think("A day has passed");
    }
    CO_ASSIGN_OR_RETURN(agent::Answer tomorrow, co_await run.RunAgent("greeter", input));
    co_return agent::Answer{.summary = absl::StrCat("First: ", today.summary, " A day later: ", tomorrow.summary)};
  }
};

agent::AgentFactory FollowUp() {
  return agent::FactoryOf<FollowUpAgent>({
      .name = "follow-up",
      .version = "1.1.0",
      .description = "Greets the author of a file, and again a day later.",
      .input_schema = R"({"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]})",
  });
}
