// What a pipeline remembers: how far it has come, and what it could not deliver.
#ifndef SERVICES_COMMON_PIPELINE_STORES_H_
#define SERVICES_COMMON_PIPELINE_STORES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::pipeline {

// Where a record stands in its source: grows from record to record, above 0.
using Position = int64_t;

// Thread-safe.
class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;
  // The last position saved; 0 at first.
  virtual absl::StatusOr<Position> Load(std::string_view pipeline) = 0;
  // Resumes when it is durable.
  virtual Awaitable<absl::Status> Save(std::string pipeline, Position position) = 0;
};

// A record that was refused for good, and why.
struct DeadLetter {
  std::string pipeline;
  Position position = 0;
  std::string stage;   // Which one refused it.
  std::string record;  // As the source gave it.
  std::string code;    // "INVALID_ARGUMENT"
  std::string reason;  // Of the error's ErrorInfo; "" when it had none.
  std::string message;
  absl::Time time;
};

// Thread-safe.
class DeadLetterStore {
 public:
  virtual ~DeadLetterStore() = default;
  // Replaces the letter of the same pipeline and position, if there is one. Resumes when it is durable.
  virtual Awaitable<absl::Status> Add(DeadLetter letter) = 0;
  // In order of position.
  virtual absl::StatusOr<std::vector<DeadLetter>> List(std::string_view pipeline, Position after, size_t limit) = 0;
};

// The tables of the two stores below; a service lists it among its own migrations.
extern const storage::Migration kPipelineTables;

// Moves the checkpoint within the transaction of `connection`, for who changes something else with it.
absl::Status SaveCheckpoint(storage::Connection& connection, std::string_view pipeline, Position position);

// Both in the service's own database, which outlives them.
std::unique_ptr<CheckpointStore> CreateSqlCheckpointStore(storage::Database* database);
std::unique_ptr<DeadLetterStore> CreateSqlDeadLetterStore(storage::Database* database);

}  // namespace bulkhead::pipeline

#endif  // SERVICES_COMMON_PIPELINE_STORES_H_
