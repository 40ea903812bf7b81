#include "services/agent/model_runner.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/strip.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "services/agent/models/model_agent.h"

namespace bulkhead::agent {

std::unique_ptr<Agent> RunModelAgent(const v1::Agent& definition) {
  const v1::ModelAgent& model = definition.model();
  ModelAgentSpec spec{.instructions = model.instructions(),
                      .model = model.model(),
                      .tools = {},
                      .max_turns = model.max_turns(),
                      .max_tokens = model.max_tokens()};
  for (std::string_view tool : model.tools()) {
    spec.tools.emplace_back(absl::StripPrefix(tool, "tools/"));
  }
  return MakeModelAgent(std::move(spec));
}

}  // namespace bulkhead::agent
