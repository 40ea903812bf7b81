// The durable engine on a database of its own: real SQLite with an fsync for each commit, the real engine and relay, tools
// and a model that answer at once in this process, no gRPC. What a run costs here is what the engine costs.
#ifndef TESTING_BENCH_ENGINE_RIG_H_
#define TESTING_BENCH_ENGINE_RIG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/agent_registry.h"
#include "services/agent/model_usage.h"
#include "services/agent/outbox_relay.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_queue.h"
#include "services/agent/run_store.h"
#include "services/common/crypto/crypto.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::bench {

using Script = std::function<Awaitable<absl::StatusOr<agent::Answer>>(agent::RunContext&, const nlohmann::json&)>;

// For one thread, but for CreateRun. Every error ends the program: a number that was measured around one means nothing.
class EngineRig {
 public:
  static constexpr int kUnlimited = 10'000'000;

  struct Options {
    int threads = 2;  // Of the executor.
    agent::RunQueue::Limits limits = {.max_running = kUnlimited, .max_running_per_user = kUnlimited};
    int max_unfinished_per_user = kUnlimited;
    absl::Duration unresponsive_after = absl::Seconds(30);
  };

  // `script` is the agent of all runs.
  EngineRig(Script script, Options options);
  ~EngineRig();

  // The engine on what is in the database; returns when it has taken up its work, not when that is done.
  void Open();
  // As a crash.
  void Close();

  // Creates `count` runs, many at once, spread over `users`, and waits until all are stored.
  void CreateRuns(int count, int users, const nlohmann::json& input);

  // Creates one run and returns when it is stored. RESOURCE_EXHAUSTED `RUN_QUOTA_EXCEEDED` is the one error that is told. Thread-safe.
  absl::Status CreateRun(const std::string& user, const nlohmann::json& input);

  // Until so many events of this type have left the outbox since Open.
  void AwaitEvents(std::string_view type, int64_t count);

  // Until so many runs only wait.
  void AwaitWaiting(int count);

  int64_t commits() const { return commits_; }
  std::string folder() const { return dir_.path(); }

 private:
  class Tools;
  class Model;
  class Publisher;

  Awaitable<absl::Status> Create(std::string user, std::string input);

  const Script script_;
  const Options options_;
  testing::TempDir dir_;
  std::atomic<int64_t> commits_ = 0;
  int created_ = 0;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<IdGenerator> ids_;
  std::unique_ptr<crypto::Sealer> sealer_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Tools> tools_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Publisher> publisher_;
  std::shared_ptr<storage::Database> database_;
  std::unique_ptr<agent::ModelBudget> model_budget_;
  std::unique_ptr<agent::RunStore> store_;
  std::unique_ptr<agent::OutboxRelay> relay_;
  std::unique_ptr<agent::AgentRegistry> registry_;
  std::unique_ptr<agent::RunEngine> engine_;
};

}  // namespace bulkhead::bench

#endif  // TESTING_BENCH_ENGINE_RIG_H_
