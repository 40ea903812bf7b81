#include "services/tool/tool_store.h"

#include <cstdint>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

constexpr storage::Migration kMigrations[] = {
    {.name = "calls", .statements = R"(
       CREATE TABLE calls (
         user TEXT NOT NULL,
         request_id TEXT NOT NULL,
         invocation TEXT NOT NULL,
         tool TEXT NOT NULL,
         tool_version TEXT NOT NULL,
         input_digest BLOB NOT NULL,
         output TEXT NOT NULL,
         artifacts TEXT NOT NULL,
         duration INTEGER NOT NULL,
         finish_time INTEGER NOT NULL,
         PRIMARY KEY (user, request_id)
       ) STRICT, WITHOUT ROWID;
       CREATE INDEX calls_by_finish_time ON calls (finish_time);
     )"},
};

}  // namespace

absl::StatusOr<std::unique_ptr<ToolStore>> ToolStore::Open(const std::string& path, bool durable) {
  storage::Database::Options options;
  options.path = path;
  options.migrations.assign(std::begin(kMigrations), std::end(kMigrations));
  options.durable = durable;
  ASSIGN_OR_RETURN(std::unique_ptr<storage::Database> database, storage::Database::Open(std::move(options)));
  return std::unique_ptr<ToolStore>(new ToolStore(std::move(database)));
}

absl::StatusOr<std::optional<StoredCall>> ToolStore::Scoped::FindCall(const std::string& request_id) const {
  std::optional<StoredCall> found;
  RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) {
    return connection.Query(
        "SELECT invocation, tool, tool_version, input_digest, output, artifacts, duration, "
        "finish_time FROM calls "
        "WHERE user = ? AND request_id = ?",
        {user_, request_id}, [&](const storage::Row& row) {
          found = StoredCall{.request_id = request_id,
                             .invocation = row.Text(0),
                             .tool = row.Text(1),
                             .tool_version = row.Text(2),
                             .input_digest = row.Blob(3),
                             .output = row.Text(4),
                             // Paths have no control characters: a line each.
                             .artifacts = absl::StrSplit(row.Text(5), '\n', absl::SkipEmpty()),
                             .duration = absl::Microseconds(row.Int(6)),
                             .finish_time = absl::FromUnixMicros(row.Int(7))};
          return absl::OkStatus();
        });
  }));
  return found;
}

Awaitable<absl::Status> ToolStore::Scoped::SaveCall(StoredCall call, absl::Time forget_before) const {
  co_return co_await database_->Write([user = user_, call = std::move(call),
                                       forget_before](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection
                        .Execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                                 {user, call.request_id, call.invocation, call.tool, call.tool_version,
                                  storage::Blob{call.input_digest}, call.output, absl::StrJoin(call.artifacts, "\n"),
                                  absl::ToInt64Microseconds(call.duration), absl::ToUnixMicros(call.finish_time)})
                        .status());
    return connection.Execute("DELETE FROM calls WHERE finish_time < ?", {absl::ToUnixMicros(forget_before)}).status();
  });
}

}  // namespace bulkhead::tool
