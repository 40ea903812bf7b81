#include "services/agent/agent_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/agent/definition.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {
namespace {

absl::Status AgentNotFound(std::string_view name) {
  return MakeError(
      absl::StatusCode::kNotFound, absl::StrCat("there is no agent '", name, "'"),
      {.domain = "bulkhead.agent", .reason = "AGENT_NOT_FOUND", .metadata = {{"agent", std::string(name)}}});
}

}  // namespace

absl::Status ValidateRunInput(std::string_view name, const JsonSchema& schema, const nlohmann::json& input) {
  std::vector<Violation> violations = schema.Validate(input);
  if (violations.empty()) {
    return absl::OkStatus();
  }
  std::string message = absl::StrCat("the input is not what agent '", name, "' takes:");
  for (const Violation& violation : violations) {
    absl::StrAppend(&message, " ", violation.pointer.empty() ? "/" : violation.pointer, ": ", violation.message, ";");
  }
  message.pop_back();
  return MakeError(
      absl::StatusCode::kInvalidArgument, message,
      {.domain = "bulkhead.agent", .reason = "RUN_INPUT_INVALID", .metadata = ViolationMetadata(violations)});
}

AgentRegistry::AgentRegistry(std::map<std::string, Registered, std::less<>> agents) : agents_(std::move(agents)) {}

absl::StatusOr<std::unique_ptr<AgentRegistry>> AgentRegistry::Create(std::vector<AgentFactory> agents) {
  std::map<std::string, Registered, std::less<>> registered;
  std::map<std::string, std::string> problems;
  for (AgentFactory& agent : agents) {
    const std::string name = agent.spec.name;
    std::string& problem = problems[name];
    if (!IsAgentName(name)) {
      absl::StrAppend(&problem, "the name is not 3 to 64 of [a-z0-9._-]; ");
    }
    if (agent.spec.version.empty()) {
      absl::StrAppend(&problem, "there is no version; ");
    }
    if (!agent.make) {
      absl::StrAppend(&problem, "nothing makes its instances; ");
    }
    absl::StatusOr<std::unique_ptr<JsonSchema>> schema = JsonSchema::Compile(agent.spec.input_schema);
    if (!schema.ok()) {
      absl::StrAppend(&problem, "the input schema: ", schema.status().message(), "; ");
    }
    if (registered.contains(name)) {
      absl::StrAppend(&problem, "the name is taken; ");
    }
    if (problem.empty()) {
      problems.erase(name);
      registered.emplace(name, Registered{.factory = std::move(agent), .schema = *std::move(schema)});
    }
  }
  if (!problems.empty()) {
    std::string message = "agents that cannot be registered:";
    for (const auto& [name, problem] : problems) {
      absl::StrAppend(&message, " '", name, "': ", problem);
    }
    return MakeError(absl::StatusCode::kInvalidArgument, message,
                     {.domain = "bulkhead.agent", .reason = "AGENT_INVALID", .metadata = std::move(problems)});
  }
  return std::unique_ptr<AgentRegistry>(new AgentRegistry(std::move(registered)));
}

absl::StatusOr<const AgentFactory*> AgentRegistry::Find(std::string_view name) const {
  auto found = agents_.find(name);
  if (found == agents_.end()) {
    return AgentNotFound(name);
  }
  return &found->second.factory;
}

absl::Status AgentRegistry::ValidateInput(std::string_view name, const nlohmann::json& input) const {
  auto found = agents_.find(name);
  return found == agents_.end() ? AgentNotFound(name) : ValidateRunInput(name, *found->second.schema, input);
}

std::vector<const AgentFactory*> AgentRegistry::List(std::string_view after, size_t limit) const {
  std::vector<const AgentFactory*> agents;
  for (auto agent = agents_.upper_bound(after); agent != agents_.end() && agents.size() < limit; ++agent) {
    agents.push_back(&agent->second.factory);
  }
  return agents;
}

}  // namespace bulkhead::agent
