// A plan in the form in which it is executed: expressions parsed, edges found.
#ifndef SERVICES_AGENT_PLANS_PLAN_H_
#define SERVICES_AGENT_PLANS_PLAN_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/plans/expression.h"
#include "services/agent/plans/problems.h"

namespace bulkhead::agent {

namespace v1 {
class PlanAgent;
}

// Arguments in which strings that begin with '=' are expressions; "==" at the beginning is a '=' that means itself.
struct PlanArguments {
  nlohmann::json constants;  // With null where an expression stands.
  std::vector<std::pair<nlohmann::json::json_pointer, Expression>> expressions;
  std::vector<nlohmann::json::json_pointer> broken;  // Where one stands that is none: a problem of its own.

  // Errors are those of Expression::Evaluate.
  absl::StatusOr<nlohmann::json> Fill(const Expression::Scope& scope, ExpressionFuel& fuel) const;
};

struct PlanStep {
  std::string id;
  std::string tool;  // "table.load"
  PlanArguments arguments;
  std::vector<size_t> after;  // What must have ended before: named in `after` or in an expression. Sorted.
  std::optional<Expression> condition;
  std::optional<Expression> for_each;
  int parallelism = 1;
  int retries = 0;
  bool approval = false;
  absl::Duration timeout = absl::InfiniteDuration();
  std::string question;
};

struct Plan {
  std::vector<PlanStep> steps;
  std::optional<Expression> result;
};

inline constexpr int kMaxPlanNodes = 200;
inline constexpr int kMaxPlanParallelism = 64;
inline constexpr int kMaxPlanRetries = 10;

// Adds what is wrong to `problems`; the plan is good for use only when that is nothing.
Plan CompilePlan(const v1::PlanAgent& definition, Problems& problems);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_PLAN_H_
