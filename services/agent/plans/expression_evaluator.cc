#include "services/agent/plans/expression_evaluator.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using nlohmann::json;
using Node = ExpressionNode;
using Kind = ExpressionNode::Kind;
using Value = Expression::Value;

// A part of `whole`, which it keeps alive.
Value Part(const Value& whole, const json& part) { return Value(whole, &part); }

}  // namespace

ExpressionEvaluator::ExpressionEvaluator(const Expression::Scope* scope, ExpressionFuel* fuel)
    : scope_(*scope), fuel_(*fuel), left_(Expression::kMaxFuel) {}

Value ExpressionEvaluator::Made(json value) { return std::make_shared<const json>(std::move(value)); }

absl::Status ExpressionEvaluator::Charge(int64_t steps) {
  left_ -= steps;
  fuel_.left -= steps;
  return left_ < 0 || fuel_.left < 0
             ? absl::ResourceExhaustedError("it takes more work than an expression, or all of a run, may")
             : absl::OkStatus();
}

bool ExpressionEvaluator::Count(const json& value) {
  int64_t steps = 1;
  if (value.is_string()) {
    steps += static_cast<int64_t>(value.get_ref<const std::string&>().size() / 16);
  }
  if (!Charge(steps).ok()) {
    return false;
  }
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      if (!Charge(static_cast<int64_t>(key.size() / 16)).ok() || !Count(member)) {
        return false;
      }
    }
    return true;
  }
  return !value.is_array() ||
         std::all_of(value.begin(), value.end(), [this](const json& element) { return Count(element); });
}

absl::Status ExpressionEvaluator::Charge(const json& value) {
  Count(value);
  return Charge(int64_t{0});
}

absl::StatusOr<Value> ExpressionEvaluator::Evaluate(const Node& node, const Value& current) {
  RETURN_IF_ERROR(Charge(int64_t{1}));
  switch (node.kind) {
    case Kind::kCurrent:
      return current;
    case Kind::kField:
      return Field(node, current);
    case Kind::kLiteral:
      return Made(node.literal);
    case Kind::kIndex: {
      ASSIGN_OR_RETURN(Value list, Evaluate(node.children[0], current));
      if (list == nullptr || !list->is_array()) {
        return Made(nullptr);
      }
      const int64_t size = static_cast<int64_t>(list->size());
      const int64_t index = *node.start < 0 ? *node.start + size : *node.start;
      return index < 0 || index >= size ? Made(nullptr) : Part(list, (*list)[static_cast<size_t>(index)]);
    }
    case Kind::kSlice:
      return Slice(node, current);
    case Kind::kThen: {
      ASSIGN_OR_RETURN(Value left, Evaluate(node.children[0], current));
      return Evaluate(node.children[1], left);
    }
    case Kind::kProjection:
    case Kind::kValueProjection:
    case Kind::kFilterProjection:
      return Project(node, current);
    case Kind::kFlatten: {
      ASSIGN_OR_RETURN(Value list, Evaluate(node.children[0], current));
      return Flatten(list);
    }
    case Kind::kComparison:
      return Compare(node, current);
    case Kind::kOr:
    case Kind::kAnd: {
      ASSIGN_OR_RETURN(Value left, Evaluate(node.children[0], current));
      if (IsTruthy(*left) == (node.kind == Kind::kOr)) {
        return left;
      }
      return Evaluate(node.children[1], current);
    }
    case Kind::kNot: {
      ASSIGN_OR_RETURN(Value operand, Evaluate(node.children[0], current));
      return Made(!IsTruthy(*operand));
    }
    case Kind::kList:
    case Kind::kHash:
      return List(node, current);
    case Kind::kFunction: {
      std::vector<Value> arguments;
      const Node* body = nullptr;
      for (const Node& argument : node.children) {
        if (argument.kind == Kind::kReference) {
          body = &argument.children[0];
          continue;
        }
        ASSIGN_OR_RETURN(Value value, Evaluate(argument, current));
        arguments.push_back(std::move(value));
      }
      ASSIGN_OR_RETURN(json result, CallExpressionFunction(*this, node.name, arguments, body));
      return Made(std::move(result));
    }
    case Kind::kReference:
      break;  // The parser lets it stand as an argument only.
  }
  return Made(nullptr);
}

absl::StatusOr<Value> ExpressionEvaluator::Field(const Node& node, const Value& current) {
  if (current == nullptr) {
    const auto found = scope_.find(node.name);
    return found == scope_.end() || found->second == nullptr ? Made(nullptr) : found->second;
  }
  if (!current->is_object()) {
    return Made(nullptr);
  }
  const auto member = current->find(node.name);
  return member == current->end() ? Made(nullptr) : Part(current, *member);
}

absl::StatusOr<Value> ExpressionEvaluator::Slice(const Node& node, const Value& current) {
  ASSIGN_OR_RETURN(Value list, Evaluate(node.children[0], current));
  if (list == nullptr || !list->is_array()) {
    return Made(nullptr);
  }
  const int64_t size = static_cast<int64_t>(list->size());
  const int64_t step = node.step.value_or(1);
  // As Python's: beyond the ends is the end.
  const auto bound = [size, step](int64_t index) {
    if (index < 0) {
      return std::max<int64_t>(index < -size ? -1 : index + size, step < 0 ? -1 : 0);
    }
    return std::min(index, step < 0 ? size - 1 : size);
  };
  const int64_t start = node.start.has_value() ? bound(*node.start) : (step < 0 ? size - 1 : 0);
  const int64_t stop = node.stop.has_value() ? bound(*node.stop) : (step < 0 ? -1 : size);
  json part = json::array();
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    const json& element = (*list)[static_cast<size_t>(i)];
    RETURN_IF_ERROR(Charge(element));
    part.push_back(element);
    if (step > size || step < -size) {
      break;  // The next would be beyond the end, and perhaps beyond what can be counted.
    }
    i += step;
  }
  return Made(std::move(part));
}

absl::StatusOr<Value> ExpressionEvaluator::Project(const Node& node, const Value& current) {
  ASSIGN_OR_RETURN(Value left, Evaluate(node.children[0], current));
  const bool of_values = node.kind == Kind::kValueProjection;
  if (left == nullptr || !(of_values ? left->is_object() : left->is_array())) {
    return Made(nullptr);
  }
  json projected = json::array();
  for (const json& element : *left) {
    const Value part = Part(left, element);
    if (node.kind == Kind::kFilterProjection) {
      ASSIGN_OR_RETURN(Value condition, Evaluate(node.children[2], part));
      if (!IsTruthy(*condition)) {
        continue;
      }
    }
    ASSIGN_OR_RETURN(Value value, Evaluate(node.children[1], part));
    if (!value->is_null()) {
      RETURN_IF_ERROR(Charge(*value));
      projected.push_back(*value);
    }
  }
  return Made(std::move(projected));
}

absl::StatusOr<Value> ExpressionEvaluator::Flatten(const Value& list) {
  if (list == nullptr || !list->is_array()) {
    return Made(nullptr);
  }
  json flat = json::array();
  for (const json& element : *list) {
    RETURN_IF_ERROR(Charge(element));
    if (element.is_array()) {
      flat.insert(flat.end(), element.begin(), element.end());
    } else {
      flat.push_back(element);
    }
  }
  return Made(std::move(flat));
}

absl::StatusOr<Value> ExpressionEvaluator::Compare(const Node& node, const Value& current) {
  ASSIGN_OR_RETURN(Value left, Evaluate(node.children[0], current));
  ASSIGN_OR_RETURN(Value right, Evaluate(node.children[1], current));
  RETURN_IF_ERROR(Charge(*left));
  RETURN_IF_ERROR(Charge(*right));
  if (node.name == "==") {
    return Made(*left == *right);
  }
  if (node.name == "!=") {
    return Made(*left != *right);
  }
  if (!left->is_number() || !right->is_number()) {
    return Made(nullptr);  // Only numbers have an order.
  }
  if (node.name == "<") {
    return Made(*left < *right);
  }
  if (node.name == "<=") {
    return Made(*left <= *right);
  }
  return Made(node.name == ">" ? *left > *right : *left >= *right);
}

absl::StatusOr<Value> ExpressionEvaluator::List(const Node& node, const Value& current) {
  // Of nothing, nothing is made.
  if (current != nullptr && current->is_null()) {
    return Made(nullptr);
  }
  json made = node.kind == Kind::kHash ? json::object() : json::array();
  for (size_t i = 0; i < node.children.size(); ++i) {
    ASSIGN_OR_RETURN(Value value, Evaluate(node.children[i], current));
    RETURN_IF_ERROR(Charge(*value));
    if (node.kind == Kind::kHash) {
      made[node.keys[i]] = *value;
    } else {
      made.push_back(*value);
    }
  }
  return Made(std::move(made));
}

absl::StatusOr<Value> EvaluateExpression(const Node& root, const Expression::Scope& scope, ExpressionFuel& fuel) {
  return ExpressionEvaluator(&scope, &fuel).Evaluate(root, nullptr);
}

}  // namespace bulkhead::agent
