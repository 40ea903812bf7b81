#include "services/common/pipeline/pipeline.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/absl_check.h"
#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::pipeline {
namespace {

constexpr char kDomain[] = "bulkhead.pipeline";

bool Always(const absl::Status&) { return true; }

std::string Brief(const absl::Status& error) {
  return absl::StrCat(absl::StatusCodeToString(error.code()), " ", ReasonOf(error), ": ", error.message());
}

// What the function of a stage does, with exceptions made errors against the record.
Awaitable<absl::Status> Guarded(std::string_view stage, absl::AnyInvocable<Awaitable<absl::Status>()>& step) {
  std::string what;
  try {
    co_return co_await step();
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
    what = "an unknown type";
  }
  co_return MakeError(absl::StatusCode::kInternal, absl::StrCat("stage '", stage, "' threw: ", what),
                      {.domain = kDomain, .reason = "STAGE_THREW", .metadata = {{"stage", std::string(stage)}}});
}

class SqlSource : public Source {
 public:
  SqlSource(storage::Database* database, std::string query) : database_(database), query_(std::move(query)) {}

  Awaitable<absl::StatusOr<std::vector<Record>>> Read(Position after, size_t limit) override {
    std::vector<Record> records;
    CO_RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) {
      return connection.Query(query_, {after, static_cast<int64_t>(limit)}, [&records](const storage::Row& row) {
        records.push_back({.position = row.Int(0), .data = row.Blob(1)});
        return absl::OkStatus();
      });
    }));
    co_return records;
  }

 private:
  storage::Database* const database_;
  const std::string query_;
};

}  // namespace

std::unique_ptr<Source> CreateSqlSource(storage::Database* database, std::string query) {
  return std::make_unique<SqlSource>(database, std::move(query));
}

bool MayPass(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnauthenticated:
      return true;
    default:  // absl::StatusCode asks for a default; codes yet unknown are for good too.
      return false;
  }
}

namespace internal {

Core::Core(Source* source, Options options, Dependencies dependencies)
    : source_(source), options_(std::move(options)), dependencies_(dependencies) {
  ABSL_CHECK(!options_.name.empty());
}

absl::Status Core::Start() {
  ASSIGN_OR_RETURN(Position checkpoint, dependencies_.checkpoints->Load(options_.name));
  {
    absl::MutexLock lock(mutex_);
    counts_.checkpoint = checkpoint;
  }
  for (Task& task : std::exchange(tasks_, {})) {
    Spawn(std::move(task));
  }
  if (options_.poll_interval < absl::InfiniteDuration()) {
    Spawn([this]() -> Awaitable<void> {
      while ((co_await SleepUntil(clock(), clock()->Now() + options_.poll_interval, stopping_.get_token())).ok()) {
        Wake();
      }
    });
  }
  return absl::OkStatus();
}

void Core::Wake() { wake_.TrySend(true); }  // When one is waiting already, that one does.

Awaitable<void> Core::Stop() {
  stopping_.request_stop();
  wake_.Close();
  co_await AwaitCallback<bool>([self = shared_from_this()](absl::AnyInvocable<void(bool)> waiter) {
    {
      absl::MutexLock lock(self->mutex_);
      if (self->running_ > 0) {
        self->ended_waiters_.push_back(std::move(waiter));
        return;
      }
    }
    waiter(true);
  });
}

void Core::StopNow() {
  Abandon();
  tasks_.clear();  // Of a pipeline that was never started; they hold this.
  absl::MutexLock lock(mutex_);
  auto ended = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
  mutex_.Await(absl::Condition(&ended));
}

void Core::Abandon() {
  stopping_.request_stop();
  abandoned_.request_stop();
  wake_.Close();
  for (QueueInfo& queue : queues_) {
    queue.close();
  }
}

void Core::Spawn(Task task) {
  {
    absl::MutexLock lock(mutex_);
    ++running_;
  }
  dependencies_.executor->Spawn(RunTask(shared_from_this(), std::move(task)));
}

Awaitable<void> Core::RunTask(std::shared_ptr<Core> self, Task task) {
  co_await task();
  task = nullptr;  // What it holds is gone before Stop resumes.
  self->TaskEnded();
}

void Core::TaskEnded() {
  std::vector<absl::AnyInvocable<void(bool)>> waiters;
  {
    absl::MutexLock lock(mutex_);
    if (--running_ == 0) {
      waiters.swap(ended_waiters_);
    }
  }
  for (auto& waiter : waiters) {
    waiter(true);
  }
}

std::vector<QueueDepth> Core::depths() const {
  std::vector<QueueDepth> depths;
  for (const QueueInfo& queue : queues_) {
    depths.push_back({.stage = queue.stage, .size = queue.size(), .capacity = queue.capacity});
  }
  return depths;
}

Counts Core::counts() const {
  absl::MutexLock lock(mutex_);
  return counts_;
}

Awaitable<void> Core::ReadSource(Queue<Record> output) {
  Position position = counts().checkpoint;
  while (!stopping()) {
    std::vector<Record> records;
    absl::AnyInvocable<Awaitable<absl::Status>()> read = [this, &position, &records]() -> Awaitable<absl::Status> {
      CO_ASSIGN_OR_RETURN(records, co_await source_->Read(position, options_.read_limit));
      co_return absl::OkStatus();
    };
    if (!(co_await Retry("source", read, &Always)).ok()) {
      break;
    }
    if (records.empty()) {
      co_await wake_.Receive();
      continue;
    }
    for (Record& record : records) {
      ABSL_CHECK_GT(record.position, position) << options_.name << ": its source goes backwards";
      position = record.position;
      auto shared = std::make_shared<const Record>(std::move(record));
      if (!co_await output->Send({.record = shared, .value = *shared})) {
        co_return;  // Closed by Abandon.
      }
      absl::MutexLock lock(mutex_);
      ++counts_.read;
    }
  }
  output->Close();
}

Awaitable<absl::Status> Core::Retry(std::string_view stage, absl::AnyInvocable<Awaitable<absl::Status>()>& step,
                                    bool (*may_pass)(const absl::Status&)) {
  absl::Duration pause = options_.min_backoff;
  while (true) {
    absl::Status status = co_await Guarded(stage, step);
    if (status.ok() || !may_pass(status) || stopping()) {
      co_return status;
    }
    ABSL_LOG(WARNING) << "Pipeline '" << options_.name << "', stage '" << stage << "', next try in " << pause << ": "
                      << Brief(status);
    if (!(co_await SleepUntil(clock(), clock()->Now() + pause, stopping_.get_token())).ok()) {
      co_return status;
    }
    pause = std::min(2 * pause, options_.max_backoff);
    absl::MutexLock lock(mutex_);
    ++counts_.retries;
  }
}

Awaitable<Core::Outcome> Core::Persist(std::string stage, std::shared_ptr<const Record> record,
                                       absl::AnyInvocable<Awaitable<absl::Status>()> step) {
  absl::Status status = co_await Retry(stage, step, options_.may_pass);
  if (status.ok()) {
    co_return Outcome::kDone;
  }
  if (options_.may_pass(status)) {
    co_return Outcome::kStopped;
  }
  co_return co_await Bury(std::move(stage), *record, std::move(status)) ? Outcome::kDead : Outcome::kStopped;
}

Awaitable<bool> Core::Bury(std::string stage, const Record& record, absl::Status error) {
  ABSL_LOG(WARNING) << "Pipeline '" << options_.name << "' buries the record at " << record.position << ", stage '"
                    << stage << "': " << Brief(error);
  const DeadLetter letter = {.pipeline = options_.name,
                             .position = record.position,
                             .stage = std::move(stage),
                             .record = record.data,
                             .code = absl::StatusCodeToString(error.code()),
                             .reason = ReasonOf(error),
                             .message = std::string(error.message()),
                             .time = clock()->Now()};
  absl::AnyInvocable<Awaitable<absl::Status>()> add = [this, &letter] {
    return dependencies_.dead_letters->Add(letter);
  };
  if (!(co_await Retry("dead letters", add, &Always)).ok()) {
    co_return false;
  }
  absl::MutexLock lock(mutex_);
  ++counts_.dead;
  co_return true;
}

Awaitable<bool> Core::SaveCheckpoint(Position position, size_t delivered) {
  absl::AnyInvocable<Awaitable<absl::Status>()> save = [this, position] {
    return dependencies_.checkpoints->Save(options_.name, position);
  };
  if (!(co_await Retry("checkpoint", save, &Always)).ok()) {
    co_return false;
  }
  absl::MutexLock lock(mutex_);
  counts_.delivered += delivered;
  counts_.checkpoint = position;
  co_return true;
}

}  // namespace internal

Pipeline::Pipeline(std::shared_ptr<internal::Core> core) : core_(std::move(core)) {}

Pipeline::~Pipeline() { core_->StopNow(); }

absl::Status Pipeline::Start() { return core_->Start(); }

void Pipeline::Wake() { core_->Wake(); }

Awaitable<void> Pipeline::Stop() { return core_->Stop(); }

std::vector<QueueDepth> Pipeline::depths() const { return core_->depths(); }

Counts Pipeline::counts() const { return core_->counts(); }

Flow<Record> From(Source* source, Options options, Dependencies dependencies) {
  auto core = std::make_shared<internal::Core>(source, std::move(options), dependencies);
  return Flow<Record>(core, [core](std::string next) {
    internal::Queue<Record> queue = core->AddQueue<Record>(std::move(next));
    core->AddTask([core, queue] { return core->ReadSource(queue); });
    return queue;
  });
}

}  // namespace bulkhead::pipeline
