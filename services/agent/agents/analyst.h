// The built-in agent that reads a table and writes a report. It needs no model: it decides by what
// it computes.
#ifndef SERVICES_AGENT_AGENTS_ANALYST_H_
#define SERVICES_AGENT_AGENTS_ANALYST_H_

#include "services/agent/agent.h"

namespace bulkhead::agent {

// Input: {"file": "sales.csv", "question": "average price by region"}, the question optional.
// docs/agents.md tells what the report holds.
//
// Answer: the headline; the report and then its charts as artifacts; data = {"table", "rows",
// "columns", "report", "findings": [{"kind", "text", "strength", "columns"}], "question":
// {"columns"}}. Errors are those of the tools, and ABORTED `TABLE_CHANGED` when another run loaded
// other data under the same name meanwhile.
AgentFactory AnalystFactory();

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_AGENTS_ANALYST_H_
