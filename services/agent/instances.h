// Which agents' instances exist.
#ifndef SERVICES_AGENT_INSTANCES_H_
#define SERVICES_AGENT_INSTANCES_H_

#include <memory>
#include <string>
#include <vector>

#include "services/agent/agent.h"

namespace bulkhead::agent {

// Instances are counted from their making to their destruction, wherever that happens: an instance goes when its run has ended, in whatever
// way, or is let go of, and its coroutine with it. What stays longer is held by code that the platform has no hand on: a thread that the
// agent doesn't give back, a callback that it waits for. Thread-safe.
class Instances {
 public:
  Instances();

  // `agent`, counted as an instance of `run` ("users/ada/runs/run-1"). May outlive this.
  std::unique_ptr<Agent> Count(std::unique_ptr<Agent> agent, std::string run) const;

  int live() const;
  // The runs that they are of, in no order; one that was taken up again while its first instance lives is there twice.
  std::vector<std::string> runs() const;

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_INSTANCES_H_
