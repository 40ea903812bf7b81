#include "services/tool/builtin/user_tables.h"

#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

size_t SizeOf(const storage::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return text->size();
  }
  if (const auto* blob = std::get_if<storage::Blob>(&value)) {
    return 2 * blob->bytes.size();
  }
  return sizeof(double);
}

}  // namespace

std::string UserTables::PathOf(const ToolCall& call) const {
  // User ids are [a-z0-9-].
  return absl::StrCat(options_.tables_dir, "/", call.user().user(), ".db");
}

absl::StatusOr<std::unique_ptr<storage::UserReader>> UserTables::Reader(const ToolCall& call) const {
  absl::StatusOr<std::unique_ptr<storage::UserReader>> reader = storage::UserReader::Open(PathOf(call), call.stop());
  if (absl::IsNotFound(reader.status())) {
    return nullptr;
  }
  return reader;
}

absl::StatusOr<std::unique_ptr<storage::UserWriter>> UserTables::Writer(const ToolCall& call) const {
  return storage::UserWriter::Open({.path = PathOf(call), .max_bytes = options_.max_table_bytes}, call.stop());
}

absl::StatusOr<QueryResult> RunQuery(const UserTables& tables, const ToolCall& call, const std::string& sql,
                                     const std::vector<storage::Value>& parameters, size_t max_rows, size_t max_bytes) {
  ASSIGN_OR_RETURN(const std::unique_ptr<storage::UserReader> reader, tables.Reader(call));
  if (reader == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "you have no tables yet; load a file first",
                     {.domain = "bulkhead.tool", .reason = "TABLE_NOT_FOUND"});
  }
  QueryResult result;
  size_t bytes = 0;
  const absl::Status status = reader->Query(
      sql, parameters, [&result](std::vector<std::string> columns) { result.columns = std::move(columns); },
      [&](std::vector<storage::Value> row) {
        for (const storage::Value& value : row) {
          bytes += SizeOf(value);
        }
        if (result.rows.size() == max_rows || bytes > max_bytes) {
          result.truncated = true;
          return false;
        }
        result.rows.push_back(std::move(row));
        return true;
      },
      max_bytes);
  if (ReasonOf(status) == "QUERY_ROW_TOO_LARGE") {
    result.truncated = true;
  } else {
    RETURN_IF_ERROR(status);
  }
  if (result.truncated && result.rows.empty()) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat("a row has more than ", max_bytes, " bytes; select less"),
                     {.domain = "bulkhead.tool", .reason = "QUERY_ROW_TOO_LARGE"});
  }
  return result;
}

}  // namespace bulkhead::tool
