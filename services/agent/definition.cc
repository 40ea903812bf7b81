#include "services/agent/definition.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/json_schema/json_schema.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {
namespace {

constexpr size_t kMaxDescription = 4096;
constexpr size_t kMaxInstructions = 64 << 10;
constexpr int kMaxNodes = 200;
constexpr int kMaxTools = 100;
constexpr int kMaxParallelism = 64;
constexpr int kMaxRetries = 10;
// What a definition may hold in all.
constexpr size_t kMaxBytes = 256 << 10;

using Violations = std::map<std::string, std::string>;

void Require(bool holds, Violations& violations, std::string_view field, std::string_view what) {
  if (!holds) {
    std::string& text = violations[std::string(field)];
    absl::StrAppend(&text, text.empty() ? "" : "; ", what);
  }
}

bool IsToolName(std::string_view name) {
  constexpr std::string_view kPrefix = "tools/";
  return name.starts_with(kPrefix) && IsAgentName(name.substr(kPrefix.size()));
}

void CheckModel(const v1::ModelAgent& model, Violations& violations) {
  Require(!model.instructions().empty() && model.instructions().size() <= kMaxInstructions, violations,
          "model.instructions", absl::StrCat("must have 1 to ", kMaxInstructions, " bytes"));
  Require(!model.model().empty() && model.model().size() <= 256, violations, "model.model", "must name a model");
  Require(model.tools_size() <= kMaxTools, violations, "model.tools", absl::StrCat("must have at most ", kMaxTools));
  for (int i = 0; i < model.tools_size(); ++i) {
    Require(IsToolName(model.tools(i)), violations, absl::StrCat("model.tools[", i, "]"),
            "is not of the form tools/{tool}");
  }
  Require(model.max_turns() >= 0, violations, "model.max_turns", "must not be negative");
  Require(model.max_tokens() >= 0, violations, "model.max_tokens", "must not be negative");
}

// The ids on a way from a node back to itself, as "a -> b -> a"; "" when there is none.
std::string FindCycle(const std::map<std::string, std::vector<std::string>>& after) {
  std::set<std::string> done;
  std::vector<std::string> way;
  // Depth first, without recursion: a plan is a stranger's input. Each frame is a node and how many
  // of its predecessors have been followed.
  for (const auto& [start, unused] : after) {
    std::vector<std::pair<std::string, size_t>> frames = {{start, 0}};
    while (!frames.empty()) {
      auto& [id, followed] = frames.back();
      const auto& predecessors = after.at(id);
      if (done.contains(id) || followed == predecessors.size()) {
        done.insert(id);
        frames.pop_back();
        continue;
      }
      const std::string next = predecessors[followed++];
      const auto seen = std::ranges::find_if(frames, [&](const auto& frame) { return frame.first == next; });
      if (seen != frames.end()) {
        std::string cycle = next;
        for (auto frame = frames.rbegin(); frame != std::make_reverse_iterator(seen); ++frame) {
          cycle = absl::StrCat(frame->first, " -> ", cycle);
        }
        return cycle;
      }
      if (after.contains(next)) {
        frames.emplace_back(next, 0);
      }
    }
  }
  return "";
}

void CheckPlan(const v1::PlanAgent& plan, Violations& violations) {
  Require(plan.nodes_size() >= 1 && plan.nodes_size() <= kMaxNodes, violations, "plan.nodes",
          absl::StrCat("must have 1 to ", kMaxNodes));
  std::map<std::string, std::vector<std::string>> after;
  for (int i = 0; i < plan.nodes_size(); ++i) {
    const v1::PlanNode& node = plan.nodes(i);
    const std::string field = absl::StrCat("plan.nodes[", i, "]");
    Require(!node.id().empty() && node.id().size() <= 64 &&
                std::ranges::all_of(node.id(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; }) &&
                !absl::ascii_isdigit(node.id()[0]),
            violations, absl::StrCat(field, ".id"), "is not an identifier of at most 64 of [A-Za-z0-9_]");
    Require(node.id() != "input" && node.id() != "item", violations, absl::StrCat(field, ".id"),
            "means something else in expressions");
    Require(after.emplace(node.id(), std::vector<std::string>(node.after().begin(), node.after().end())).second,
            violations, absl::StrCat(field, ".id"), "is another node's id too");
    Require(IsToolName(node.tool()), violations, absl::StrCat(field, ".tool"), "is not of the form tools/{tool}");
    Require(node.parallelism() >= 0 && node.parallelism() <= kMaxParallelism, violations,
            absl::StrCat(field, ".parallelism"), absl::StrCat("must be 0 to ", kMaxParallelism));
    Require(node.retries() >= 0 && node.retries() <= kMaxRetries, violations, absl::StrCat(field, ".retries"),
            absl::StrCat("must be 0 to ", kMaxRetries));
    Require(node.parallelism() <= 1 || !node.for_each().empty(), violations, absl::StrCat(field, ".parallelism"),
            "is for nodes with for_each");
    Require(!node.has_timeout() || node.timeout().seconds() > 0 || node.timeout().nanos() > 0, violations,
            absl::StrCat(field, ".timeout"), "must be positive");
  }
  for (int i = 0; i < plan.nodes_size(); ++i) {
    for (const std::string& before : plan.nodes(i).after()) {
      Require(after.contains(before), violations, absl::StrCat("plan.nodes[", i, "].after"),
              absl::StrCat("there is no node '", before, "'"));
    }
  }
  if (const std::string cycle = FindCycle(after); !cycle.empty()) {
    Require(false, violations, "plan.nodes", absl::StrCat("wait for each other: ", cycle));
  }
}

}  // namespace

bool IsAgentName(std::string_view name) {
  return name.size() >= 3 && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
         });
}

absl::Status ValidateDefinition(const v1::Agent& agent) {
  Violations violations;
  constexpr std::string_view kPrefix = "agents/";
  Require(agent.name().starts_with(kPrefix) && IsAgentName(std::string_view(agent.name()).substr(kPrefix.size())),
          violations, "name", "is not agents/{agent} with 3 to 64 of [a-z0-9._-]");
  Require(!agent.description().empty() && agent.description().size() <= kMaxDescription, violations, "description",
          absl::StrCat("must have 1 to ", kMaxDescription, " bytes"));
  Require(agent.ByteSizeLong() <= kMaxBytes, violations, "agent", absl::StrCat("is larger than ", kMaxBytes, " bytes"));
  if (agent.has_input_schema()) {
    if (auto schema = JsonSchema::Compile(ToJson(agent.input_schema()).dump()); !schema.ok()) {
      Require(false, violations, "input_schema", schema.status().message());
    }
  }
  switch (agent.definition_case()) {
    case v1::Agent::kModel:
      CheckModel(agent.model(), violations);
      break;
    case v1::Agent::kPlan:
      CheckPlan(agent.plan(), violations);
      break;
    case v1::Agent::DEFINITION_NOT_SET:
      Require(false, violations, "definition", "is neither a model nor a plan");
      break;
  }
  if (violations.empty()) {
    return absl::OkStatus();
  }
  std::string message = "the definition has problems:";
  for (const auto& [field, what] : violations) {
    absl::StrAppend(&message, " ", field, " ", what, ";");
  }
  message.pop_back();
  return MakeError(absl::StatusCode::kInvalidArgument, message,
                   {.domain = "bulkhead.agent", .reason = "AGENT_INVALID", .metadata = std::move(violations)});
}

}  // namespace bulkhead::agent
