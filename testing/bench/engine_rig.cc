#include "testing/bench/engine_rig.h"

#include <algorithm>
#include <limits>
#include <map>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/log/absl_check.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "services/agent/models/model.h"
#include "services/agent/models/model_client.h"
#include "services/agent/peers.h"
#include "services/agent/run_record.h"
#include "services/agent/run_schema.h"
#include "services/common/crypto/secret.h"
#include "services/common/pipeline/stores.h"
#include "services/common/status/macros.h"
#include "services/common/storage/database.h"
#include "testing/base/wait.h"

namespace bulkhead::bench {

using nlohmann::json;

namespace {

// As long as a run token is.
constexpr size_t kTokenBytes = 600;

class ScriptAgent final : public agent::Agent {
 public:
  explicit ScriptAgent(const Script* script) : script_(script) {}
  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const json& input) override {
    return (*script_)(run, input);
  }

 private:
  const Script* const script_;
};

}  // namespace

// Answers at once with what it was asked.
class EngineRig::Tools final : public agent::ToolClient {
 public:
  Awaitable<absl::StatusOr<agent::RepeatPolicy>> PolicyOf(agent::RunIdentity, std::string) override {
    co_return agent::RepeatPolicy::kIdempotent;
  }
  Awaitable<absl::StatusOr<agent::ToolDescription>> Describe(agent::RunIdentity, std::string tool) override {
    co_return agent::ToolDescription{.name = std::move(tool), .description = ""};
  }
  Awaitable<absl::StatusOr<agent::ToolResult>> Invoke(agent::RunIdentity, agent::ToolCall call) override {
    CO_RETURN_IF_ERROR(co_await call.on_accepted());
    co_return agent::ToolResult{.output = {{"echo", std::move(call.input)}}, .artifacts = {}};
  }
};

// Answers at once that it wants each function called that it is offered. Its reply goes the way that every reply goes: into the journal, with
// both events and the count of its tokens.
class EngineRig::Model final : public agent::ModelClient {
 public:
  absl::Status Check(std::string_view) const override { return absl::OkStatus(); }
  Awaitable<agent::ModelOutcome> Call(agent::ModelCall call) override {
    agent::ModelReply reply{.text = "",
                            .tool_calls = {},
                            .finish_reason = "tool_calls",
                            .usage = {.input_tokens = 120, .output_tokens = 40}};
    for (const agent::ModelTool& tool : call.request.tools) {
      reply.tool_calls.push_back({.id = absl::StrCat("call-", reply.tool_calls.size()),
                                  .name = tool.name,
                                  .arguments = absl::StrCat(R"({"place": )", reply.tool_calls.size() + 1, "}")});
    }
    const agent::ModelUsage usage = reply.usage;
    co_return agent::ModelOutcome{.reply = std::move(reply), .usage = usage};
  }
};

// Reads each event, as the real one does, and counts it.
class EngineRig::Publisher final : public agent::EventPublisher {
 public:
  Awaitable<absl::Status> Publish(std::vector<agent::OutboxEntry> entries, std::stop_token) override {
    std::map<std::string, int64_t> counts;
    notifier::v1::Event event;
    for (const agent::OutboxEntry& entry : entries) {
      ABSL_CHECK(event.ParseFromString(entry.event));
      ++counts[event.type()];
    }
    absl::MutexLock lock(mutex_);
    for (const auto& [type, count] : counts) {
      counts_[type] += count;
    }
    co_return absl::OkStatus();
  }
  void PublishTransient(std::string) override {}

  void Await(std::string_view type, int64_t count) {
    absl::MutexLock lock(mutex_);
    auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      auto found = counts_.find(type);
      return found != counts_.end() && found->second >= count;
    };
    ABSL_CHECK(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Minutes(10))) << "no " << count << " " << type;
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, int64_t, std::less<>> counts_ ABSL_GUARDED_BY(mutex_);
};

EngineRig::EngineRig(Script script, Options options)
    : script_(std::move(script)),
      options_(options),
      clock_(CreateSystemClock()),
      ids_(CreateRandomIds()),
      sealer_(*crypto::Sealer::Create(Secret(std::string(32, 'k')))),
      executor_(Executor::Create({.name = "bench", .threads = options.threads})) {}

EngineRig::~EngineRig() { Close(); }

void EngineRig::Open() {
  auto database = storage::Database::Open(
      {.path = dir_.File("agent.db"),
       .migrations = {agent::kRunTables, pipeline::kPipelineTables, agent::kRunRelations, agent::kRunCancelReason,
                      agent::kRunDefinitions, agent::kRunProgress, agent::kThreadTables, agent::kModelUsageTables},
       .durable = true,
       .before_commit = [this](int64_t) {
         ++commits_;
         return absl::OkStatus();
       }});
  ABSL_CHECK_OK(database);
  database_ = *std::move(database);
  tools_ = std::make_unique<Tools>();
  model_ = std::make_unique<Model>();
  model_budget_ = std::make_unique<agent::ModelBudget>(
      database_.get(), agent::ModelBudget::Limits{.tokens_per_run = std::numeric_limits<int64_t>::max(),
                                                  .tokens_per_day = std::numeric_limits<int64_t>::max()});
  publisher_ = std::make_unique<Publisher>();
  store_ = std::make_unique<agent::RunStore>(database_, [this] { relay_->Wake(); });
  relay_ = std::make_unique<agent::OutboxRelay>(agent::OutboxRelay::Dependencies{
      .executor = executor_.get(), .clock = clock_.get(), .store = store_.get(), .publisher = publisher_.get()});
  auto registry = agent::AgentRegistry::Create({{.spec = {.name = "bench", .version = "1"},
                                                 .make = [this] { return std::make_unique<ScriptAgent>(&script_); }}});
  ABSL_CHECK_OK(registry);
  registry_ = *std::move(registry);
  engine_ = agent::RunEngine::Create(
      {.limits = options_.limits, .max_steps_per_run = kUnlimited, .unresponsive_after = options_.unresponsive_after},
      {.execution = {.clock = clock_.get(),
                     .ids = ids_.get(),
                     .store = store_.get(),
                     .tools = tools_.get(),
                     .events = publisher_.get(),
                     .models = model_.get(),
                     .model_budget = model_budget_.get()},
       .executor = executor_.get(),
       .registry = registry_.get(),
       .sealer = sealer_.get()});
  ABSL_CHECK_OK(relay_->Start());
  ABSL_CHECK_OK(engine_->Start());
}

void EngineRig::Close() {
  if (engine_ == nullptr) {
    return;
  }
  engine_.reset();
  relay_.reset();
  store_.reset();
  model_budget_.reset();
  database_.reset();
}

Awaitable<absl::Status> EngineRig::Create(std::string user, std::string input) {
  agent::RunRecord run;
  run.id = ids_->NewId("run");
  run.owner = std::move(user);
  run.session = "session-7h2k9d4s1a6f3g8j";
  run.agent = "bench";
  run.agent_version = "1";
  run.input = std::move(input);
  run.create_time = clock_->Now();
  run.deadline = run.create_time + absl::Hours(24 * 30);
  run.sealed_token = sealer_->Seal(std::string(kTokenBytes, 't'), run.name());
  run.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  CO_ASSIGN_OR_RETURN(const agent::RunRecord created,
                      co_await store_->For(run.owner).Create(run, options_.max_unfinished_per_user));
  engine_->Submit(created);
  co_return absl::OkStatus();
}

absl::Status EngineRig::CreateRun(const std::string& user, const json& input) {
  absl::Notification done;
  absl::Status status;
  auto create = [&]() -> Awaitable<void> {
    status = co_await Create(user, input.dump());
    done.Notify();
  };
  executor_->Spawn(create());
  done.WaitForNotification();
  ABSL_CHECK(status.ok() || status.code() == absl::StatusCode::kResourceExhausted) << status;
  return status;
}

void EngineRig::CreateRuns(int count, int users, const json& input) {
  const std::string text = input.dump();
  absl::Mutex mutex;
  int left = count;
  const int first = created_;
  created_ += count;
  // As many at once as a busy service has, not all of them: the writer's queue is bounded.
  constexpr int kAtOnce = 256;
  std::atomic<int> next = 0;
  auto create = [&]() -> Awaitable<void> {
    for (int i = next++; i < count; i = next++) {
      ABSL_CHECK_OK(co_await Create(absl::StrCat("user-", (first + i) % users), text));
    }
    absl::MutexLock lock(mutex);
    --left;
  };
  const int creators = std::min(kAtOnce, count);
  {
    absl::MutexLock lock(mutex);
    left = creators;
  }
  for (int i = 0; i < creators; ++i) {
    executor_->Spawn(create());
  }
  absl::MutexLock lock(mutex);
  auto none = [&] { return left == 0; };
  mutex.Await(absl::Condition(&none));
}

void EngineRig::AwaitWaiting(int count) {
  ABSL_CHECK_OK(testing::WaitFor([&] { return engine_->parked() == count; }, "runs that wait",
                                 [&] { return absl::StrCat(engine_->parked()); }, absl::Minutes(10)));
}

void EngineRig::AwaitEvents(std::string_view type, int64_t count) { publisher_->Await(type, count); }

}  // namespace bulkhead::bench
