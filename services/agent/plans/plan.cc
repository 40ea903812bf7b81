#include "services/agent/plans/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "services/common/json/struct_json.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using nlohmann::json;

constexpr size_t kMaxQuestion = 1000;
constexpr absl::Duration kMaxTimeout = absl::Hours(24);

bool IsNodeId(std::string_view id) {
  return !id.empty() && id.size() <= 64 && !absl::ascii_isdigit(id[0]) &&
         std::ranges::all_of(id, [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

class Compiler {
 public:
  Compiler(const v1::PlanAgent& definition, Problems& problems) : definition_(definition), problems_(problems) {}

  Plan Compile() {
    Plan plan;
    Require(definition_.nodes_size() >= 1 && definition_.nodes_size() <= kMaxPlanNodes, problems_, "plan.nodes",
            absl::StrCat("must have 1 to ", kMaxPlanNodes));
    for (int i = 0; i < definition_.nodes_size(); ++i) {
      const v1::PlanNode& node = definition_.nodes(i);
      const std::string place = absl::StrCat(Place(i), ".id");
      Require(IsNodeId(node.id()), problems_, place, "is not an identifier of at most 64 of [A-Za-z0-9_]");
      Require(node.id() != "input" && node.id() != "item", problems_, place, "means something else in expressions");
      Require(indices_.emplace(node.id(), i).second, problems_, place, "is another node's id too");
    }
    int parallel = 0;
    for (int i = 0; i < definition_.nodes_size(); ++i) {
      plan.steps.push_back(Step(i, definition_.nodes(i)));
      parallel += plan.steps.back().parallelism;
    }
    Require(parallel <= 4 * kMaxPlanParallelism, problems_, "plan.nodes",
            absl::StrCat("may call at most ", 4 * kMaxPlanParallelism, " tools at once, all parallelism added up"));
    if (!definition_.result().empty()) {
      std::set<size_t> after;
      plan.result = Parse(definition_.result(), "plan.result", /*item=*/false, after);
    }
    if (const std::string cycle = FindCycle(plan); !cycle.empty()) {
      Require(false, problems_, "plan.nodes", absl::StrCat("wait for each other: ", cycle));
    }
    return plan;
  }

 private:
  static std::string Place(int index) { return absl::StrCat("plan.nodes[", index, "]"); }

  PlanStep Step(int index, const v1::PlanNode& node) {
    const std::string place = Place(index);
    PlanStep step;
    step.id = node.id();
    Require(IsToolName(node.tool()), problems_, absl::StrCat(place, ".tool"), "is not of the form tools/{tool}");
    step.tool = node.tool().substr(std::min<size_t>(node.tool().size(), 6));
    std::set<size_t> after;
    for (const std::string& before : node.after()) {
      const auto found = indices_.find(before);
      Require(found != indices_.end(), problems_, absl::StrCat(place, ".after"),
              absl::StrCat("there is no node '", before, "'"));
      if (found != indices_.end()) {
        after.insert(found->second);
      }
    }
    if (!node.condition().empty()) {
      step.condition = Parse(node.condition(), absl::StrCat(place, ".condition"), /*item=*/false, after);
    }
    if (!node.for_each().empty()) {
      step.for_each = Parse(node.for_each(), absl::StrCat(place, ".for_each"), /*item=*/false, after);
    }
    step.arguments.constants = ToJson(node.arguments());
    Arguments(step.arguments.constants, "", absl::StrCat(place, ".arguments"), step.for_each.has_value(), after,
              step.arguments);
    step.after.assign(after.begin(), after.end());

    Require(node.parallelism() >= 0 && node.parallelism() <= kMaxPlanParallelism, problems_,
            absl::StrCat(place, ".parallelism"), absl::StrCat("must be 0 to ", kMaxPlanParallelism));
    Require(node.parallelism() <= 1 || !node.for_each().empty(), problems_, absl::StrCat(place, ".parallelism"),
            "is for nodes with for_each");
    step.parallelism = std::clamp(node.parallelism(), 1, kMaxPlanParallelism);
    Require(node.retries() >= 0 && node.retries() <= kMaxPlanRetries, problems_, absl::StrCat(place, ".retries"),
            absl::StrCat("must be 0 to ", kMaxPlanRetries));
    step.retries = std::clamp(node.retries(), 0, kMaxPlanRetries);
    if (node.has_timeout()) {
      step.timeout = absl::Seconds(node.timeout().seconds()) + absl::Nanoseconds(node.timeout().nanos());
      Require(step.timeout > absl::ZeroDuration() && step.timeout <= kMaxTimeout, problems_,
              absl::StrCat(place, ".timeout"), "must be positive, and at most 24 h");
    }
    step.approval = node.approval();
    step.question = node.question();
    Require(node.question().empty() || node.approval(), problems_, absl::StrCat(place, ".question"),
            "is for nodes with approval");
    Require(node.question().size() <= kMaxQuestion, problems_, absl::StrCat(place, ".question"),
            absl::StrCat("must have at most ", kMaxQuestion, " bytes"));
    return step;
  }

  // Nullopt when it is no expression. Adds the nodes that it reads to `after`.
  std::optional<Expression> Parse(std::string_view text, const std::string& place, bool item, std::set<size_t>& after) {
    absl::StatusOr<Expression> expression = Expression::Parse(text);
    if (!expression.ok()) {
      Require(false, problems_, place, expression.status().message());
      return std::nullopt;
    }
    for (const std::string& name : expression->names()) {
      if (name == "input" || (item && name == "item")) {
        continue;
      }
      const auto found = indices_.find(name);
      Require(found != indices_.end(), problems_, place,
              name == "item" ? std::string("'item' is for arguments of nodes with for_each")
                             : absl::StrCat("'", name, "' is neither input nor a node"));
      if (found != indices_.end()) {
        after.insert(found->second);
      }
    }
    return *std::move(expression);
  }

  // Takes the expressions out of `value`. Structs are bounded in depth, and so is the recursion.
  void Arguments(json& value, const std::string& pointer, const std::string& place, bool item, std::set<size_t>& after,
                 PlanArguments& arguments) {
    if (value.is_object()) {
      for (auto& [key, member] : value.items()) {
        const std::string token = absl::StrReplaceAll(key, {{"~", "~0"}, {"/", "~1"}});
        Arguments(member, absl::StrCat(pointer, "/", token), place, item, after, arguments);
      }
    } else if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        Arguments(value[i], absl::StrCat(pointer, "/", i), place, item, after, arguments);
      }
    } else if (value.is_string() && value.get_ref<const std::string&>().starts_with('=')) {
      const std::string text = value.get<std::string>().substr(1);
      if (text.starts_with('=')) {
        value = text;
        return;
      }
      value = nullptr;
      if (std::optional<Expression> expression = Parse(text, absl::StrCat(place, pointer), item, after)) {
        arguments.expressions.emplace_back(json::json_pointer(pointer), *std::move(expression));
      } else {
        arguments.broken.emplace_back(pointer);
      }
    }
  }

  // The ids on a way from a node back to itself, as "a -> b -> a"; "" when there is none. Depth first, without recursion.
  static std::string FindCycle(const Plan& plan) {
    std::set<size_t> done;
    for (size_t start = 0; start < plan.steps.size(); ++start) {
      // Each frame is a node, and how many of those before it have been followed.
      std::vector<std::pair<size_t, size_t>> frames = {{start, 0}};
      while (!frames.empty()) {
        auto& [index, followed] = frames.back();
        const std::vector<size_t>& before = plan.steps[index].after;
        if (done.contains(index) || followed == before.size()) {
          done.insert(index);
          frames.pop_back();
          continue;
        }
        const size_t next = before[followed++];
        const auto seen = std::ranges::find(frames, next, &std::pair<size_t, size_t>::first);
        if (seen != frames.end()) {
          std::string cycle = plan.steps[next].id;
          for (auto frame = frames.rbegin(); frame != std::make_reverse_iterator(seen); ++frame) {
            cycle = absl::StrCat(plan.steps[frame->first].id, " -> ", cycle);
          }
          return cycle;
        }
        frames.emplace_back(next, 0);
      }
    }
    return "";
  }

  const v1::PlanAgent& definition_;
  Problems& problems_;
  std::map<std::string, size_t> indices_;
};

}  // namespace

absl::StatusOr<json> PlanArguments::Fill(const Expression::Scope& scope, ExpressionFuel& fuel) const {
  json filled = constants;
  for (const auto& [pointer, expression] : expressions) {
    ASSIGN_OR_RETURN(Expression::Value value, expression.Evaluate(scope, fuel));
    filled[pointer] = *value;
  }
  return filled;
}

Plan CompilePlan(const v1::PlanAgent& definition, Problems& problems) {
  return Compiler(definition, problems).Compile();
}

}  // namespace bulkhead::agent
