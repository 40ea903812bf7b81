#include "testing/harness/test_agents.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/macros.h"

namespace bulkhead::testing {
namespace {

class Scripted final : public agent::Agent {
 public:
  explicit Scripted(Script script) : script_(std::move(script)) {}

  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const nlohmann::json& input) override {
    // The coroutine of a lambda uses the lambda's captures: they live as long as this instance, which is as long as the
    // run.
    return script_(run, input);
  }

 private:
  Script script_;
};

Awaitable<absl::StatusOr<agent::Answer>> RunChain(agent::RunContext& run, const nlohmann::json& input) {
  nlohmann::json outputs = nlohmann::json::array();
  for (const nlohmann::json& tool : input.at("tools")) {
    const std::string name = tool.get<std::string>();
    co_await run.Think(absl::StrCat("Calling ", name));
    CO_ASSIGN_OR_RETURN(nlohmann::json output, co_await run.CallTool(name, {{"step", outputs.size()}}));
    outputs.push_back(std::move(output));
  }
  co_return agent::Answer{.summary = absl::StrCat(outputs.size(), " calls"), .data = {{"outputs", outputs}}};
}

}  // namespace

agent::AgentFactory ScriptedAgent(std::string name, Script script) {
  return {.spec = {.name = std::move(name), .version = "1.0.0", .description = "Follows a script, for tests."},
          .make = [script = std::move(script)] { return std::make_unique<Scripted>(script); }};
}

agent::AgentFactory ToolChainAgent(std::string name) { return ScriptedAgent(std::move(name), RunChain); }

nlohmann::json Tools(std::vector<std::string> names) { return {{"tools", std::move(names)}}; }

}  // namespace bulkhead::testing
