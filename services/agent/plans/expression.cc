#include "services/agent/plans/expression.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/agent/plans/expression_evaluator.h"
#include "services/agent/plans/expression_node.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using Node = ExpressionNode;
using Kind = ExpressionNode::Kind;

// What an expression reads of the scope that it is evaluated in.
struct Reading {
  std::set<std::string> names;
  bool everything = false;
};

// Collects what `node` reads when its current value is the whole scope (`whole`). True when its own value is the whole scope.
bool Collect(const Node& node, bool whole, Reading& reading) {
  // What uses its operands as values must not get the whole scope.
  const auto use = [&reading](const Node& operand, bool current) {
    reading.everything = Collect(operand, current, reading) || reading.everything;
  };
  switch (node.kind) {
    case Kind::kCurrent:
      return whole;
    case Kind::kField:
      if (whole) {
        reading.names.insert(node.name);
      }
      return false;
    case Kind::kLiteral:
      return false;
    case Kind::kThen:
      return Collect(node.children[1], Collect(node.children[0], whole, reading), reading);
    case Kind::kProjection:
    case Kind::kValueProjection:
    case Kind::kFilterProjection:
      use(node.children[0], whole);
      for (size_t i = 1; i < node.children.size(); ++i) {
        use(node.children[i], false);
      }
      return false;
    case Kind::kReference:
      use(node.children[0], false);
      return false;
    case Kind::kIndex:
    case Kind::kSlice:
    case Kind::kFlatten:
    case Kind::kComparison:
    case Kind::kOr:
    case Kind::kAnd:
    case Kind::kNot:
    case Kind::kList:
    case Kind::kHash:
    case Kind::kFunction:
      for (const Node& child : node.children) {
        use(child, whole);
      }
      return false;
  }
  return false;
}

// Whether `node` is a name and members of it, appended to `path`.
bool IsPath(const Node& node, std::vector<std::string>& path) {
  if (node.kind == Kind::kField) {
    path.push_back(node.name);
    return true;
  }
  return node.kind == Kind::kThen && (node.children[0].kind == Kind::kCurrent || IsPath(node.children[0], path)) &&
         IsPath(node.children[1], path);
}

}  // namespace

absl::StatusOr<Expression> Expression::Parse(std::string_view text) {
  ASSIGN_OR_RETURN(Node root, ParseExpression(text));
  Reading reading;
  if (Collect(root, /*whole=*/true, reading) || reading.everything) {
    return ExpressionError(absl::StatusCode::kInvalidArgument, "EXPRESSION_INVALID",
                           "'@' or '*' alone mean everything: name what is meant, as input or the id of a node");
  }
  Expression expression;
  expression.text_ = std::string(text);
  if (std::vector<std::string> path; IsPath(root, path)) {
    expression.path_ = std::move(path);
  }
  expression.names_ = std::make_shared<const std::set<std::string>>(std::move(reading.names));
  expression.root_ = std::make_shared<const Node>(std::move(root));
  return expression;
}

absl::StatusOr<Expression::Value> Expression::Evaluate(const Scope& scope, ExpressionFuel& fuel) const {
  absl::StatusOr<Value> value = EvaluateExpression(*root_, scope, fuel);
  if (!value.ok()) {
    return ExpressionError(value.status().code(),
                           value.status().code() == absl::StatusCode::kResourceExhausted ? "EXPRESSION_TOO_EXPENSIVE"
                                                                                         : "EXPRESSION_FAILED",
                           absl::StrCat("'", text_, "': ", value.status().message()));
  }
  return value;
}

bool IsTruthy(const nlohmann::json& value) {
  switch (value.type()) {
    case nlohmann::json::value_t::null:
      return false;
    case nlohmann::json::value_t::boolean:
      return value.get<bool>();
    case nlohmann::json::value_t::string:
      return !value.get_ref<const std::string&>().empty();
    case nlohmann::json::value_t::array:
    case nlohmann::json::value_t::object:
      return !value.empty();
    default:
      return true;
  }
}

}  // namespace bulkhead::agent
