// Users' definitions of agents, each version kept.
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

// The tables of the store.
extern const storage::Migration kDefinitionTables;

// One version of a definition.
struct DefinitionRecord {
  std::string name;  // "weekly-report", unique among its owner's.
  int64_t version = 0;
  std::string content;  // A serialized bulkhead.agent.v1.Agent; what the store knows is not in it.
  absl::Time update_time;

  // Differs from version to version, also when a name is used again.
  std::string etag() const;
};

// Thread-safe. Errors: those of storage, and as named, domain bulkhead.agent.
class DefinitionStore {
 public:
  // `database` outlives the store.
  explicit DefinitionStore(storage::Database* database) : database_(database) {}

  // What one user has made; nobody else sees it.
  class Scoped {
   public:
    // The newest version. NOT_FOUND `AGENT_NOT_FOUND`.
    absl::StatusOr<DefinitionRecord> Get(std::string name) const;
    // The newest versions, by name.
    absl::StatusOr<std::vector<DefinitionRecord>> List() const;
    // Version 1, or what the first call with this request id made. ALREADY_EXISTS `AGENT_EXISTS`,
    // RESOURCE_EXHAUSTED `AGENT_QUOTA_EXCEEDED`.
    Awaitable<absl::StatusOr<DefinitionRecord>> Create(DefinitionRecord definition, std::string request_id) const;
    // The next version. NOT_FOUND `AGENT_NOT_FOUND`; ABORTED `AGENT_CHANGED` unless `etag` is the
    // newest one's.
    Awaitable<absl::StatusOr<DefinitionRecord>> Update(DefinitionRecord definition, std::string etag) const;
    // All versions. NOT_FOUND `AGENT_NOT_FOUND`.
    Awaitable<absl::Status> Delete(std::string name) const;

   private:
    friend class DefinitionStore;
    Scoped(storage::Database* database, std::string owner) : database_(database), owner_(std::move(owner)) {}
    storage::Database* database_;
    std::string owner_;
  };
  Scoped For(std::string owner) const { return Scoped(database_, std::move(owner)); }

 private:
  storage::Database* const database_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_DEFINITION_STORE_H_
