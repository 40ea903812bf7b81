// Executes plans.
#ifndef SERVICES_AGENT_PLANS_PLAN_AGENT_H_
#define SERVICES_AGENT_PLANS_PLAN_AGENT_H_

#include <memory>

#include "services/agent/agent.h"

namespace bulkhead::agent {

namespace v1 {
class Agent;
}

// An instance for one run of a definition that is a plan.
//
// Each node is a branch of one parallel group and waits for the nodes before it outside of the journal, so commands have the same places whatever
// order nodes end in. A run ends with
//   - INVALID_ARGUMENT `AGENT_INVALID` when the plan is not one that may be executed;
//   - the code of the first failed node's error and `PLAN_NODE_FAILED` (metadata: node, tool, reason, and element in a for_each), or ABORTED
//     `PLAN_NODE_DENIED` (node, comment), when a node fails: nodes under way end, others do not begin;
//   - `PLAN_RESULT_FAILED` when the result expression does;
// and else with the result expression's value, or all nodes' results by their ids.
std::unique_ptr<Agent> MakePlanAgent(const v1::Agent& definition);

// Elements of one for_each, and bytes of all nodes' results together.
inline constexpr size_t kMaxPlanElements = 1000;
inline constexpr size_t kMaxPlanResultBytes = 16 << 20;

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_PLAN_AGENT_H_
