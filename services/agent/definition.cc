#include "services/agent/definition.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "nlohmann/json.hpp"
#include "services/agent/plans/plan.h"
#include "services/common/json/struct_json.h"
#include "services/common/json_schema/json_schema.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {
namespace {

constexpr size_t kMaxDescription = 4096;
constexpr size_t kMaxInstructions = 64 << 10;
constexpr int kMaxTools = 100;
constexpr int kMaxRoles = 20;
// What a definition may hold in all.
constexpr size_t kMaxBytes = 256 << 10;
// Metadata travels in headers, which are bounded: of more problems than this the first are told, and of each the beginning.
constexpr size_t kMaxProblems = 40;
constexpr size_t kMaxProblemBytes = 160;
constexpr size_t kMaxInMessage = 10;

bool IsNamePart(std::string_view name) {
  return std::ranges::all_of(name, [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
  });
}

bool IsRoleName(std::string_view name) {
  constexpr std::string_view kPrefix = "roles/";
  return name.starts_with(kPrefix) && name.size() > kPrefix.size() && name.size() <= kPrefix.size() + 64 &&
         IsNamePart(name.substr(kPrefix.size()));
}

void CheckModel(const v1::ModelAgent& model, const Surroundings* surroundings, Problems& problems) {
  Require(!model.instructions().empty() && model.instructions().size() <= kMaxInstructions, problems,
          "model.instructions", absl::StrCat("must have 1 to ", kMaxInstructions, " bytes"));
  if (model.model().empty() || model.model().size() > 256) {
    Require(false, problems, "model.model", "must name a model");
  } else if (surroundings != nullptr && !surroundings->models.contains(model.model())) {
    Require(false, problems, "model.model",
            surroundings->models.empty()
                ? "is none: no models are configured"
                : absl::StrCat("is not among the configured models: ", absl::StrJoin(surroundings->models, ", ")));
  }
  Require(model.tools_size() <= kMaxTools, problems, "model.tools", absl::StrCat("must have at most ", kMaxTools));
  for (int i = 0; i < model.tools_size(); ++i) {
    const std::string place = absl::StrCat("model.tools[", i, "]");
    if (!IsToolName(model.tools(i))) {
      Require(false, problems, place, "is not of the form tools/{tool}");
    } else if (surroundings != nullptr) {
      Require(surroundings->tools.contains(absl::StripPrefix(model.tools(i), "tools/")), problems, place,
              absl::StrCat("there is no tool '", model.tools(i), "' that you may call"));
    }
  }
  Require(model.max_turns() >= 0, problems, "model.max_turns", "must not be negative");
  Require(model.max_tokens() >= 0, problems, "model.max_tokens", "must not be negative");
}

void CheckSharing(const v1::Agent& agent, Problems& problems) {
  Require(agent.shared_with_size() <= kMaxRoles, problems, "shared_with",
          absl::StrCat("must have at most ", kMaxRoles));
  std::set<std::string> roles;
  for (int i = 0; i < agent.shared_with_size(); ++i) {
    const std::string place = absl::StrCat("shared_with[", i, "]");
    Require(IsRoleName(agent.shared_with(i)), problems, place, "is not of the form roles/{role}");
    Require(roles.insert(agent.shared_with(i)).second, problems, place, "is there twice");
  }
}

// As much of a text as an error may carry, cut between characters.
std::string Beginning(const std::string& text) {
  size_t end = std::min(text.size(), kMaxProblemBytes);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return end == text.size() ? text : absl::StrCat(text.substr(0, end), "...");
}

}  // namespace

bool IsAgentName(std::string_view name) { return name.size() >= 3 && name.size() <= 64 && IsNamePart(name); }

Problems CheckDefinition(const v1::Agent& agent, const Surroundings* surroundings) {
  Problems problems;
  constexpr std::string_view kPrefix = "agents/";
  Require(agent.name().starts_with(kPrefix) && IsAgentName(std::string_view(agent.name()).substr(kPrefix.size())),
          problems, "name", "is not agents/{agent} with 3 to 64 of [a-z0-9._-]");
  Require(!agent.description().empty() && agent.description().size() <= kMaxDescription, problems, "description",
          absl::StrCat("must have 1 to ", kMaxDescription, " bytes"));
  if (agent.ByteSizeLong() > kMaxBytes) {
    Require(false, problems, "agent", absl::StrCat("is larger than ", kMaxBytes, " bytes"));
    return problems;  // The rest of it is not worth the work.
  }
  const nlohmann::json input = agent.has_input_schema() ? ToJson(agent.input_schema()) : nlohmann::json();
  if (agent.has_input_schema()) {
    if (auto schema = JsonSchema::Compile(input.dump()); !schema.ok()) {
      Require(false, problems, "input_schema", schema.status().message());
    }
  }
  CheckSharing(agent, problems);
  switch (agent.definition_case()) {
    case v1::Agent::kModel:
      CheckModel(agent.model(), surroundings, problems);
      break;
    case v1::Agent::kPlan: {
      const Plan plan = CompilePlan(agent.plan(), problems);
      if (surroundings != nullptr) {
        CheckPlanTools(plan, input, surroundings->tools, problems);
      }
      break;
    }
    case v1::Agent::DEFINITION_NOT_SET:
      Require(false, problems, "definition", "is neither a model nor a plan");
      break;
  }
  return problems;
}

absl::Status AgentInvalid(const Problems& problems) {
  if (problems.empty()) {
    return absl::OkStatus();
  }
  const size_t count = problems.size();
  std::string message = count > kMaxInMessage
                            ? absl::StrCat("the definition has ", count, " problems, the first of which are:")
                            : std::string("the definition has problems:");
  Problems told;
  for (const auto& [place, what] : problems) {
    if (told.size() == kMaxProblems) {
      break;
    }
    const auto problem = told.emplace(Beginning(place), Beginning(what)).first;
    if (told.size() <= kMaxInMessage) {
      absl::StrAppend(&message, " ", problem->first, " ", problem->second, ";");
    }
  }
  message.pop_back();
  return MakeError(absl::StatusCode::kInvalidArgument, message,
                   {.domain = "bulkhead.agent", .reason = "AGENT_INVALID", .metadata = std::move(told)});
}

}  // namespace bulkhead::agent
