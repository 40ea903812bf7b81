// What the durable engine does in a second, how long a step takes, what a waiting run costs, how fast it recovers.
//
//   tools/bazel run --config=bench //testing/bench:engine_benchmark            # all of it
//   tools/bazel run --config=bench //testing/bench:engine_benchmark -- steps latency graph tools asleep approvals recovery neighbours
//
// docs/performance.md has the numbers and says what they mean.
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/log_severity.h"
#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/log/absl_check.h"
#include "absl/log/globals.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/models/model.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"
#include "testing/bench/engine_rig.h"

ABSL_FLAG(int, threads, 2, "of the executor");
ABSL_FLAG(int, runs, 0, "runs of the case, or 0 for its own number");
ABSL_FLAG(absl::Duration, beside, absl::Seconds(10), "how long each case of `neighbours` lasts");
ABSL_FLAG(absl::Duration, unresponsive_after, absl::Seconds(2), "how long an agent of `neighbours` may compute");

namespace bulkhead::bench {
namespace {

using agent::Answer;
using agent::RunContext;
using nlohmann::json;

int Runs(int otherwise) { return absl::GetFlag(FLAGS_runs) > 0 ? absl::GetFlag(FLAGS_runs) : otherwise; }
int Threads() { return absl::GetFlag(FLAGS_threads); }

std::string Percentiles(std::vector<absl::Duration> times) {
  std::ranges::sort(times);
  const auto at = [&](double part) {
    return absl::ToDoubleMicroseconds(times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))]);
  };
  return absl::StrFormat("p50 %.0f us, p90 %.0f us, p99 %.0f us", at(0.5), at(0.9), at(0.99));
}

// What the disk takes for 8 KiB that replace others, as a commit's do: no durable step is faster.
void PrintDisk(const std::string& folder) {
  constexpr int kTimes = 200;
  const std::string path = folder + "/fsync";
  const int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  ABSL_CHECK_GE(file, 0);
  const std::string block(8192, 'b');
  std::vector<absl::Duration> times;
  for (int round = 0; round < 2; ++round) {
    times.clear();
    for (int i = 0; i < kTimes; ++i) {
      const absl::Time began = RealNow();
      ABSL_CHECK_EQ(pwrite(file, block.data(), block.size(), static_cast<off_t>(i) * 8192), 8192);
      ABSL_CHECK_EQ(fdatasync(file), 0);
      times.push_back(RealNow() - began);
    }
  }
  close(file);
  unlink(path.c_str());
  std::cout << "  the disk's own fdatasync meanwhile: " << Percentiles(times) << std::endl;
}

double Mebibytes() {
  malloc_trim(0);
  int64_t pages = 0;
  int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

absl::Duration ProcessorTime() {
  rusage usage{};
  ABSL_CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

// Runs `count` runs of `script` at once, each doing `steps` steps.
void Throughput(std::string_view what, Script script, int count, int steps, const json& input) {
  EngineRig rig(std::move(script), {.threads = Threads()});
  rig.Open();
  const int64_t commits = rig.commits();
  const absl::Time began = RealNow();
  const absl::Duration processor = ProcessorTime();
  rig.CreateRuns(count, std::max(1, count / 4), input);
  rig.AwaitEvents("agent_completed", count);
  const double seconds = absl::ToDoubleSeconds(RealNow() - began);
  const double all = static_cast<double>(count) * steps;
  std::cout << absl::StrFormat(
                   "%s: %d runs x %d: %.0f steps/s, %.0f runs/s (%.2f s, %.0f us of processor a step, %d commits)",
                   what, count, steps, all / seconds, count / seconds, seconds,
                   absl::ToDoubleMicroseconds(ProcessorTime() - processor) / all, rig.commits() - commits)
            << std::endl;
  PrintDisk(rig.folder());
}

Awaitable<absl::StatusOr<Answer>> Steps(RunContext& run, const json& input) {
  for (int left = input.at("steps").get<int>(); left > 0; --left) {
    co_await run.Random();
  }
  co_return Answer{.summary = "done"};
}

Awaitable<absl::StatusOr<Answer>> ToolSteps(RunContext& run, const json& input) {
  for (int left = input.at("steps").get<int>(); left > 0; --left) {
    CO_RETURN_IF_ERROR((co_await run.CallTool("work", {{"left", left}})).status());
  }
  co_return Answer{.summary = "done"};
}

// One model call that asks for three tools, and the three at once. The model answers at once in this process, as the tools do.
Awaitable<absl::StatusOr<Answer>> Graph(RunContext& run, const json&) {
  agent::ModelRequest request{.model = "bench", .messages = {{.text = "what is in the three places?"}}};
  for (const char* function : {"look_left", "look_ahead", "look_right"}) {
    request.tools.push_back({.name = function,
                             .description = "Says what is in a place.",
                             .parameters = {{"type", "object"}, {"required", {"place"}}}});
  }
  CO_ASSIGN_OR_RETURN(agent::ModelReply reply, co_await run.CallModel(std::move(request)));
  CO_ASSIGN_OR_RETURN(std::vector<json> found,
                      co_await run.All(reply.tool_calls, [&](const agent::ModelToolCall& call) {
                        return run.CallTool(call.name, json::parse(call.arguments));
                      }));
  co_return Answer{.summary = absl::StrCat("found ", found.size())};
}

void BenchSteps() { Throughput("steps (a journalled value)", Steps, Runs(256), 100, {{"steps", 100}}); }
void BenchTools() { Throughput("tools (a call with its two events)", ToolSteps, Runs(256), 40, {{"steps", 40}}); }
void BenchGraph() { Throughput("graph (a model call, three tools)", Graph, Runs(4000), 4, json::object()); }

void BenchLatency() {
  std::map<std::string, std::vector<absl::Duration>> times;
  constexpr int kSteps = 2000;
  EngineRig rig(
      [&times](RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
        const bool tools = input.at("tools").get<bool>();
        std::vector<absl::Duration>& out = times[tools ? "a tool call" : "a value"];
        for (int step = 0; step < kSteps; ++step) {
          const absl::Time began = RealNow();
          if (tools) {
            CO_RETURN_IF_ERROR((co_await run.CallTool("work", {{"step", step}})).status());
          } else {
            co_await run.Random();
          }
          out.push_back(RealNow() - began);
        }
        co_return Answer{.summary = "done"};
      },
      {.threads = Threads()});
  rig.Open();
  rig.CreateRuns(1, 1, {{"tools", false}});
  rig.AwaitEvents("agent_completed", 1);
  rig.CreateRuns(1, 1, {{"tools", true}});
  rig.AwaitEvents("agent_completed", 2);
  for (auto& [what, all] : times) {
    std::cout << "latency of one run's step, " << what << ": " << Percentiles(all) << std::endl;
  }
  PrintDisk(rig.folder());
}

void Waiting(std::string_view what, bool approvals) {
  const int count = Runs(100'000);
  EngineRig rig(
      [&](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        co_await run.Random();
        if (approvals) {
          CO_RETURN_IF_ERROR((co_await run.RequestApproval({.question = "Go on?"})).status());
        } else {
          CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(24)));
        }
        co_return Answer{.summary = "done"};
      },
      {.threads = Threads()});
  rig.Open();
  const double before = Mebibytes();
  const absl::Time began = RealNow();
  rig.CreateRuns(count, std::max(1, count / 100), json::object());
  rig.AwaitWaiting(count);
  const double seconds = absl::ToDoubleSeconds(RealNow() - began);
  const double after = Mebibytes();
  std::cout << absl::StrFormat("%s: %d runs: %.0f MiB resident, %.0f before; %.2f KiB a run (%.1f s to get there)",
                               what, count, after, before, (after - before) * 1024 / count, seconds)
            << std::endl;
}
void BenchAsleep() { Waiting("asleep", /*approvals=*/false); }
void BenchApprovals() { Waiting("awaiting approval", /*approvals=*/true); }

void BenchRecovery() {
  const int count = Runs(10'000);
  constexpr int kSteps = 10;
  EngineRig rig(
      [&](RunContext& run, const json&) -> Awaitable<absl::StatusOr<Answer>> {
        for (int step = 0; step < kSteps; ++step) {
          co_await run.Random();
        }
        CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Hours(24)));
        co_return Answer{.summary = "done"};
      },
      {.threads = Threads()});
  rig.Open();
  rig.CreateRuns(count, count / 100 + 1, json::object());
  rig.AwaitWaiting(count);
  rig.Close();
  const absl::Time began = RealNow();
  const absl::Duration processor = ProcessorTime();
  rig.Open();
  rig.AwaitWaiting(count);
  const absl::Duration standing = RealNow() - began;
  std::cout << absl::StrFormat(
                   "recovery: %d unfinished runs, %d steps each: all stand where they stood after %.2f s "
                   "(%.2f s of processor, %d MiB)",
                   count, kSteps, absl::ToDoubleSeconds(standing), absl::ToDoubleSeconds(ProcessorTime() - processor),
                   static_cast<int>(Mebibytes()))
            << std::endl;
}

// What bob's runs have beside those of ada: the times of his steps, and from the call that makes a run to its first word.
class Neighbours {
 public:
  // `ada` makes runs of hers, on a thread of its own, for as long as `over` says no.
  using Ada = std::function<void(EngineRig& rig, const std::atomic<bool>& over)>;

  static void Measure(std::string_view what, const Ada& ada) {
    Neighbours neighbours;
    neighbours.Run(what, ada);
  }

 private:
  static constexpr int kSteps = 50;  // Of each run of bob's.
  static constexpr size_t kBlock = size_t{1} << 20;
  static constexpr size_t kMostBlocks = 256;

  void Run(std::string_view what, const Ada& ada) {
    EngineRig rig(
        [this](RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
          const std::string does = input.at("does");
          if (does == "compute") {
            Compute();
          } else if (does == "allocate") {
            Allocate();
          } else if (does == "step") {
            co_return co_await Steps(run, input);
          } else {
            co_await TimedSteps(run);
          }
          co_return Answer{.summary = "done"};
        },
        {.threads = Threads(),
         .limits = {},
         .max_unfinished_per_user = 104,
         .unresponsive_after = absl::GetFlag(FLAGS_unresponsive_after)});
    rig.Open();
    std::thread beside([&] { ada(rig, over_); });
    const absl::Time until = RealNow() + absl::GetFlag(FLAGS_beside);
    int64_t runs = 0;
    while (RealNow() < until) {
      made_ = RealNow();
      ABSL_CHECK_OK(rig.CreateRun("bob", {{"does", "measure"}}));
      ++runs;
      finished_.Await(runs);
    }
    over_ = true;
    beside.join();
    std::cout << "beside " << what << ": " << runs << " runs of bob; a step: " << WithLongest(steps_)
              << "; a run's beginning: " << WithLongest(beginnings_) << std::endl;
  }

  Awaitable<void> TimedSteps(RunContext& run) {
    beginnings_.push_back(RealNow() - made_);
    for (int step = 0; step < kSteps; ++step) {
      const absl::Time began = RealNow();
      co_await run.Random();
      steps_.push_back(RealNow() - began);
    }
    finished_.Add();
  }

  // Awaits nothing, for ever.
  void Compute() const {
    while (!over_) {
    }
  }

  // The same, and takes memory; at 256 MiB it begins again, so that the machine outlives the benchmark.
  void Allocate() const {
    while (!over_) {
      std::vector<std::string> blocks;
      while (!over_ && blocks.size() < kMostBlocks) {
        blocks.emplace_back(kBlock, 'b');
      }
    }
  }

  static std::string WithLongest(const std::vector<absl::Duration>& times) {
    return absl::StrFormat("%s, longest %.0f us", Percentiles(times),
                           absl::ToDoubleMicroseconds(*std::ranges::max_element(times)));
  }

  // Bob's runs come one after another.
  class Finished {
   public:
    void Add() {
      absl::MutexLock lock(mutex_);
      ++count_;
    }
    void Await(int64_t count) {
      absl::MutexLock lock(mutex_);
      const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return count_ >= count; };
      ABSL_CHECK(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Minutes(10))) << "a run of bob's does not end";
    }

   private:
    absl::Mutex mutex_;
    int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  };

  std::atomic<bool> over_ = false;
  Finished finished_;
  absl::Time made_;  // These belong to whoever has the turn: the one who makes a run, then that run.
  std::vector<absl::Duration> steps_;
  std::vector<absl::Duration> beginnings_;
};

void BenchNeighbours() {
  static constexpr int kFloodSteps = 20;
  const auto make = [](std::string_view does, int count) {
    return [does, count](EngineRig& rig, const std::atomic<bool>&) {
      for (int i = 0; i < count; ++i) {
        ABSL_CHECK_OK(rig.CreateRun("ada", {{"does", does}}));
      }
    };
  };
  const auto nobody = [](EngineRig&, const std::atomic<bool>&) {};
  const auto flood = [](EngineRig& rig, const std::atomic<bool>& over) {
    while (!over) {
      // Refused when there are as many as a user may have: the next attempt is a part of the flood.
      rig.CreateRun("ada", {{"does", "step"}, {"steps", kFloodSteps}}).IgnoreError();
    }
  };
  Neighbours::Measure("nobody", nobody);
  Neighbours::Measure("an agent that computes for ever", make("compute", 1));
  Neighbours::Measure("an agent that allocates in a loop", make("allocate", 1));
  Neighbours::Measure("a flood of runs", flood);
  Neighbours::Measure("four agents that compute for ever, more than there are threads", make("compute", 4));
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  // What `neighbours` does wrong is on purpose.
  absl::SetMinLogLevel(absl::LogSeverityAtLeast::kFatal);
  const std::vector<std::pair<std::string, void (*)()>> cases = {
      {"steps", bulkhead::bench::BenchSteps},         {"tools", bulkhead::bench::BenchTools},
      {"graph", bulkhead::bench::BenchGraph},         {"latency", bulkhead::bench::BenchLatency},
      {"recovery", bulkhead::bench::BenchRecovery},   {"asleep", bulkhead::bench::BenchAsleep},
      {"approvals", bulkhead::bench::BenchApprovals}, {"neighbours", bulkhead::bench::BenchNeighbours}};
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  std::vector<std::string> wanted(arguments.begin() + 1, arguments.end());
  for (const auto& [name, bench] : cases) {
    if (wanted.empty() || std::ranges::find(wanted, name) != wanted.end()) {
      bench();
    }
  }
  return 0;
}
