// The engine on a store of its own, with tools in small, for tests.
#ifndef SERVICES_AGENT_ENGINE_TEST_FIXTURE_H_
#define SERVICES_AGENT_ENGINE_TEST_FIXTURE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/agent_registry.h"
#include "services/agent/peers.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_record.h"
#include "services/agent/run_schema.h"
#include "services/agent/run_state.h"
#include "services/agent/run_store.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/database.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"

namespace bulkhead::agent {

using ::bulkhead::testing::WaitFor;
using nlohmann::json;

inline constexpr absl::Time kNoon = absl::FromUnixSeconds(1772366400);
// A tool service in small: it knows the result of every request id, as the real one does.
class ScriptedTools final : public ToolClient {
 public:
  explicit ScriptedTools(Clock* clock) : clock_(clock) {}

  Awaitable<absl::StatusOr<RepeatPolicy>> PolicyOf(RunIdentity, std::string tool) override {
    if (tool == "missing") {
      co_return MakeError(absl::StatusCode::kNotFound, "no such tool",
                          {.domain = "bulkhead.tool", .reason = "TOOL_NOT_FOUND"});
    }
    co_return tool == "once" ? RepeatPolicy::kAtMostOnce : RepeatPolicy::kIdempotent;
  }

  Awaitable<absl::StatusOr<ToolDescription>> Describe(RunIdentity, std::string tool) override {
    co_return ToolDescription{.name = std::move(tool), .description = "A tool of the tests"};
  }

  Awaitable<absl::StatusOr<ToolResult>> Invoke(RunIdentity identity, ToolCall call) override {
    CO_RETURN_IF_ERROR(co_await call.on_accepted());
    bool holds;
    {
      absl::MutexLock lock(mutex_);
      ++running_;
      most_running_ = std::max(most_running_, running_);
      ++calls_[call.request_id];
      effects_[call.request_id] += results_.contains(call.request_id) ? 0 : 1;
      results_[call.request_id] = call.tool;
      holds = hold_ || call.tool == "slow";
    }
    absl::Status held;
    if (holds) {
      held = co_await SleepUntil(clock_, absl::InfiniteFuture(), identity.stop);
    }
    absl::MutexLock lock(mutex_);
    --running_;
    CO_RETURN_IF_ERROR(held);
    if (call.tool == "broken") {
      co_return MakeError(absl::StatusCode::kInvalidArgument, "broken",
                          {.domain = "bulkhead.tool", .reason = "BROKEN"});
    }
    co_return ToolResult{.output = {{"tool", call.tool}, {"input", call.input}}, .artifacts = {}};
  }

  void Hold(bool hold) {
    absl::MutexLock lock(mutex_);
    hold_ = hold;
  }
  int running() const {
    absl::MutexLock lock(mutex_);
    return running_;
  }
  int most_running() const {
    absl::MutexLock lock(mutex_);
    return most_running_;
  }
  void Forget() {
    absl::MutexLock lock(mutex_);
    calls_.clear();
    effects_.clear();
    results_.clear();
  }
  std::map<std::string, int> calls() const {
    absl::MutexLock lock(mutex_);
    return calls_;
  }
  // Times that a request had an effect.
  std::map<std::string, int> effects() const {
    absl::MutexLock lock(mutex_);
    return effects_;
  }

 private:
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  bool hold_ = false;
  int running_ = 0;
  int most_running_ = 0;
  std::map<std::string, int> calls_;
  std::map<std::string, int> effects_;
  std::map<std::string, std::string> results_;
};

class NoEvents final : public EventPublisher {
 public:
  Awaitable<absl::Status> Publish(std::vector<OutboxEntry>, std::stop_token) override { co_return absl::OkStatus(); }
  void PublishTransient(std::string) override {}
};

using Script = std::function<Awaitable<absl::StatusOr<Answer>>(RunContext&, const json&)>;

class ScriptAgent final : public Agent {
 public:
  explicit ScriptAgent(Script script) : script_(std::move(script)) {}
  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const json& input) override { return script_(run, input); }

 private:
  Script script_;
};

class EngineTest : public ::testing::Test {
 protected:
  // Begins, or begins again on the same data.
  void Open(Script script, std::function<absl::Status(int64_t)> before_commit = nullptr,
            RunEngine::Options options = {}, std::string version = "1") {
    Close();
    auto database =
        storage::Database::Open({.path = dir_->File("agent.db"),
                                 .migrations = {kRunTables, kRunRelations, kRunCancelReason, kRunDefinitions,
                                                kRunProgress, kThreadTables, kModelUsageTables, kDecisionRequests},
                                 .durable = false,
                                 .before_commit = std::move(before_commit)});
    ASSERT_OK(database);
    store_ = std::make_unique<RunStore>(std::shared_ptr<storage::Database>(*std::move(database)), [] {});
    auto registry = AgentRegistry::Create({{.spec = {.name = "script", .version = std::move(version)},
                                            .make = [script] { return std::make_unique<ScriptAgent>(script); }}});
    ASSERT_OK(registry);
    registry_ = *std::move(registry);
    engine_ = RunEngine::Create(options, {.execution = {.clock = &clock_,
                                                        .ids = ids_.get(),
                                                        .store = store_.get(),
                                                        .tools = &tools_,
                                                        .events = &events_},
                                          .executor = executor_.get(),
                                          .registry = registry_.get(),
                                          .sealer = sealer_.get()});
    ASSERT_OK(engine_->Start());
  }

  // As a crash.
  void Close() {
    engine_.reset();
    store_.reset();
  }

  // Begins with no data.
  void Forget() {
    Close();
    dir_ = std::make_unique<bulkhead::testing::TempDir>();
    tools_.Forget();
  }

  void TearDown() override { Close(); }

  absl::StatusOr<RunRecord> Create(std::string id = "run-1", absl::Duration timeout = absl::Hours(1),
                                   int max_unfinished = 100, std::string request_id = "") {
    RunRecord run;
    run.id = std::move(id);
    run.agent = "script";
    run.agent_version = "1";
    run.input = "{}";
    run.create_time = clock_.Now();
    run.deadline = clock_.Now() + timeout;
    run.owner = "ada";
    run.sealed_token = sealer_->Seal("token", run.name());
    run.request_id = std::move(request_id);
    auto created = BlockOn(*executor_, store_->For("ada").Create(run, max_unfinished));
    if (created.ok()) {
      engine_->Submit(*created);
    }
    return created;
  }

  RunRecord Get(const std::string& id = "run-1") {
    auto run = store_->For("ada").Get(id);
    return run.ok() ? *std::move(run) : RunRecord();
  }

  RunRecord Ended(const std::string& id = "run-1") {
    EXPECT_OK(WaitFor([&] { return IsTerminal(Get(id).state); }, absl::StrCat("the end of ", id),
                      [&] { return std::string(RunStateName(Get(id).state)); }));
    return Get(id);
  }

  // Tells the engine what the store now has.
  void Interrupt() {
    ASSERT_OK(BlockOn(*executor_, store_->For("ada").Interrupt("run-1", clock_.Now())));
    engine_->HoldChanged("run-1");
  }
  void Resume() {
    ASSERT_OK(BlockOn(*executor_, store_->For("ada").Resume("run-1", clock_.Now())));
    engine_->HoldChanged("run-1");
  }

  void Cancel() {
    auto cancelled = BlockOn(*executor_, store_->For("ada").Cancel("run-1", "enough", clock_.Now()));
    ASSERT_OK(cancelled);
    engine_->Cancel(*cancelled);
  }

  void Await(std::function<bool()> condition, std::string_view what) { ASSERT_OK(WaitFor(condition, what)); }

  // Of run-1, with all that must hold for every run: numbered 1, 2, 3..., ids of their own, tool
  // calls in pairs, one terminal event at the end.
  std::vector<std::string> Types() {
    std::vector<std::string> types;
    std::set<std::string> ids;
    std::map<int, int> open;
    auto entries = store_->OutboxAcrossUsers(0, 10'000);
    EXPECT_OK(entries);
    for (const OutboxEntry& entry : *entries) {
      notifier::v1::Event event;
      EXPECT_TRUE(event.ParseFromString(entry.event));
      if (event.stream() != "users/ada/runs/run-1") {
        continue;
      }
      types.push_back(event.type());
      EXPECT_EQ(event.sequence(), types.size());
      EXPECT_TRUE(ids.insert(event.event_id()).second) << event.event_id();
      if (event.has_tool_executing()) {
        EXPECT_EQ(open[event.tool_executing().step()]++, 0);
      }
      if (event.has_tool_completed()) {
        EXPECT_EQ(open[event.tool_completed().step()]--, 1);
      }
    }
    for (const auto& [step, count] : open) {
      EXPECT_EQ(count, 0) << "step " << step;
    }
    const auto terminal = [](const std::string& type) {
      return type == "agent_completed" || type == "agent_failed" || type == "agent_cancelled";
    };
    if (!types.empty() && IsTerminal(Get().state)) {
      EXPECT_EQ(std::ranges::count_if(types, terminal), 1);
      EXPECT_TRUE(terminal(types.back()));
    }
    return types;
  }

  std::unique_ptr<bulkhead::testing::TempDir> dir_ = std::make_unique<bulkhead::testing::TempDir>();
  SimulatedClock clock_{kNoon};
  std::unique_ptr<IdGenerator> ids_ = CreateSequentialIds();
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
  std::unique_ptr<crypto::Sealer> sealer_ = *crypto::Sealer::Create(Secret(std::string(32, 'k')));
  ScriptedTools tools_{&clock_};
  NoEvents events_;
  std::unique_ptr<RunStore> store_;
  std::unique_ptr<AgentRegistry> registry_;
  std::unique_ptr<RunEngine> engine_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_ENGINE_TEST_FIXTURE_H_
