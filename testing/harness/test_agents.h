// Agents for tests.
#ifndef TESTING_HARNESS_TEST_AGENTS_H_
#define TESTING_HARNESS_TEST_AGENTS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::testing {

using Script = std::function<Awaitable<absl::StatusOr<agent::Answer>>(agent::RunContext&, const nlohmann::json&)>;

// An agent that does what `script` says, a coroutine:
//
//   Awaitable<absl::StatusOr<agent::Answer>> Count(agent::RunContext& run, const nlohmann::json& input) {
//     CO_ASSIGN_OR_RETURN(nlohmann::json output, co_await run.CallTool("count", input));
//     co_return agent::Answer{.summary = output.dump()};
//   }
//   ... Harness::Builder().WithAgent(ScriptedAgent("counter", Count)) ...
//
// What the script captures is shared by all runs, and by a run and its recovery.
agent::AgentFactory ScriptedAgent(std::string name, Script script);

// Calls each tool of input {"tools": ["a", "b"]} in that order, thinking before each, and answers with their outputs in
// `data`. Ends with the first error.
agent::AgentFactory ToolChainAgent(std::string name = "chain");
// Its input.
nlohmann::json Tools(std::vector<std::string> names);

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_TEST_AGENTS_H_
