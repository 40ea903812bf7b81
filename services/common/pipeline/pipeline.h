// Records from a source, through typed stages, in batches into a sink: in order, bounded, and resumed where it stopped.
//
//   std::unique_ptr<Pipeline> relay =
//       pipeline::From(source, {.name = "outbox"}, dependencies)
//           .Then("parse", [](const Record& record) -> absl::StatusOr<Event> { return ParseEvent(record.data); })
//           .Into("publish", {.max_records = 200}, [this](const std::vector<Event>& events, std::stop_token stop) {
//             return Publish(events, stop);  // Awaitable<absl::Status>
//           });
//   RETURN_IF_ERROR(relay->Start());
//   relay->Wake();             // After each commit that added records.
//   co_await relay->Stop();
//
// A stage takes `const In&` and returns absl::StatusOr<Out>, or an Awaitable of it. A record that a stage or the sink refuses for good goes to the
// dead letters with the reason, and the others go on; any other error is tried again, with growing pauses on the clock, while the records behind
// wait. Every queue in between is bounded, so a slow sink slows the source and nobody else.
//
// The checkpoint moves after the sink's success. A crash between the two repeats a batch, so a sink tells repetitions apart, by the position or a key.
#ifndef SERVICES_COMMON_PIPELINE_PIPELINE_H_
#define SERVICES_COMMON_PIPELINE_PIPELINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/pipeline/stores.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::pipeline {

namespace internal {
class Core;
}

struct Record {
  Position position = 0;
  std::string data;
};

// Where records come from. Used by one pipeline, one call at a time.
class Source {
 public:
  virtual ~Source() = default;
  // The records after `after` in order of position, at most `limit`; none when there are none yet.
  virtual Awaitable<absl::StatusOr<std::vector<Record>>> Read(Position after, size_t limit) = 0;
};

// A source over a query with two parameters, position and limit, and two columns, position and data:
// "SELECT sequence, event FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT ?". `database` outlives it.
std::unique_ptr<Source> CreateSqlSource(storage::Database* database, std::string query);

// True for errors that say nothing against the record: UNAVAILABLE, ABORTED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, and the caller's own CANCELLED and
// UNAUTHENTICATED. All others are for good.
bool MayPass(const absl::Status& error);

struct Options {
  std::string name;         // Of its checkpoint and dead letters.
  size_t queue_size = 256;  // Of each queue.
  size_t read_limit = 256;  // Records a read of the source.
  // Which errors of stages and sink are tried again; after the others the record is buried.
  bool (*may_pass)(const absl::Status& error) = &MayPass;
  // Pauses after errors that may pass: doubling from the first to the second.
  absl::Duration min_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(30);
  // How often to look at a source that nobody wakes.
  absl::Duration poll_interval = absl::InfiniteDuration();
};

// A batch goes out when one of these is reached.
struct BatchOptions {
  size_t max_records = 100;
  size_t max_bytes = 1 << 20;  // Of the records as the source gave them; a larger record goes alone.
  // How long the first record of a batch waits for others. Zero takes what is there.
  absl::Duration linger = absl::ZeroDuration();
};

// All outlive the pipeline.
struct Dependencies {
  Executor* executor = nullptr;
  Clock* clock = nullptr;
  CheckpointStore* checkpoints = nullptr;
  DeadLetterStore* dead_letters = nullptr;
};

struct QueueDepth {
  std::string stage;  // That the queue feeds.
  size_t size = 0;
  size_t capacity = 0;
};

struct Counts {
  uint64_t read = 0;
  uint64_t delivered = 0;
  uint64_t dead = 0;
  uint64_t retries = 0;
  Position checkpoint = 0;
};

// Thread-safe. Start once.
class Pipeline {
 public:
  explicit Pipeline(std::shared_ptr<internal::Core> core);
  // Stops at once: what is under way is cancelled and comes again after a restart. Blocks for the little that this takes; never on the executor's threads.
  ~Pipeline();

  // Resumes after the checkpoint.
  absl::Status Start();
  // There may be new records.
  void Wake();
  // Reads no more, delivers what it has read, saves its checkpoint, ends. What the sink cannot take now stays in the source.
  Awaitable<void> Stop();

  std::vector<QueueDepth> depths() const;
  Counts counts() const;

 private:
  std::shared_ptr<internal::Core> core_;
};

// A pipeline under construction, whose last stage gives `T`.
template <typename T>
class Flow;

// `source` outlives the pipeline.
Flow<Record> From(Source* source, Options options, Dependencies dependencies);

}  // namespace bulkhead::pipeline

#include "services/common/pipeline/pipeline_impl.h"

#endif  // SERVICES_COMMON_PIPELINE_PIPELINE_H_
