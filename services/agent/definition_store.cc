#include "services/agent/definition_store.h"

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {
namespace {

using storage::Connection;
using storage::Row;

constexpr int64_t kMaxDefinitions = 1000;  // Of one user.

constexpr std::string_view kSchema = R"sql(
CREATE TABLE definitions (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  content BLOB NOT NULL,
  update_time INTEGER NOT NULL,
  request_id TEXT
);
CREATE UNIQUE INDEX definitions_by_name ON definitions (owner, name, version);
CREATE UNIQUE INDEX definitions_by_request ON definitions (owner, request_id);
)sql";

absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view message, std::string_view name) {
  return MakeError(
      code, message,
      {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = {{"agent", std::string(name)}}});
}

absl::Status NotFound(std::string_view name) {
  return Refused(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND", absl::StrCat("there is no agent '", name, "'"), name);
}

DefinitionRecord DefinitionOf(const Row& row) {
  return {.name = row.Text(0),
          .version = row.Int(1),
          .content = row.Blob(2),
          .update_time = absl::FromUnixMicros(row.Int(3))};
}

// `rest` follows FROM definitions.
absl::StatusOr<std::vector<DefinitionRecord>> Select(Connection& connection, std::string_view rest,
                                                     std::vector<storage::Value> values) {
  std::vector<DefinitionRecord> definitions;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT name, version, content, update_time FROM definitions ", rest),
                                   std::move(values), [&definitions](const Row& row) {
                                     definitions.push_back(DefinitionOf(row));
                                     return absl::OkStatus();
                                   }));
  return definitions;
}

absl::StatusOr<std::optional<DefinitionRecord>> Newest(Connection& connection, const std::string& owner,
                                                       const std::string& name) {
  ASSIGN_OR_RETURN(std::vector<DefinitionRecord> found,
                   Select(connection, "WHERE owner = ? AND name = ? ORDER BY version DESC LIMIT 1", {owner, name}));
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

absl::Status Insert(Connection& connection, const std::string& owner, const DefinitionRecord& definition,
                    const std::string& request_id) {
  return connection
      .Execute(
          "INSERT INTO definitions (owner, name, version, content, update_time, request_id) VALUES "
          "(?, ?, ?, ?, ?, ?)",
          {owner, definition.name, definition.version, storage::Blob{definition.content},
           absl::ToUnixMicros(definition.update_time),
           request_id.empty() ? storage::Value(nullptr) : storage::Value(request_id)})
      .status();
}

}  // namespace

const storage::Migration kDefinitionTables = {.name = "definitions", .statements = kSchema};

std::string DefinitionRecord::etag() const { return absl::StrCat(version, "-", absl::ToUnixMicros(update_time)); }

absl::StatusOr<DefinitionRecord> DefinitionStore::Scoped::Get(std::string name) const {
  std::optional<DefinitionRecord> definition;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(definition, Newest(connection, owner_, name));
    return absl::OkStatus();
  }));
  if (!definition.has_value()) {
    return NotFound(name);
  }
  return *std::move(definition);
}

absl::StatusOr<std::vector<DefinitionRecord>> DefinitionStore::Scoped::List() const {
  std::vector<DefinitionRecord> definitions;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(definitions, Select(connection,
                                         "AS a WHERE owner = ?1 AND version = (SELECT max(version) "
                                         "FROM definitions WHERE owner = ?1 AND "
                                         "name = a.name) ORDER BY name",
                                         {owner_}));
    return absl::OkStatus();
  }));
  return definitions;
}

Awaitable<absl::StatusOr<DefinitionRecord>> DefinitionStore::Scoped::Create(DefinitionRecord definition,
                                                                            std::string request_id) const {
  const std::string owner = owner_;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    if (!request_id.empty()) {
      ASSIGN_OR_RETURN(std::vector<DefinitionRecord> first,
                       Select(connection, "WHERE owner = ? AND request_id = ?", {owner, request_id}));
      if (!first.empty()) {
        definition = std::move(first.front());
        return absl::OkStatus();
      }
    }
    ASSIGN_OR_RETURN(std::optional<DefinitionRecord> existing, Newest(connection, owner, definition.name));
    if (existing.has_value()) {
      return Refused(absl::StatusCode::kAlreadyExists, "AGENT_EXISTS",
                     absl::StrCat("there is an agent '", definition.name, "' already"), definition.name);
    }
    int64_t count = 0;
    RETURN_IF_ERROR(connection.Query("SELECT count(DISTINCT name) FROM definitions WHERE owner = ?", {owner},
                                     [&count](const Row& row) {
                                       count = row.Int(0);
                                       return absl::OkStatus();
                                     }));
    if (count >= kMaxDefinitions) {
      return Refused(absl::StatusCode::kResourceExhausted, "AGENT_QUOTA_EXCEEDED",
                     absl::StrCat("there are ", count, " definitions already: delete one"), definition.name);
    }
    definition.version = 1;
    return Insert(connection, owner, definition, request_id);
  });
  CO_RETURN_IF_ERROR(written);
  co_return definition;
}

Awaitable<absl::StatusOr<DefinitionRecord>> DefinitionStore::Scoped::Update(DefinitionRecord definition,
                                                                            std::string etag) const {
  const std::string owner = owner_;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<DefinitionRecord> newest, Newest(connection, owner, definition.name));
    if (!newest.has_value()) {
      return NotFound(definition.name);
    }
    if (newest->etag() != etag) {
      return Refused(absl::StatusCode::kAborted, "AGENT_CHANGED",
                     absl::StrCat("the agent is at version ", newest->version, " by now: get it again"),
                     definition.name);
    }
    definition.version = newest->version + 1;
    return Insert(connection, owner, definition, "");
  });
  CO_RETURN_IF_ERROR(written);
  co_return definition;
}

Awaitable<absl::Status> DefinitionStore::Scoped::Delete(std::string name) const {
  const std::string owner = owner_;
  co_return co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(int64_t deleted,
                     connection.Execute("DELETE FROM definitions WHERE owner = ? AND name = ?", {owner, name}));
    return deleted == 0 ? NotFound(name) : absl::OkStatus();
  });
}

}  // namespace bulkhead::agent
