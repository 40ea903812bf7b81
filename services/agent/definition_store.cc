#include "services/agent/definition_store.h"

#include <algorithm>
#include <iterator>
#include <map>

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
// How long a version is kept that no run needs any more: longer than the creation of a run can take that has just found it.
constexpr absl::Duration kKeepRetired = absl::Hours(24);

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

// Live versions are the newest ones. A retired one, replaced or deleted, is kept while a run may need it.
constexpr std::string_view kSharing = R"sql(
ALTER TABLE definitions ADD COLUMN retire_time INTEGER;
UPDATE definitions SET retire_time = update_time
  WHERE version < (SELECT max(version) FROM definitions AS newer WHERE newer.owner = definitions.owner AND newer.name = definitions.name);
DROP INDEX definitions_by_name;
CREATE UNIQUE INDEX definitions_live ON definitions (owner, name) WHERE retire_time IS NULL;
CREATE INDEX definitions_retired ON definitions (owner, retire_time) WHERE retire_time IS NOT NULL;

CREATE TABLE definition_shares (
  role TEXT NOT NULL,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  PRIMARY KEY (role, name)
) WITHOUT ROWID;
CREATE INDEX definition_shares_by_name ON definition_shares (name);
)sql";

absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view message, std::string_view name) {
  return MakeError(
      code, message,
      {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = {{"agent", std::string(name)}}});
}

absl::Status NotFound(std::string_view name) {
  return Refused(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND", absl::StrCat("there is no agent '", name, "'"), name);
}

constexpr std::string_view kColumns =
    "definitions.key, definitions.owner, definitions.name, version, content, update_time";

DefinitionRecord DefinitionOf(const Row& row) {
  return {.key = row.Int(0),
          .owner = row.Text(1),
          .name = row.Text(2),
          .version = row.Int(3),
          .content = row.Blob(4),
          .update_time = absl::FromUnixMicros(row.Int(5))};
}

// `rest` follows FROM definitions.
absl::StatusOr<std::vector<DefinitionRecord>> Select(Connection& connection, std::string_view rest,
                                                     std::vector<storage::Value> values) {
  std::vector<DefinitionRecord> definitions;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT ", kColumns, " FROM definitions ", rest), std::move(values),
                                   [&definitions](const Row& row) {
                                     definitions.push_back(DefinitionOf(row));
                                     return absl::OkStatus();
                                   }));
  return definitions;
}

absl::StatusOr<std::optional<DefinitionRecord>> First(Connection& connection, std::string_view rest,
                                                      std::vector<storage::Value> values) {
  ASSIGN_OR_RETURN(std::vector<DefinitionRecord> found, Select(connection, rest, std::move(values)));
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

absl::StatusOr<std::optional<DefinitionRecord>> Own(Connection& connection, const std::string& owner,
                                                    const std::string& name) {
  return First(connection, "WHERE owner = ? AND name = ? AND retire_time IS NULL", {owner, name});
}

// By name; those of one name that is shared with several roles of the user are one.
absl::StatusOr<std::vector<DefinitionRecord>> SharedWith(Connection& connection, const std::string& role,
                                                         const std::string& name) {
  std::string rest =
      "JOIN definition_shares AS shares ON shares.owner = definitions.owner AND shares.name = definitions.name "
      "WHERE retire_time IS NULL AND shares.role = ?";
  std::vector<storage::Value> values = {role};
  if (!name.empty()) {
    absl::StrAppend(&rest, " AND shares.name = ?");
    values.push_back(name);
  }
  return Select(connection, rest, std::move(values));
}

absl::Status Insert(Connection& connection, DefinitionRecord& definition, const std::string& request_id) {
  RETURN_IF_ERROR(
      connection
          .Execute("INSERT INTO definitions (owner, name, version, content, update_time, request_id) VALUES "
                   "(?, ?, ?, ?, ?, ?)",
                   {definition.owner, definition.name, definition.version, storage::Blob{definition.content},
                    absl::ToUnixMicros(definition.update_time),
                    request_id.empty() ? storage::Value(nullptr) : storage::Value(request_id)})
          .status());
  definition.key = connection.last_insert_id();
  return absl::OkStatus();
}

// One user's definition of a name is shared at a time, or another user's runs of it would be ambiguous.
absl::Status Share(Connection& connection, const DefinitionRecord& definition) {
  RETURN_IF_ERROR(
      connection
          .Execute("DELETE FROM definition_shares WHERE name = ? AND owner = ?", {definition.name, definition.owner})
          .status());
  if (definition.shared_with.empty()) {
    return absl::OkStatus();
  }
  bool taken = false;
  RETURN_IF_ERROR(connection.Query("SELECT 1 FROM definition_shares WHERE name = ? LIMIT 1", {definition.name},
                                   [&taken](const Row&) {
                                     taken = true;
                                     return absl::OkStatus();
                                   }));
  if (taken) {
    return Refused(absl::StatusCode::kAlreadyExists, "AGENT_NAME_SHARED",
                   absl::StrCat("another user shares an agent '", definition.name, "': choose another name"),
                   definition.name);
  }
  for (const std::string& role : definition.shared_with) {
    RETURN_IF_ERROR(connection
                        .Execute("INSERT INTO definition_shares (role, name, owner) VALUES (?, ?, ?)",
                                 {role, definition.name, definition.owner})
                        .status());
  }
  return absl::OkStatus();
}

// The live version goes; runs that have begun with it keep it. A request id makes something new from here on.
absl::StatusOr<int64_t> Retire(Connection& connection, const std::string& owner, const std::string& name,
                               absl::Time now) {
  ASSIGN_OR_RETURN(const int64_t retired,
                   connection.Execute("UPDATE definitions SET retire_time = ?, request_id = NULL WHERE owner = ? AND "
                                      "name = ? AND retire_time IS NULL",
                                      {absl::ToUnixMicros(now), owner, name}));
  RETURN_IF_ERROR(
      connection
          .Execute("DELETE FROM definitions WHERE owner = ? AND retire_time < ? AND NOT EXISTS (SELECT 1 FROM "
                   "runs WHERE runs.definition = definitions.key AND runs.definition <> 0 AND runs.state <= 4)",
                   {owner, absl::ToUnixMicros(now - kKeepRetired)})
          .status());
  return retired;
}

// The error that takes back a transaction which has shown that it would succeed.
absl::Status TakenBack() {
  return Refused(absl::StatusCode::kCancelled, "VALIDATED_ONLY", "the definition would be accepted", "");
}
absl::Status UnlessTakenBack(const absl::Status& written) {
  return ReasonOf(written) == "VALIDATED_ONLY" ? absl::OkStatus() : written;
}

}  // namespace

const storage::Migration kDefinitionTables = {.name = "definitions", .statements = kSchema};
const storage::Migration kDefinitionSharing = {.name = "definition_sharing", .statements = kSharing};

std::string DefinitionRecord::etag() const { return absl::StrCat(version, "-", absl::ToUnixMicros(update_time)); }

absl::StatusOr<DefinitionRecord> DefinitionStore::Scoped::Get(std::string name) const {
  std::optional<DefinitionRecord> definition;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(definition, Own(connection, owner_, name));
    for (size_t i = 0; i < roles_.size() && !definition.has_value(); ++i) {
      ASSIGN_OR_RETURN(std::vector<DefinitionRecord> shared, SharedWith(connection, roles_[i], name));
      if (!shared.empty()) {
        definition = std::move(shared.front());
      }
    }
    return absl::OkStatus();
  }));
  if (!definition.has_value()) {
    return NotFound(name);
  }
  return *std::move(definition);
}

absl::StatusOr<std::vector<DefinitionRecord>> DefinitionStore::Scoped::List() const {
  std::map<std::string, DefinitionRecord> by_name;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<DefinitionRecord> found,
                     Select(connection, "WHERE owner = ? AND retire_time IS NULL", {owner_}));
    for (const std::string& role : roles_) {
      ASSIGN_OR_RETURN(std::vector<DefinitionRecord> shared, SharedWith(connection, role, ""));
      std::ranges::move(shared, std::back_inserter(found));
    }
    for (DefinitionRecord& definition : found) {
      by_name.try_emplace(definition.name, std::move(definition));  // The user's own came first.
    }
    return absl::OkStatus();
  }));
  std::vector<DefinitionRecord> definitions;
  for (auto& [name, definition] : by_name) {
    definitions.push_back(std::move(definition));
  }
  return definitions;
}

Awaitable<absl::StatusOr<DefinitionRecord>> DefinitionStore::Scoped::Create(DefinitionRecord definition,
                                                                            std::string request_id,
                                                                            bool validate_only) const {
  definition.owner = owner_;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    if (!request_id.empty()) {
      ASSIGN_OR_RETURN(std::optional<DefinitionRecord> first,
                       First(connection, "WHERE owner = ? AND request_id = ?", {definition.owner, request_id}));
      if (first.has_value()) {
        definition = *std::move(first);
        return absl::OkStatus();
      }
    }
    ASSIGN_OR_RETURN(std::optional<DefinitionRecord> existing, Own(connection, definition.owner, definition.name));
    if (existing.has_value()) {
      return Refused(absl::StatusCode::kAlreadyExists, "AGENT_EXISTS",
                     absl::StrCat("there is an agent '", definition.name, "' already"), definition.name);
    }
    int64_t count = 0;
    RETURN_IF_ERROR(connection.Query("SELECT count(*) FROM definitions WHERE owner = ? AND retire_time IS NULL",
                                     {definition.owner}, [&count](const Row& row) {
                                       count = row.Int(0);
                                       return absl::OkStatus();
                                     }));
    if (count >= kMaxDefinitions) {
      return Refused(absl::StatusCode::kResourceExhausted, "AGENT_QUOTA_EXCEEDED",
                     absl::StrCat("there are ", count, " definitions already: delete one"), definition.name);
    }
    definition.version = 1;
    RETURN_IF_ERROR(Share(connection, definition));
    RETURN_IF_ERROR(Insert(connection, definition, request_id));
    return validate_only ? TakenBack() : absl::OkStatus();
  });
  CO_RETURN_IF_ERROR(UnlessTakenBack(written));
  co_return definition;
}

Awaitable<absl::StatusOr<DefinitionRecord>> DefinitionStore::Scoped::Update(DefinitionRecord definition,
                                                                            std::string etag,
                                                                            bool validate_only) const {
  definition.owner = owner_;
  absl::Status written = co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<DefinitionRecord> newest, Own(connection, definition.owner, definition.name));
    if (!newest.has_value()) {
      return NotFound(definition.name);
    }
    if (newest->etag() != etag) {
      return Refused(absl::StatusCode::kAborted, "AGENT_CHANGED",
                     absl::StrCat("the agent is at version ", newest->version, " by now: get it again"),
                     definition.name);
    }
    definition.version = newest->version + 1;
    RETURN_IF_ERROR(Retire(connection, definition.owner, definition.name, definition.update_time).status());
    RETURN_IF_ERROR(Share(connection, definition));
    RETURN_IF_ERROR(Insert(connection, definition, ""));
    return validate_only ? TakenBack() : absl::OkStatus();
  });
  CO_RETURN_IF_ERROR(UnlessTakenBack(written));
  co_return definition;
}

Awaitable<absl::Status> DefinitionStore::Scoped::Delete(std::string name, absl::Time now) const {
  const std::string owner = owner_;
  co_return co_await database_->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t deleted, Retire(connection, owner, name, now));
    if (deleted == 0) {
      return NotFound(name);
    }
    return connection.Execute("DELETE FROM definition_shares WHERE name = ? AND owner = ?", {name, owner}).status();
  });
}

absl::StatusOr<DefinitionRecord> DefinitionStore::VersionAcrossUsers(int64_t key) const {
  std::optional<DefinitionRecord> definition;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(definition, First(connection, "WHERE key = ?", {key}));
    return absl::OkStatus();
  }));
  if (!definition.has_value()) {
    return NotFound(absl::StrCat("definition ", key));
  }
  return *std::move(definition);
}

}  // namespace bulkhead::agent
