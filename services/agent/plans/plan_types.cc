#include "services/agent/plans/plan_types.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/json_schema/json_schema.h"

namespace bulkhead::agent {
namespace {

using nlohmann::json;

// The types that a schema allows at its top; empty when it does not say.
std::set<std::string> TypesOf(const json& schema) {
  std::set<std::string> types;
  if (!schema.is_object() || !schema.contains("type")) {
    return types;
  }
  const json& type = schema["type"];
  if (type.is_string()) {
    types.insert(type.get<std::string>());
  }
  for (const json& one : type.is_array() ? type : json::array()) {
    if (one.is_string()) {
      types.insert(one.get<std::string>());
    }
  }
  return types;
}

// Whether something of a type in `given` may be of one in `wanted`.
bool MayMatch(const std::set<std::string>& given, const std::set<std::string>& wanted) {
  const auto is_number = [](const std::string& type) { return type == "number" || type == "integer"; };
  return std::ranges::any_of(given, [&](const std::string& type) {
    return wanted.contains(type) || (is_number(type) && std::ranges::any_of(wanted, is_number));
  });
}

struct Member {
  bool possible = true;
  json schema;  // Null when nothing is said about it.
};

Member MemberOf(const json& schema, const std::string& member) {
  if (!schema.is_object()) {
    return {};
  }
  const std::set<std::string> types = TypesOf(schema);
  if (!types.empty() && !types.contains("object")) {
    return {.possible = false, .schema = nullptr};
  }
  if (const auto properties = schema.find("properties"); properties != schema.end() && properties->is_object()) {
    if (const auto found = properties->find(member); found != properties->end()) {
      return {.possible = true, .schema = *found};
    }
  }
  const bool closed = schema.contains("additionalProperties") && schema["additionalProperties"] == json(false) &&
                      !schema.contains("patternProperties");
  return {.possible = !closed, .schema = nullptr};
}

json ItemsOf(const json& schema) { return schema.is_object() && schema.contains("items") ? schema["items"] : json(); }

class Checker {
 public:
  Checker(const Plan& plan, const json& input, const ToolCatalog& tools, Problems& problems)
      : plan_(plan), input_(input), tools_(tools), problems_(problems) {}

  void Run() {
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const PlanStep& step = plan_.steps[i];
      const std::string place = absl::StrCat("plan.nodes[", i, "]");
      if (step.for_each.has_value()) {
        CheckForEach(step, absl::StrCat(place, ".for_each"));
      }
      if (step.condition.has_value()) {
        SchemaOf(*step.condition, step, absl::StrCat(place, ".condition"));
      }
      const auto tool = tools_.find(step.tool);
      Require(tool != tools_.end(), problems_, absl::StrCat(place, ".tool"),
              absl::StrCat("there is no tool 'tools/", step.tool, "' that you may call"));
      if (tool != tools_.end()) {
        CheckArguments(step, tool->second.input, absl::StrCat(place, ".arguments"));
      }
    }
    if (plan_.result.has_value()) {
      SchemaOf(*plan_.result, PlanStep(), "plan.result");
    }
  }

 private:
  void CheckForEach(const PlanStep& step, const std::string& place) {
    const std::set<std::string> types = TypesOf(SchemaOf(*step.for_each, step, place));
    Require(types.empty() || types.contains("array"), problems_, place,
            absl::StrCat("is ", absl::StrJoin(types, " or "), ", and must be an array"));
  }

  void CheckArguments(const PlanStep& step, const json& schema, const std::string& place) {
    const json& given = step.arguments.constants;
    const std::string tool = absl::StrCat("tools/", step.tool);
    if (schema.is_object() && schema.contains("required")) {
      for (const json& required : schema["required"]) {
        Require(!required.is_string() || given.contains(required.get<std::string>()), problems_,
                absl::StrCat(place, "/", required.is_string() ? required.get<std::string>() : ""),
                absl::StrCat("is required by ", tool));
      }
    }
    json constants = given;
    for (const auto& [key, value] : given.items()) {
      if (!MemberOf(schema, key).possible) {
        Require(false, problems_, absl::StrCat(place, "/", key), absl::StrCat("is not an argument of ", tool));
        constants.erase(key);
      }
    }
    for (const auto& [pointer, expression] : step.arguments.expressions) {
      CheckExpression(step, expression, SchemaAt(schema, pointer), absl::StrCat(place, pointer.to_string()));
      EraseTop(constants, pointer);
    }
    for (const json::json_pointer& pointer : step.arguments.broken) {
      EraseTop(constants, pointer);
    }
    CheckConstants(schema, constants, tool, place);
  }

  // What is computed is not known yet; nor can the whole argument be judged that it is in.
  static void EraseTop(json& constants, json::json_pointer at) {
    while (!at.parent_pointer().empty()) {
      at = at.parent_pointer();
    }
    constants.erase(at.back());
  }

  void CheckConstants(const json& schema, const json& constants, const std::string& tool, const std::string& place) {
    absl::StatusOr<std::unique_ptr<JsonSchema>> compiled =
        schema.is_object() ? JsonSchema::Compile(schema.dump()) : absl::InvalidArgumentError("");
    if (!compiled.ok()) {
      return;  // The tool's own problem.
    }
    for (const Violation& violation : (*compiled)->Validate(constants)) {
      // What concerns the whole (what is required, above all) has been looked at, or depends on what is computed.
      if (!violation.pointer.empty()) {
        Require(false, problems_, absl::StrCat(place, violation.pointer),
                absl::StrCat("is not what ", tool, " takes: ", violation.message));
      }
    }
  }

  void CheckExpression(const PlanStep& step, const Expression& expression, const json& wanted,
                       const std::string& place) {
    const std::set<std::string> given = TypesOf(SchemaOf(expression, step, place));
    const std::set<std::string> takes = TypesOf(wanted);
    Require(given.empty() || takes.empty() || MayMatch(given, takes), problems_, place,
            absl::StrCat("is ", absl::StrJoin(given, " or "), ", and tools/", step.tool, " takes ",
                         absl::StrJoin(takes, " or ")));
  }

  static json SchemaAt(json schema, const json::json_pointer& pointer) {
    std::vector<std::string> tokens;
    for (json::json_pointer at = pointer; !at.empty(); at = at.parent_pointer()) {
      tokens.push_back(at.back());
    }
    for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) {
      schema = TypesOf(schema).contains("array") ? ItemsOf(schema) : MemberOf(schema, *token).schema;
    }
    return schema;
  }

  // Null when nothing is said about it. Members that cannot be there are a problem.
  json SchemaOf(const Expression& expression, const PlanStep& step, const std::string& place) {
    if (!expression.path().has_value()) {
      return json();
    }
    const std::vector<std::string>& path = *expression.path();
    json schema = SchemaOfName(path[0], step);
    for (size_t i = 1; i < path.size(); ++i) {
      Member member = MemberOf(schema, path[i]);
      if (!member.possible) {
        const bool list = TypesOf(schema).contains("array");
        Require(false, problems_, place,
                absl::StrCat("'", absl::StrJoin(path.begin(), path.begin() + static_cast<int>(i), "."),
                             list ? "' is a list: its elements' members are written [*]." : "' has no member ",
                             list ? "" : "'", path[i], list ? "" : "'"));
        return json();
      }
      schema = std::move(member.schema);
    }
    return schema;
  }

  json SchemaOfName(const std::string& name, const PlanStep& step) {
    if (name == "input") {
      return input_;
    }
    if (name == "item") {
      // Without a place: what is wrong with for_each itself is said there.
      Problems said_elsewhere;
      return step.for_each.has_value()
                 ? ItemsOf(Checker(plan_, input_, tools_, said_elsewhere).SchemaOf(*step.for_each, step, ""))
                 : json();
    }
    const auto found = std::ranges::find(plan_.steps, name, &PlanStep::id);
    const auto tool = found == plan_.steps.end() ? tools_.end() : tools_.find(found->tool);
    if (tool == tools_.end()) {
      return json();
    }
    return found->for_each.has_value() ? json{{"type", "array"}, {"items", tool->second.output}} : tool->second.output;
  }

  const Plan& plan_;
  const json& input_;
  const ToolCatalog& tools_;
  Problems& problems_;
};

}  // namespace

void CheckPlanTools(const Plan& plan, const json& input, const ToolCatalog& tools, Problems& problems) {
  Checker(plan, input, tools, problems).Run();
}

}  // namespace bulkhead::agent
