// What is wrong with a definition, by the place where it is: "plan.nodes[1].arguments/file".
#ifndef SERVICES_AGENT_PLANS_PROBLEMS_H_
#define SERVICES_AGENT_PLANS_PROBLEMS_H_

#include <map>
#include <string>
#include <string_view>

namespace bulkhead::agent {

using Problems = std::map<std::string, std::string>;

// Adds `what` to the problems of `place`, unless it `holds`.
void Require(bool holds, Problems& problems, std::string_view place, std::string_view what);

// "tools/{tool}", {tool} being 3 to 64 of [a-z0-9._-].
bool IsToolName(std::string_view name);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_PROBLEMS_H_
