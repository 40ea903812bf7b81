// The examples of README.md and docs/agents.md, as the tests link them.
#ifndef DOCS_EXAMPLES_EXAMPLES_H_
#define DOCS_EXAMPLES_EXAMPLES_H_

#include <memory>

#include "services/agent/agent.h"
#include "services/tool/tool.h"

// README.md
bulkhead::agent::AgentFactory Greeter();
std::unique_ptr<bulkhead::tool::Tool> WordCount();

// docs/agents.md
bulkhead::agent::AgentFactory LargestGroup();
bulkhead::agent::AgentFactory Refund();
bulkhead::agent::AgentFactory FollowUp();

#endif  // DOCS_EXAMPLES_EXAMPLES_H_
