// The parts of a parsed expression.
#ifndef SERVICES_AGENT_PLANS_EXPRESSION_NODE_H_
#define SERVICES_AGENT_PLANS_EXPRESSION_NODE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace bulkhead::agent {

struct ExpressionNode {
  enum class Kind {
    kCurrent,
    kField,             // `name`
    kLiteral,           // `literal`
    kIndex,             // of children[0]; `start`
    kSlice,             // of children[0]; start, stop, step
    kThen,              // children[1] is evaluated on the value of children[0]: `.` and `|`
    kProjection,        // children[1] on each element of children[0]
    kValueProjection,   // the same, on each value of an object
    kFilterProjection,  // the same, on the elements for which children[2] is true
    kFlatten,           // of children[0]
    kComparison,        // `name` is the operator
    kOr,
    kAnd,
    kNot,
    kList,      // [a, b]
    kHash,      // {keys[0]: children[0], ...}
    kFunction,  // `name`
    kReference  // &children[0]
  };

  Kind kind = Kind::kCurrent;
  std::string name;
  nlohmann::json literal;
  std::optional<int64_t> start;
  std::optional<int64_t> stop;
  std::optional<int64_t> step;
  std::vector<std::string> keys;
  std::vector<ExpressionNode> children;
  int depth = 1;
};

// INVALID_ARGUMENT `EXPRESSION_INVALID`.
absl::StatusOr<ExpressionNode> ParseExpression(std::string_view text);

// How many arguments a function takes, and which of them is an expression (&...).
struct FunctionShape {
  std::string_view name;
  int min_arguments = 1;
  int max_arguments = 1;  // -1: any number.
  int reference = -1;     // The index of the argument that must be a reference.
};
// Null when there is no such function.
const FunctionShape* FindFunction(std::string_view name);

absl::Status ExpressionError(absl::StatusCode code, std::string_view reason, std::string_view message);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_EXPRESSION_NODE_H_
