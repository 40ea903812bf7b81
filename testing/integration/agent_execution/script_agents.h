// The agents and tools that users of the isolation tests work with.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_SCRIPT_AGENTS_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_SCRIPT_AGENTS_H_

#include <memory>
#include <vector>

#include "services/agent/agent.h"
#include "services/tool/tool.h"

namespace bulkhead::testing {

// "chain" (of tools), "careful" (asks before it goes on), "sleeper" (an hour), "historian" (tells what was said before
// in its thread) and "asker" (asks a model).
std::vector<agent::AgentFactory> ScriptAgents();
// "echo", which tells who called it, and "broken".
std::vector<std::shared_ptr<tool::Tool>> ScriptTools();

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_SCRIPT_AGENTS_H_
