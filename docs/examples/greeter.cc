#include "absl/strings/str_cat.h"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"

using namespace bulkhead;

// Reads a file of the user's, counts its words with the tool below, and greets.
class GreeterAgent final : public agent::Agent {
 public:
  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const nlohmann::json& input) override {
    co_await run.Think("Reading the file");
    CO_ASSIGN_OR_RETURN(nlohmann::json file, co_await run.CallTool("file.read", {{"file", input.at("file")}}));
    CO_ASSIGN_OR_RETURN(nlohmann::json count, co_await run.CallTool("text.count", {{"text", file.at("text")}}));
    co_return agent::Answer{.summary = absl::StrCat("Hello! You wrote ", count.at("words").get<int>(), " words.")};
  }
};

agent::AgentFactory Greeter() {
  return agent::FactoryOf<GreeterAgent>({
      .name = "greeter",
      .version = "1.0.0",
      .description = "Greets the author of a file.",
      .input_schema = R"({"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]})",
  });
}
