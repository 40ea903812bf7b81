#include "testing/integration/agent_execution/script_agents.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/models/model.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/harness/test_agents.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using nlohmann::json;

Awaitable<absl::StatusOr<Answer>> Careful(agent::RunContext& run, const json& input) {
  CO_ASSIGN_OR_RETURN(json before, co_await run.CallTool("echo", input));
  agent::ApprovalRequest question{.question = "Go on?", .tool = "echo", .arguments = input};
  CO_ASSIGN_OR_RETURN(agent::ApprovalDecision decision, co_await run.RequestApproval(question));
  if (!decision.allowed) {
    co_return Answer{.summary = "did not go on", .data = before};
  }
  CO_ASSIGN_OR_RETURN(json after, co_await run.CallTool("echo", {{"before", before}}));
  co_return Answer{.summary = "went on", .data = after};
}

Awaitable<absl::StatusOr<Answer>> Sleeper(agent::RunContext& run, const json&) {
  co_await run.Think("asleep");
  CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(1)));
  co_return Answer{.summary = "awake"};
}

// What was said before in its thread.
Awaitable<absl::StatusOr<Answer>> Historian(agent::RunContext& run, const json&) {
  json told = json::array();
  for (const agent::PastRun& past : co_await run.History()) {
    told.push_back({{"run", past.name},
                    {"agent", past.agent},
                    {"input", past.input},
                    {"answer", past.answer.has_value() ? past.answer->summary : past.message}});
  }
  co_return Answer{.summary = absl::StrCat(told.size(), " runs before"), .data = {{"told", told}}};
}

Awaitable<absl::StatusOr<Answer>> Asker(agent::RunContext& run, const json& input) {
  CO_ASSIGN_OR_RETURN(agent::ModelReply reply,
                      co_await run.CallModel(
                          {.model = input.at("model"), .messages = {{.text = input.at("prompt").get<std::string>()}}}));
  co_return Answer{.summary = reply.text};
}

}  // namespace

std::vector<agent::AgentFactory> ScriptAgents() {
  agent::AgentFactory asker = ScriptedAgent("asker", Asker);
  asker.spec.calls_models = true;
  return {ToolChainAgent(), ScriptedAgent("careful", Careful), ScriptedAgent("sleeper", Sleeper),
          ScriptedAgent("historian", Historian), std::move(asker)};
}

std::vector<std::shared_ptr<tool::Tool>> ScriptTools() {
  const auto spec = [](std::string name) {
    return tool::ToolSpec{.name = std::move(name),
                          .description = "Of the test.",
                          .input_schema = R"({"type": "object"})",
                          .output_schema = R"({"type": "object"})"};
  };
  return {tool::MakeTool(spec("echo"),
                         [](tool::ToolCall& call) -> absl::StatusOr<json> {
                           return json{{"echo", call.input()}, {"user", call.user().user()}};
                         }),
          tool::MakeTool(spec("broken"), [](tool::ToolCall&) -> absl::StatusOr<json> {
            return MakeError(absl::StatusCode::kFailedPrecondition, "broken",
                             {.domain = "bulkhead.testing", .reason = "BROKEN"});
          })};
}

}  // namespace bulkhead::testing
