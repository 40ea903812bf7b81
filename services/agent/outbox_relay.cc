#include "services/agent/outbox_relay.h"

#include <algorithm>
#include <iterator>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {
namespace {

constexpr char kName[] = "outbox";

// An event that is given up takes the rest of its run's with it, the end too: the notifier takes none after a gap. So
// only what says something against the event itself is for good. A disk that is full, a token that is refused or a bug of
// the notifier are mended, and then all goes on.
bool MayPass(const absl::Status& error) {
  static constexpr std::string_view kForGood[] = {"EVENT_INVALID",      "EVENT_CONFLICT",   "EVENT_SEQUENCE_GAP",
                                                  "EVENT_STREAM_ENDED", "STREAM_NOT_FOUND", "OUTBOX_CORRUPT"};
  return std::ranges::find(kForGood, ReasonOf(error)) == std::end(kForGood);
}

// What the checkpoint has passed leaves the outbox with it, in one transaction.
class TrimmingCheckpoints final : public pipeline::CheckpointStore {
 public:
  explicit TrimmingCheckpoints(storage::Database* database)
      : database_(database), checkpoints_(pipeline::CreateSqlCheckpointStore(database)) {}

  absl::StatusOr<pipeline::Position> Load(std::string_view pipeline) override { return checkpoints_->Load(pipeline); }

  Awaitable<absl::Status> Save(std::string pipeline, pipeline::Position position) override {
    co_return co_await database_->Write(
        [pipeline = std::move(pipeline), position](storage::Connection& connection) -> absl::Status {
          RETURN_IF_ERROR(pipeline::SaveCheckpoint(connection, pipeline, position));
          return connection.Execute("DELETE FROM outbox WHERE key <= ?", {position}).status();
        });
  }

 private:
  storage::Database* const database_;
  const std::unique_ptr<pipeline::CheckpointStore> checkpoints_;
};

std::unique_ptr<pipeline::Pipeline> MakePipeline(const OutboxRelay::Dependencies& dependencies,
                                                 pipeline::Source* outbox, pipeline::CheckpointStore* checkpoints,
                                                 pipeline::DeadLetterStore* dead_letters) {
  return pipeline::From(outbox,
                        {.name = kName,
                         .queue_size = 512,
                         .read_limit = 512,
                         .may_pass = &MayPass,
                         .max_backoff = absl::Seconds(2)},
                        {.executor = dependencies.executor,
                         .clock = dependencies.clock,
                         .checkpoints = checkpoints,
                         .dead_letters = dead_letters})
      .Then("number",
            [](const pipeline::Record& record) -> absl::StatusOr<OutboxEntry> {
              return OutboxEntry{.id = record.position, .event = record.data};
            })
      .Into("publish", {.max_records = 500},
            [publisher = dependencies.publisher](const std::vector<OutboxEntry>& entries, std::stop_token stop) {
              return publisher->Publish(entries, std::move(stop));
            });
}

}  // namespace

OutboxRelay::OutboxRelay(Dependencies dependencies)
    : checkpoints_(std::make_unique<TrimmingCheckpoints>(&dependencies.store->database())),
      dead_letters_(pipeline::CreateSqlDeadLetterStore(&dependencies.store->database())),
      outbox_(pipeline::CreateSqlSource(&dependencies.store->database(),
                                        "SELECT key, event FROM outbox WHERE key > ? ORDER BY key LIMIT ?")),
      pipeline_(MakePipeline(dependencies, outbox_.get(), checkpoints_.get(), dead_letters_.get())) {}

}  // namespace bulkhead::agent
