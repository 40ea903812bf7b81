// JMESPath (jmespath.org): the expressions of plans, over data that nobody vouches for.
#ifndef SERVICES_AGENT_PLANS_EXPRESSION_H_
#define SERVICES_AGENT_PLANS_EXPRESSION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace bulkhead::agent {

struct ExpressionNode;

// Work that expressions may still do: visits and copied values. Shared by all expressions of a run, so that together they cannot
// hold a thread for long.
struct ExpressionFuel {
  int64_t left = 20'000'000;
};

// A parsed expression. Immutable, cheap to copy, thread-safe.
//
// It is evaluated in a scope of named values, `input` or the id of a node, and must say which of them it means: `@` or `*` alone, which mean all
// of them, are refused.
class Expression {
 public:
  using Value = std::shared_ptr<const nlohmann::json>;
  using Scope = std::map<std::string, Value, std::less<>>;

  static constexpr size_t kMaxBytes = 4096;
  // How deep the parts of an expression may be nested.
  static constexpr int kMaxDepth = 128;
  // What one evaluation may use up.
  static constexpr int64_t kMaxFuel = 2'000'000;

  // INVALID_ARGUMENT `EXPRESSION_INVALID`, domain bulkhead.agent: what is wrong, and at which byte.
  static absl::StatusOr<Expression> Parse(std::string_view text);

  // The names of the scope that it reads.
  const std::set<std::string>& names() const { return *names_; }
  // {"load", "table"} for `load.table`; nullopt when it is more than members of a name.
  const std::optional<std::vector<std::string>>& path() const { return path_; }

  // Names that `scope` lacks are null. INVALID_ARGUMENT `EXPRESSION_FAILED` when a function gets what it does not take;
  // RESOURCE_EXHAUSTED `EXPRESSION_TOO_EXPENSIVE`.
  absl::StatusOr<Value> Evaluate(const Scope& scope, ExpressionFuel& fuel) const;

 private:
  Expression() = default;

  std::string text_;
  std::shared_ptr<const ExpressionNode> root_;
  std::shared_ptr<const std::set<std::string>> names_;
  std::optional<std::vector<std::string>> path_;
};

// As JMESPath says: null, false and what is empty are false.
bool IsTruthy(const nlohmann::json& value);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PLANS_EXPRESSION_H_
