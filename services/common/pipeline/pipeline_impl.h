// The typed part of pipeline.h, which alone includes it.
// IWYU pragma: private, include "services/common/pipeline/pipeline.h"
#ifndef SERVICES_COMMON_PIPELINE_PIPELINE_IMPL_H_
#define SERVICES_COMMON_PIPELINE_PIPELINE_IMPL_H_

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "services/common/pipeline/pipeline.h"
#include "services/common/runtime/channel.h"

namespace bulkhead::pipeline {
namespace internal {

// A record on its way. `value` is absent when it went to the dead letters: it still moves the checkpoint in its turn. Without a
// record it tells the sink that the batch `flush` has waited long enough.
template <typename T>
struct Item {
  std::shared_ptr<const Record> record;
  std::optional<T> value;
  uint64_t flush = 0;
};

template <typename T>
using Queue = std::shared_ptr<Channel<Item<T>>>;

// What all pipelines have in common, whatever their types. Shared with its coroutines.
class Core : public std::enable_shared_from_this<Core> {
 public:
  // What a step over one record came to.
  enum class Outcome { kDone, kDead, kStopped };
  using Task = absl::AnyInvocable<Awaitable<void>()>;

  Core(Source* source, Options options, Dependencies dependencies);

  // Construction, on one thread.
  template <typename T>
  Queue<T> AddQueue(std::string stage);
  void AddTask(Task task) { tasks_.push_back(std::move(task)); }

  absl::Status Start();
  void Wake();
  Awaitable<void> Stop();
  void StopNow();
  std::vector<QueueDepth> depths() const;
  Counts counts() const;

  // For the coroutines.
  Awaitable<void> ReadSource(Queue<Record> output);
  // Runs `step` until it succeeds or fails for good; the record is then among the dead letters. kStopped: the pipeline ends first.
  Awaitable<Outcome> Persist(std::string stage, std::shared_ptr<const Record> record,
                             absl::AnyInvocable<Awaitable<absl::Status>()> step);
  // Runs `step` until it does not fail for a while; returns its last error when the pipeline ends first.
  Awaitable<absl::Status> Retry(std::string_view stage, absl::AnyInvocable<Awaitable<absl::Status>()>& step,
                                bool (*may_pass)(const absl::Status&));
  // False when the pipeline ends first.
  Awaitable<bool> SaveCheckpoint(Position position, size_t delivered);
  // Runs `task` as a coroutine that Stop waits for.
  void Spawn(Task task);
  // Ends all coroutines without delivering what they hold.
  void Abandon();

  const Options& options() const { return options_; }
  Clock* clock() const { return dependencies_.clock; }
  bool stopping() const { return stopping_.stop_requested(); }
  // Requested when even what is under way shall end.
  std::stop_token abandon_token() const { return abandoned_.get_token(); }

 private:
  struct QueueInfo {
    std::string stage;
    size_t capacity;
    std::function<size_t()> size;
    std::function<void()> close;
  };

  Awaitable<bool> Bury(std::string stage, const Record& record, absl::Status error);
  static Awaitable<void> RunTask(std::shared_ptr<Core> self, Task task);
  void TaskEnded();

  Source* const source_;
  const Options options_;
  const Dependencies dependencies_;
  std::vector<QueueInfo> queues_;
  std::vector<Task> tasks_;
  Channel<bool> wake_{1};
  std::stop_source stopping_;
  std::stop_source abandoned_;

  mutable absl::Mutex mutex_;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<absl::AnyInvocable<void(bool)>> ended_waiters_ ABSL_GUARDED_BY(mutex_);
  Counts counts_ ABSL_GUARDED_BY(mutex_);
};

template <typename T>
Queue<T> Core::AddQueue(std::string stage) {
  auto queue = std::make_shared<Channel<Item<T>>>(options_.queue_size);
  queues_.push_back({.stage = std::move(stage),
                     .capacity = queue->capacity(),
                     .size = [queue] { return queue->size(); },
                     .close = [queue] { queue->Close(); }});
  return queue;
}

template <typename T>
struct UnwrapAwaitable {
  using Type = T;
};
template <typename T>
struct UnwrapAwaitable<Awaitable<T>> {
  using Type = T;
};

// A stage's function may be a coroutine or not.
template <typename Out, typename In, typename Function>
Awaitable<absl::StatusOr<Out>> Apply(Function& function, const In& value) {
  if constexpr (std::is_same_v<std::invoke_result_t<Function&, const In&>, absl::StatusOr<Out>>) {
    co_return function(value);
  } else {
    co_return co_await function(value);
  }
}

template <typename In, typename Out, typename Function>
Awaitable<void> RunStage(std::shared_ptr<Core> core, std::string stage, Queue<In> input, Queue<Out> output,
                         Function& function) {
  while (std::optional<Item<In>> item = co_await input->Receive()) {
    Item<Out> result{.record = item->record};
    if (item->value.has_value()) {
      const In& value = *item->value;
      Core::Outcome outcome =
          co_await core->Persist(stage, item->record, [&function, &value, &result]() -> Awaitable<absl::Status> {
            absl::StatusOr<Out> applied = co_await Apply<Out>(function, value);
            if (applied.ok()) {
              result.value = *std::move(applied);
            }
            co_return applied.status();
          });
      if (outcome == Core::Outcome::kStopped) {
        core->Abandon();
        break;
      }
    }
    if (!co_await output->Send(std::move(result))) {
      break;
    }
  }
  output->Close();
}

// Takes the next batch from `input`; `carry` holds a record that did not fit, from one batch to the next. Empty at the end of the input.
template <typename T>
Awaitable<std::vector<Item<T>>> CollectBatch(std::shared_ptr<Core> core, Queue<T> input, BatchOptions options,
                                             uint64_t number, std::optional<Item<T>>& carry) {
  std::vector<Item<T>> batch;
  size_t bytes = 0;
  std::stop_source filled;
  while (batch.size() < options.max_records && bytes < options.max_bytes) {
    std::optional<Item<T>> item = std::exchange(carry, std::nullopt);
    if (!item.has_value()) {
      if (!batch.empty() && options.linger <= absl::ZeroDuration()) {
        item = input->TryReceive();
      } else {
        item = co_await input->Receive();
      }
      if (!item.has_value()) {
        break;
      }
    }
    if (item->record == nullptr) {
      if (item->flush == number) {
        break;
      }
      continue;  // Of a batch that filled up in time.
    }
    const size_t size = item->record->data.size();
    if (!batch.empty() && bytes + size > options.max_bytes) {
      carry = std::move(item);
      break;
    }
    bytes += size;
    if (batch.empty() && options.linger > absl::ZeroDuration()) {
      core->Spawn([core, input, number, until = core->clock()->Now() + options.linger,
                   filled = filled.get_token()]() -> Awaitable<void> {
        if ((co_await SleepUntil(core->clock(), until, filled)).ok()) {
          co_await input->Send(Item<T>{.flush = number});
        }
      });
    }
    batch.push_back(*std::move(item));
  }
  filled.request_stop();
  co_return batch;
}

// Hands the values of `batch` to the sink. When it refuses them for good, each goes alone, so that only the bad ones are buried.
template <typename T, typename Sink>
Awaitable<bool> Deliver(std::shared_ptr<Core> core, std::string stage, std::vector<Item<T>> batch, Sink& sink) {
  std::vector<T> values;
  std::vector<std::shared_ptr<const Record>> records;
  for (Item<T>& item : batch) {
    if (item.value.has_value()) {
      values.push_back(*std::move(item.value));
      records.push_back(item.record);
    }
  }
  size_t delivered = values.size();
  if (!values.empty()) {
    absl::AnyInvocable<Awaitable<absl::Status>()> send_all = [&core, &values, &sink] {
      return sink(std::as_const(values), core->abandon_token());
    };
    absl::Status status = co_await core->Retry(stage, send_all, core->options().may_pass);
    if (!status.ok() && core->options().may_pass(status)) {
      co_return false;
    }
    if (!status.ok()) {
      for (size_t i = 0; i < values.size(); ++i) {
        std::vector<T> alone;
        alone.push_back(std::move(values[i]));
        Core::Outcome outcome = co_await core->Persist(
            stage, records[i], [&core, &alone, &sink] { return sink(std::as_const(alone), core->abandon_token()); });
        if (outcome == Core::Outcome::kStopped) {
          co_return false;
        }
        delivered -= outcome == Core::Outcome::kDead ? 1 : 0;
      }
    }
  }
  co_return co_await core->SaveCheckpoint(batch.back().record->position, delivered);
}

template <typename T, typename Sink>
Awaitable<void> RunSink(std::shared_ptr<Core> core, std::string stage, BatchOptions options, Queue<T> input,
                        Sink& sink) {
  std::optional<Item<T>> carry;
  for (uint64_t number = 1;; ++number) {
    std::vector<Item<T>> batch = co_await CollectBatch<T>(core, input, options, number, carry);
    if (batch.empty()) {
      co_return;
    }
    if (!co_await Deliver<T>(core, stage, std::move(batch), sink)) {
      core->Abandon();
      co_return;
    }
  }
}

}  // namespace internal

template <typename T>
class Flow {
 public:
  Flow(std::shared_ptr<internal::Core> core, std::function<internal::Queue<T>(std::string)> connect)
      : core_(std::move(core)), connect_(std::move(connect)) {}

  // Adds a stage. `function` lives as long as the pipeline.
  template <typename Function>
  auto Then(std::string stage, Function function) && {
    using Returned = typename internal::UnwrapAwaitable<std::invoke_result_t<Function&, const T&>>::Type;
    using Out = typename Returned::value_type;
    internal::Queue<T> input = connect_(stage);
    auto connect = [core = core_, stage, input,
                    function = std::make_shared<Function>(std::move(function))](std::string next) {
      internal::Queue<Out> output = core->template AddQueue<Out>(std::move(next));
      core->AddTask([core, stage, input, output, function] {
        return internal::RunStage<T, Out>(core, stage, input, output, *function);
      });
      return output;
    };
    return Flow<Out>(core_, std::move(connect));
  }

  // Ends it. `sink`: (const std::vector<T>&, std::stop_token) -> Awaitable<absl::Status>.
  template <typename Sink>
  std::unique_ptr<Pipeline> Into(std::string stage, BatchOptions options, Sink sink) && {
    internal::Queue<T> input = connect_(stage);
    core_->AddTask(
        [core = core_, stage = std::move(stage), options, input, sink = std::make_shared<Sink>(std::move(sink))] {
          return internal::RunSink<T>(core, stage, options, input, *sink);
        });
    return std::make_unique<Pipeline>(std::move(core_));
  }

 private:
  std::shared_ptr<internal::Core> core_;
  // Makes the queue from what is there so far to the stage of the given name.
  std::function<internal::Queue<T>(std::string)> connect_;
};

}  // namespace bulkhead::pipeline

#endif  // SERVICES_COMMON_PIPELINE_PIPELINE_IMPL_H_
