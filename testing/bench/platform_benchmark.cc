// What the way through the platform costs. Each benchmark works on the whole platform, as a test
// does, on a temporary folder without fsync.
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/log_severity.h"
#include "absl/log/absl_check.h"
#include "absl/log/globals.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using nlohmann::json;

std::unique_ptr<Harness> BuildOrDie(HarnessBuilder& builder) {
  absl::SetMinLogLevel(absl::LogSeverityAtLeast::kError);
  absl::StatusOr<std::unique_ptr<Harness>> harness = builder.OnSystemClock().WithRandomIds().WithUsers({"ada"}).Build();
  ABSL_CHECK_OK(harness);
  return *std::move(harness);
}

// A call with a token, a permission and a read of the database.
void BM_UnaryCall(benchmark::State& state, Transport transport) {
  HarnessBuilder builder = Harness::Builder();
  if (transport == Transport::kLoopbackTcp) {
    builder.OverTcp();
  }
  const std::unique_ptr<Harness> platform = BuildOrDie(builder);
  User& ada = platform->As("ada");
  const auto stub = StubFor<auth::v1::UserService>(ada);
  auth::v1::GetUserRequest request;
  request.set_name("users/me");
  for (auto _ : state) {
    grpc::ClientContext context;
    ada.Authorize(context);
    auth::v1::User user;
    const grpc::Status called = stub->GetUser(&context, request, &user);
    ABSL_CHECK(called.ok()) << called.error_message();
  }
}
BENCHMARK_CAPTURE(BM_UnaryCall, InProcess, Transport::kInProcess)
    ->Unit(benchmark::kMicrosecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_UnaryCall, OverTcp, Transport::kLoopbackTcp)
    ->Unit(benchmark::kMicrosecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

// Room for what a benchmark does in a minute.
void LiftQuotas(common::v1::PlatformConfig& config) {
  config.mutable_tool()->set_max_calls_per_minute(1'000'000);
  config.mutable_agent()->set_max_steps_per_run(1'000'000);
}

// A tool call of a person: token, permission, schemas, quota, the tool, the stored result.
void BM_ToolCall(benchmark::State& state) {
  HarnessBuilder builder = Harness::Builder();
  builder.WithTool(std::make_shared<CountingTool>("count")).Configure(LiftQuotas);
  const std::unique_ptr<Harness> platform = BuildOrDie(builder);
  User& ada = platform->As("ada");
  for (auto _ : state) {
    ABSL_CHECK_OK(ada.InvokeTool("count", {{"a", 1}}));
  }
}
BENCHMARK(BM_ToolCall)->Unit(benchmark::kMicrosecond)->MeasureProcessCPUTime()->UseRealTime();

// A step of an agent: command and result in the journal, two events in the outbox and on their way
// to the log, and the tool call between.
void BM_AgentToolStep(benchmark::State& state) {
  constexpr int kSteps = 200;
  HarnessBuilder builder = Harness::Builder();
  builder.WithTool(std::make_shared<CountingTool>("count")).Configure(LiftQuotas);
  builder.WithAgent(
      ScriptedAgent("stepper", [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<agent::Answer>> {
        for (int step = 0; step < kSteps; ++step) {
          CO_RETURN_IF_ERROR((co_await run.CallTool("count", {{"step", step}})).status());
        }
        co_return agent::Answer{.summary = "done"};
      }));
  const std::unique_ptr<Harness> platform = BuildOrDie(builder);
  User& ada = platform->As("ada");
  for (auto _ : state) {
    const absl::StatusOr<std::string> run = ada.StartRun("stepper", json::object());
    ABSL_CHECK_OK(run);
    const absl::StatusOr<agent::v1::Run> ended = ada.WaitForRun(*run, absl::Minutes(5));
    ABSL_CHECK_OK(ended);
    ABSL_CHECK_EQ(ended->state(), agent::v1::RUN_STATE_SUCCEEDED);
  }
  state.SetItemsProcessed(state.iterations() * kSteps);
  state.counters["per_step"] = benchmark::Counter(static_cast<double>(state.iterations()) * kSteps,
                                                  benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_AgentToolStep)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime()->Iterations(5);

// From the agent's word to the WebSocket of its user, one at a time: journal, outbox, relay, log,
// subscription, gateway, client.
void BM_EventToWebSocket(benchmark::State& state) {
  auto tool = std::make_shared<HoldingTool>("hold");
  HarnessBuilder builder = Harness::Builder();
  builder.WithTool(tool).Configure(LiftQuotas);
  builder.WithAgent(ScriptedAgent(
      "speaker", [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<agent::Answer>> {
        const int words = input.at("words").get<int>();
        for (int word = 0; word < words; ++word) {
          CO_RETURN_IF_ERROR((co_await run.CallTool("hold", json::object())).status());
          co_await run.Think("a word");
        }
        co_return agent::Answer{.summary = "done"};
      }));
  const std::unique_ptr<Harness> platform = BuildOrDie(builder);
  User& ada = platform->As("ada");
  std::vector<std::shared_ptr<Hold>> holds;
  for (int i = 0; i < static_cast<int>(state.max_iterations); ++i) {
    holds.push_back(tool->HoldCall(i + 1));
  }
  const absl::StatusOr<std::string> run = ada.StartRun("speaker", {{"words", holds.size()}});
  ABSL_CHECK_OK(run);

  absl::Mutex mutex;
  size_t words = 0;
  absl::Duration latency;
  const absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> client = ada.NewGatewayClient();
  ABSL_CHECK_OK(client);
  std::thread watcher([&] {
    ABSL_CHECK_OK((*client)->WatchRun(*run, {}, ada.token(), [&](const json& frame) {
      const auto event = frame.find("event");
      if (event != frame.end() && event->at("type") == "agent_thinking") {
        absl::Time said;
        std::string error;
        ABSL_CHECK(absl::ParseTime(absl::RFC3339_full, event->at("time").get<std::string>(), &said, &error)) << error;
        absl::MutexLock lock(mutex);
        ++words;
        latency = RealNow() - said;
      }
      return true;
    }));
  });
  size_t next = 0;
  for (auto _ : state) {
    ABSL_CHECK_OK(holds[next]->Wait());
    holds[next]->Resume();
    ++next;
    absl::MutexLock lock(mutex);
    const auto arrived = [&] { return words == next; };
    mutex.Await(absl::Condition(&arrived));
    state.SetIterationTime(absl::ToDoubleSeconds(latency));
  }
  watcher.join();
}
BENCHMARK(BM_EventToWebSocket)
    ->Unit(benchmark::kMicrosecond)
    ->MeasureProcessCPUTime()
    ->UseManualTime()
    ->Iterations(500);

}  // namespace
}  // namespace bulkhead::testing
