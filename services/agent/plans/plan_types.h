// Holds a plan against the schemas of the tools that it calls.
#ifndef SERVICES_AGENT_PLANS_PLAN_TYPES_H_
#define SERVICES_AGENT_PLANS_PLAN_TYPES_H_

#include <map>
#include <string>

#include "nlohmann/json.hpp"
#include "services/agent/plans/plan.h"
#include "services/agent/plans/problems.h"

namespace bulkhead::agent {

// JSON Schemas of a tool.
struct ToolSchemas {
  nlohmann::json input;
  nlohmann::json output;
};

// The tools that a user may call, by name: "table.load".
using ToolCatalog = std::map<std::string, ToolSchemas, std::less<>>;

// Adds to `problems`: tools that are not in the catalog; arguments that a tool requires and does not get, that it does not take, or whose constants
// break its schema; expressions that name a member which cannot be there, or of a type that cannot be right. What the schemas leave open is
// not held against the plan. `input` is the schema of the plan's own input.
void CheckPlanTools(const Plan& plan, const nlohmann::json& input, const ToolCatalog& tools, Problems& problems);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_PLAN_TYPES_H_
