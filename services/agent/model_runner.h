// Users' definitions of model agents, as what executes them.
#ifndef SERVICES_AGENT_MODEL_RUNNER_H_
#define SERVICES_AGENT_MODEL_RUNNER_H_

#include <memory>

#include "services/agent/agent.h"

namespace bulkhead::agent {

namespace v1 {
class Agent;
}

// An instance for one run. `definition` has a model, and was valid when it was stored.
std::unique_ptr<Agent> RunModelAgent(const v1::Agent& definition);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODEL_RUNNER_H_
