// Users' definitions of agents, and which roles see them. Versions that are replaced or deleted stay for the runs that began with them.
#ifndef SERVICES_AGENT_DEFINITION_STORE_H_
#define SERVICES_AGENT_DEFINITION_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::storage {
class Database;
struct Migration;
}  // namespace bulkhead::storage

namespace bulkhead::agent {

// The tables of the store. They stand in the database of the runs, whose `definition` refers to them.
extern const storage::Migration kDefinitionTables;
extern const storage::Migration kDefinitionSharing;

// One version of a definition.
struct DefinitionRecord {
  int64_t key = 0;    // Of this version; never used again.
  std::string owner;  // The id of its user.
  std::string name;   // "weekly-report", unique among its owner's.
  int64_t version = 0;
  std::string content;  // A serialized bulkhead.agent.v1.Agent; what the store knows is not in it.
  absl::Time update_time;
  std::vector<std::string>
      shared_with;  // Ids of roles. Only for Create and Update: what is read has them in its content.

  // Differs from version to version, also when a name is used again.
  std::string etag() const;
};

// Thread-safe. Errors: those of storage, and as named, domain bulkhead.agent.
class DefinitionStore {
 public:
  // `database` outlives the store.
  explicit DefinitionStore(storage::Database* database) : database_(database) {}

  // With `validate_only`, Create and Update answer as they would, and change nothing.
  //
  // What one user sees: what it has made, and what is shared with one of its roles. Its own stands before another's of the same name.
  class Scoped {
   public:
    // The newest version. NOT_FOUND `AGENT_NOT_FOUND`.
    absl::StatusOr<DefinitionRecord> Get(std::string name) const;
    // The newest versions, by name.
    absl::StatusOr<std::vector<DefinitionRecord>> List() const;
    // Version 1, or what the first call with this request id made. ALREADY_EXISTS `AGENT_EXISTS`,
    // RESOURCE_EXHAUSTED `AGENT_QUOTA_EXCEEDED`. A name can be shared by one user only: ALREADY_EXISTS `AGENT_NAME_SHARED`.
    Awaitable<absl::StatusOr<DefinitionRecord>> Create(DefinitionRecord definition, std::string request_id,
                                                       bool validate_only) const;
    // The next version, of what is the user's own. NOT_FOUND `AGENT_NOT_FOUND`; ABORTED `AGENT_CHANGED` unless `etag` is the
    // newest one's; ALREADY_EXISTS `AGENT_NAME_SHARED`.
    Awaitable<absl::StatusOr<DefinitionRecord>> Update(DefinitionRecord definition, std::string etag,
                                                       bool validate_only) const;
    // What is the user's own. NOT_FOUND `AGENT_NOT_FOUND`.
    Awaitable<absl::Status> Delete(std::string name, absl::Time now) const;

   private:
    friend class DefinitionStore;
    Scoped(storage::Database* database, std::string owner, std::vector<std::string> roles)
        : database_(database), owner_(std::move(owner)), roles_(std::move(roles)) {}
    storage::Database* database_;
    std::string owner_;
    std::vector<std::string> roles_;
  };
  Scoped For(std::string owner, std::vector<std::string> roles) const {
    return Scoped(database_, std::move(owner), std::move(roles));
  }

  // --- for the engine, which executes everybody's runs ---

  // One version, also after it has been replaced or deleted. NOT_FOUND `AGENT_NOT_FOUND`.
  absl::StatusOr<DefinitionRecord> VersionAcrossUsers(int64_t key) const;

 private:
  storage::Database* const database_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_DEFINITION_STORE_H_
