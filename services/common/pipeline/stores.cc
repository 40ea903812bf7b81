#include "services/common/pipeline/stores.h"

#include <utility>

#include "services/common/status/macros.h"

namespace bulkhead::pipeline {

// Initialized at compile time, since other files' lists of migrations may copy it before main begins.
constinit const storage::Migration kPipelineTables = {"pipeline tables", R"sql(
CREATE TABLE pipeline_checkpoints (
  pipeline TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE pipeline_dead_letters (
  pipeline TEXT NOT NULL,
  position INTEGER NOT NULL,
  stage TEXT NOT NULL,
  record BLOB NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL,
  time INTEGER NOT NULL,
  PRIMARY KEY (pipeline, position)
) STRICT, WITHOUT ROWID;
)sql"};

namespace {

class SqlCheckpointStore : public CheckpointStore {
 public:
  explicit SqlCheckpointStore(storage::Database* database) : database_(database) {}

  absl::StatusOr<Position> Load(std::string_view pipeline) override {
    Position position = 0;
    RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) {
      return connection.Query("SELECT position FROM pipeline_checkpoints WHERE pipeline = ?", {std::string(pipeline)},
                              [&position](const storage::Row& row) {
                                position = row.Int(0);
                                return absl::OkStatus();
                              });
    }));
    return position;
  }

  Awaitable<absl::Status> Save(std::string pipeline, Position position) override {
    co_return co_await database_->Write([pipeline = std::move(pipeline), position](storage::Connection& connection) {
      return SaveCheckpoint(connection, pipeline, position);
    });
  }

 private:
  storage::Database* const database_;
};

class SqlDeadLetterStore : public DeadLetterStore {
 public:
  explicit SqlDeadLetterStore(storage::Database* database) : database_(database) {}

  Awaitable<absl::Status> Add(DeadLetter letter) override {
    co_return co_await database_->Write([letter = std::move(letter)](storage::Connection& connection) {
      return connection
          .Execute(
              "INSERT OR REPLACE INTO pipeline_dead_letters "
              "(pipeline, position, stage, record, code, reason, message, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
              {letter.pipeline, letter.position, letter.stage, storage::Blob{letter.record}, letter.code, letter.reason,
               letter.message, absl::ToUnixMicros(letter.time)})
          .status();
    });
  }

  absl::StatusOr<std::vector<DeadLetter>> List(std::string_view pipeline, Position after, size_t limit) override {
    std::vector<DeadLetter> letters;
    RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) {
      return connection.Query(
          "SELECT position, stage, record, code, reason, message, time FROM pipeline_dead_letters "
          "WHERE pipeline = ? AND position > ? ORDER BY position LIMIT ?",
          {std::string(pipeline), after, static_cast<int64_t>(limit)}, [&](const storage::Row& row) {
            letters.push_back({.pipeline = std::string(pipeline),
                               .position = row.Int(0),
                               .stage = row.Text(1),
                               .record = row.Blob(2),
                               .code = row.Text(3),
                               .reason = row.Text(4),
                               .message = row.Text(5),
                               .time = absl::FromUnixMicros(row.Int(6))});
            return absl::OkStatus();
          });
    }));
    return letters;
  }

 private:
  storage::Database* const database_;
};

}  // namespace

absl::Status SaveCheckpoint(storage::Connection& connection, std::string_view pipeline, Position position) {
  return connection
      .Execute(
          "INSERT INTO pipeline_checkpoints (pipeline, position) VALUES (?, ?) "
          "ON CONFLICT (pipeline) DO UPDATE SET position = excluded.position",
          {std::string(pipeline), position})
      .status();
}

std::unique_ptr<CheckpointStore> CreateSqlCheckpointStore(storage::Database* database) {
  return std::make_unique<SqlCheckpointStore>(database);
}

std::unique_ptr<DeadLetterStore> CreateSqlDeadLetterStore(storage::Database* database) {
  return std::make_unique<SqlDeadLetterStore>(database);
}

}  // namespace bulkhead::pipeline
