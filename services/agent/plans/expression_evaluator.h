// Evaluates a parsed expression.
#ifndef SERVICES_AGENT_PLANS_EXPRESSION_EVALUATOR_H_
#define SERVICES_AGENT_PLANS_EXPRESSION_EVALUATOR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/agent/plans/expression.h"
#include "services/agent/plans/expression_node.h"

namespace bulkhead::agent {

// One evaluation: what it has used up, and its means. Not thread-safe.
class ExpressionEvaluator {
 public:
  using Value = Expression::Value;

  // Both outlive it.
  ExpressionEvaluator(const Expression::Scope* scope, ExpressionFuel* fuel);

  // `current` is the value that `@` means; null for the scope itself. Without reasons: the caller adds them. INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
  absl::StatusOr<Value> Evaluate(const ExpressionNode& node, const Value& current);

  // Takes what a copy of `value` costs.
  absl::Status Charge(const nlohmann::json& value);
  absl::Status Charge(int64_t steps);

  static Value Made(nlohmann::json value);

 private:
  absl::StatusOr<Value> Field(const ExpressionNode& node, const Value& current);
  absl::StatusOr<Value> Slice(const ExpressionNode& node, const Value& current);
  absl::StatusOr<Value> Project(const ExpressionNode& node, const Value& current);
  absl::StatusOr<Value> Flatten(const Value& list);
  absl::StatusOr<Value> Compare(const ExpressionNode& node, const Value& current);
  absl::StatusOr<Value> List(const ExpressionNode& node, const Value& current);
  bool Count(const nlohmann::json& value);

  const Expression::Scope& scope_;
  ExpressionFuel& fuel_;
  int64_t left_;
};

// Calls a function: `arguments` are its values, without the reference, whose body is `body` when it takes one.
absl::StatusOr<nlohmann::json> CallExpressionFunction(ExpressionEvaluator& evaluator, std::string_view name,
                                                      const std::vector<Expression::Value>& arguments,
                                                      const ExpressionNode* body);

absl::StatusOr<Expression::Value> EvaluateExpression(const ExpressionNode& root, const Expression::Scope& scope,
                                                     ExpressionFuel& fuel);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_EXPRESSION_EVALUATOR_H_
