// The examples of README.md, as the test links them.
#ifndef DOCS_EXAMPLES_EXAMPLES_H_
#define DOCS_EXAMPLES_EXAMPLES_H_

#include <memory>

#include "services/agent/agent.h"
#include "services/tool/tool.h"

bulkhead::agent::AgentFactory Greeter();
std::unique_ptr<bulkhead::tool::Tool> WordCount();

#endif  // DOCS_EXAMPLES_EXAMPLES_H_
