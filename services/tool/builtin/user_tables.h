// The database of tables that a call works on: its user's own.
#ifndef SERVICES_TOOL_BUILTIN_USER_TABLES_H_
#define SERVICES_TOOL_BUILTIN_USER_TABLES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/storage/user_database.h"
#include "services/tool/builtin/builtin_tools.h"
#include "services/tool/tool.h"

namespace bulkhead::tool {

// Thread-safe: each call opens connections of its own.
class UserTables {
 public:
  explicit UserTables(BuiltinOptions options) : options_(std::move(options)) {}

  // Null when the user has no database yet.
  absl::StatusOr<std::unique_ptr<storage::UserReader>> Reader(const ToolCall& call) const;
  absl::StatusOr<std::unique_ptr<storage::UserWriter>> Writer(const ToolCall& call) const;

 private:
  std::string PathOf(const ToolCall& call) const;

  const BuiltinOptions options_;
};

struct QueryResult {
  std::vector<std::string> columns;
  std::vector<std::vector<storage::Value>> rows;
  bool truncated = false;
};

// Runs SQL of the user on his tables, up to `max_rows` rows and `max_bytes` of values.
absl::StatusOr<QueryResult> RunQuery(const UserTables& tables, const ToolCall& call, const std::string& sql,
                                     const std::vector<storage::Value>& parameters, size_t max_rows, size_t max_bytes);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_BUILTIN_USER_TABLES_H_
