// How to write an agent in C++: derive from Agent, tell the world through RunContext, return an
// Answer. docs/agents.md is the guide.
//
//   class Counter final : public Agent {
//     Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const nlohmann::json& input) override
//     {
//       co_await run.Think("Counting the rows");
//       CO_ASSIGN_OR_RETURN(nlohmann::json table, co_await run.CallTool("table.load", {{"file",
//       input.at("file")}})); co_return Answer{.summary =
//       absl::StrCat(table.at("rows").get<int64_t>(), " rows")};
//     }
//   };
//
// The engine is durable: after a crash Run begins again from its top, and each operation of
// RunContext that had a result gives the same one without being done again. So everything that may
// differ between two executions (time, chance, ids, the world) goes through RunContext; the code
// between is free of it.
#ifndef SERVICES_AGENT_AGENT_H_
#define SERVICES_AGENT_AGENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/models/model.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::agent {

class RunContext;

// What a run gives back.
struct Answer {
  std::string summary;                 // In a sentence or two.
  std::vector<std::string> artifacts;  // "users/{user}/files/{path}"
  nlohmann::json data = nlohmann::json::object();
};

// What an agent says about itself.
struct AgentSpec {
  std::string name;         // 3 to 64 of [a-z0-9._-], as "analyst".
  std::string version;      // Of the code, as "1.0.0". Part of each run's record.
  std::string description;  // For people and for other agents.
  // JSON Schema 2020-12 of the input, as JSON text. Runs with another input are refused before they
  // start.
  std::string input_schema = R"({"type": "object"})";
  // It calls models: runs of users who have used up their tokens are refused before they start.
  bool calls_models = false;
};

// One instance serves one run of one user, so its members are that run's own.
class Agent {
 public:
  virtual ~Agent() = default;

  // Runs to the end. An error fails the run with its reason; an exception fails it with
  // AGENT_THREW. `run` and `input` live as long as the coroutine. All of it, parallel branches
  // included, executes on one strand: no locks are needed.
  virtual Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const nlohmann::json& input) = 0;
};

// Makes the instances of one agent. `make` is called once a run, and again when a run is recovered.
struct AgentFactory {
  AgentSpec spec;
  std::function<std::unique_ptr<Agent>()> make;
};

template <typename T>
AgentFactory FactoryOf(AgentSpec spec) {
  return {.spec = std::move(spec), .make = [] { return std::make_unique<T>(); }};
}

// A question to the run's user before something is done.
struct ApprovalRequest {
  std::string question;                                 // For people.
  std::string tool;                                     // What would be called, or "".
  nlohmann::json arguments = nlohmann::json::object();  // With what.
  absl::Duration expires_after = absl::Hours(24);       // Then it counts as denied.
};

struct ApprovalDecision {
  bool allowed = false;
  bool expired = false;
  std::string comment;
  std::optional<nlohmann::json> edited_arguments;
};

// What the tool service says of a tool.
struct ToolDescription {
  std::string name;         // "table.load"
  std::string description;  // For agents and people.
  nlohmann::json input_schema = nlohmann::json::object();
};

// An earlier run of the same conversation.
struct PastRun {
  std::string name;   // "users/ada/runs/run-1"
  std::string agent;  // "analyst"
  nlohmann::json input;
  std::optional<Answer> answer;  // Absent when it did not succeed, for which there is
  std::string reason;            // the error's reason, as "RUN_CANCELLED",
  std::string message;           // and its text.
};

struct ParallelOptions {
  int max_parallel = 8;
};

// The agent's way to the world. Every operation is a command with a place in the run's journal, in
// program order; commands inside a parallel group have the place of their branch, whatever order the branches
// finish in. A replay that asks for another command than the journal has fails the run with
// NONDETERMINISTIC_AGENT.
//
// When the run is cancelled or its time is over, operations that wait return CANCELLED
// `RUN_CANCELLED` or DEADLINE_EXCEEDED `RUN_TIMED_OUT`; the agent should return then. One that
// doesn't is cut off after a grace: its next operation never resumes.
class RunContext {
 public:
  virtual ~RunContext() = default;

  // Says what the agent is about to do: an event for those who watch.
  virtual Awaitable<void> Think(std::string text) = 0;

  // Calls a tool ("table.load") as the run's user and waits for its output. The tool's own error
  // comes back as it is.
  virtual Awaitable<absl::StatusOr<nlohmann::json>> CallTool(std::string tool, nlohmann::json input) = 0;

  // The same, typed: T has `static constexpr std::string_view kTool`, `nlohmann::json ToJson()
  // const`, and a `Result` with `static absl::StatusOr<Result> FromJson(const nlohmann::json&)`.
  template <typename T>
  Awaitable<absl::StatusOr<typename T::Result>> Call(const T& call) {
    return Typed<T>(CallTool(std::string(T::kTool), call.ToJson()));
  }

  // What tools do and take, in the order of `tools`: the same again in a replay. NOT_FOUND `TOOL_NOT_FOUND`, also for those that the user may not see.
  virtual Awaitable<absl::StatusOr<std::vector<ToolDescription>>> DescribeTools(std::vector<std::string> tools) = 0;

  // Asks a model and waits for the whole reply; watchers get its text as it comes. What it uses counts for the user. A call that a crash cuts off is made
  // again, and may be billed twice. NOT_FOUND `MODEL_UNKNOWN`, INVALID_ARGUMENT `MODEL_REQUEST_INVALID`, RESOURCE_EXHAUSTED `MODEL_TOKENS_EXCEEDED`,
  // FAILED_PRECONDITION `MODEL_REFUSED`; and after some attempts UNAVAILABLE `MODEL_UNREACHABLE`, RESOURCE_EXHAUSTED `MODEL_RATE_LIMITED`. Without another
  // attempt: DEADLINE_EXCEEDED `MODEL_TIMED_OUT`, ABORTED `MODEL_REPLY_INVALID`.
  virtual Awaitable<absl::StatusOr<ModelReply>> CallModel(ModelRequest request) = 0;

  // The time, a random number, an identifier "<prefix>-...": the same again in a replay.
  virtual Awaitable<absl::Time> Now() = 0;
  virtual Awaitable<uint64_t> Random() = 0;
  virtual Awaitable<std::string> NewId(std::string prefix) = 0;

  // A durable timer: a run that is recovered sleeps what is left.
  virtual Awaitable<absl::Status> Sleep(absl::Duration duration) = 0;

  // Waits, durably, until the run's user has decided or the request has expired.
  virtual Awaitable<absl::StatusOr<ApprovalDecision>> RequestApproval(ApprovalRequest request) = 0;

  // Starts another agent ("analyst") as this run's user, and waits for its answer. It is a run of its own, with a journal
  // and events; it needs no turn, and does not outlive this run: when this one, or its branch, ends first, it is
  // cancelled. Its error comes back with its own reason; RESOURCE_EXHAUSTED `CHILD_RUNS_TOO_DEEP` when a child's child's
  // ... child asks.
  virtual Awaitable<absl::StatusOr<Answer>> RunAgent(std::string agent, nlohmann::json input) = 0;

  // Runs `fn` for each item, at most max_parallel at once, and gives the results in the items'
  // order; the first error in that order if there is one, after all have ended. `fn` is `(const
  // Item&)` or `(RunContext& branch, const Item&)` -> Awaitable<absl::StatusOr<T>>. The first form
  // may return one operation of this context; a branch of several operations takes the second form
  // and uses `branch`. `items` outlives the call.
  template <typename Items, typename Fn>
  auto All(const Items& items, Fn fn, ParallelOptions options = {}) {
    return FirstError(AllSettled(items, std::move(fn), options));
  }

  // The same, but each item's own result or error.
  template <typename Items, typename Fn>
  auto AllSettled(const Items& items, Fn fn, ParallelOptions options = {});

  // Runs `fn` for each item as All does, until one has succeeded: the result of that one. The others are stopped: what
  // they wait for returns CANCELLED `BRANCH_LOST`, tool calls are cancelled, and those that have not begun don't begin.
  // Returns when all have ended; the first error in the items' order when none has succeeded, and INVALID_ARGUMENT
  // `NO_BRANCHES` without items. `fn` is `(RunContext& branch, const Item&)`. Who won is in the journal.
  template <typename Items, typename Fn>
  auto Any(const Items& items, Fn fn, ParallelOptions options = {}) {
    return Compete(Contest::kAny, items, std::move(fn), options);
  }

  // The same, until one has ended, well or not: its result or error.
  template <typename Items, typename Fn>
  auto Race(const Items& items, Fn fn, ParallelOptions options = {}) {
    return Compete(Contest::kRace, items, std::move(fn), options);
  }

  // The runs of this run's thread that have ended by now, in the order in which they were made: the newest 50 of them,
  // and no more than 256 KiB of inputs and answers. Empty outside a thread. Runs that end later change nothing.
  virtual Awaitable<std::vector<PastRun>> History() = 0;

  // How the code of an agent changes while runs of it are under way: true when this run came here under the code that
  // has this patch, false when it came by before, and so must go on as it did. The answer to one name is the same all
  // through the run. Ask outside of parallel groups.
  //
  //   if (co_await run.Patched("two-pass")) { ... the new way ... } else { ... the old way ... }
  virtual Awaitable<bool> Patched(std::string name) = 0;

  // "ada", and "users/ada/runs/run-1".
  virtual const std::string& user() const = 0;
  virtual const std::string& name() const = 0;

  // Requested when the run, or this branch of it, shall end. For long computations between operations.
  virtual std::stop_token stop() const = 0;

 protected:
  // A branch of a group; it is called once, with the context of the branch.
  using Branch = absl::AnyInvocable<Awaitable<void>(RunContext&)>;

  // Makes this context refuse operations, but those that `make` asks for itself, until the group
  // has ended. Internal to All.
  virtual Awaitable<void> RunGroup(std::vector<Branch> branches, int max_parallel) = 0;

  enum class Contest { kAny, kRace };
  // A branch that says whether it has won, unless another one has before.
  using Contender = absl::AnyInvocable<Awaitable<bool>(RunContext&)>;
  // Gives the index of the winner, or contenders.size(). Internal to Any and Race.
  virtual Awaitable<size_t> RunContest(Contest contest, std::vector<Contender> contenders, int max_parallel) = 0;

 private:
  template <typename T>
  static Awaitable<absl::StatusOr<typename T::Result>> Typed(Awaitable<absl::StatusOr<nlohmann::json>> call) {
    absl::StatusOr<nlohmann::json> output = co_await std::move(call);
    if (!output.ok()) {
      co_return output.status();
    }
    co_return T::Result::FromJson(*output);
  }

  template <typename T>
  static Awaitable<absl::StatusOr<std::vector<T>>> FirstError(Awaitable<std::vector<absl::StatusOr<T>>> settled) {
    std::vector<absl::StatusOr<T>> results = co_await std::move(settled);
    std::vector<T> values;
    values.reserve(results.size());
    for (absl::StatusOr<T>& result : results) {
      if (!result.ok()) {
        co_return result.status();
      }
      values.push_back(*std::move(result));
    }
    co_return values;
  }

  static absl::Status NoBranches();

  template <typename T>
  struct Unwrap;
  template <typename T>
  struct Unwrap<Awaitable<absl::StatusOr<T>>> {
    using type = T;
  };

  template <typename Items, typename Fn>
  auto Compete(Contest contest, const Items& items, Fn fn, ParallelOptions options) {
    using Item = std::decay_t<decltype(*std::begin(items))>;
    static_assert(std::is_invocable_v<Fn&, RunContext&, const Item&>,
                  "a branch of Any or Race takes the context of its own: (RunContext& branch, const Item&)");
    using T = typename Unwrap<std::invoke_result_t<Fn&, RunContext&, const Item&>>::type;
    return Decide<T>(*this, contest, items, std::move(fn), options.max_parallel);
  }

  template <typename T, typename Items, typename Fn>
  static Awaitable<absl::StatusOr<T>> Decide(RunContext& run, Contest contest, const Items& items, Fn fn,
                                             int max_parallel);

  template <typename T, typename Items, typename Fn>
  static Awaitable<std::vector<absl::StatusOr<T>>> Settle(RunContext& run, const Items& items, Fn fn, int max_parallel);
};

template <typename Items, typename Fn>
auto RunContext::AllSettled(const Items& items, Fn fn, ParallelOptions options) {
  using Item = std::decay_t<decltype(*std::begin(items))>;
  if constexpr (std::is_invocable_v<Fn&, RunContext&, const Item&>) {
    using T = typename Unwrap<std::invoke_result_t<Fn&, RunContext&, const Item&>>::type;
    return Settle<T>(*this, items, std::move(fn), options.max_parallel);
  } else {
    using T = typename Unwrap<std::invoke_result_t<Fn&, const Item&>>::type;
    return Settle<T>(*this, items, std::move(fn), options.max_parallel);
  }
}

template <typename T, typename Items, typename Fn>
Awaitable<std::vector<absl::StatusOr<T>>> RunContext::Settle(RunContext& run, const Items& items, Fn fn,
                                                             int max_parallel) {
  using Item = std::decay_t<decltype(*std::begin(items))>;
  static_assert(std::is_lvalue_reference_v<decltype(*std::begin(items))>, "branches refer to their items");
  std::vector<absl::StatusOr<T>> results;
  std::vector<Branch> branches;
  for (const Item& item : items) {
    const size_t index = results.size();
    results.emplace_back(absl::UnknownError("the branch did not end"));
    if constexpr (std::is_invocable_v<Fn&, RunContext&, const Item&>) {
      branches.push_back([&results, &fn, &item, index](RunContext& branch) -> Awaitable<void> {
        results[index] = co_await fn(branch, item);
      });
    } else {
      // Called here, in the items' order: the operation takes its place in the journal now and is
      // carried out later.
      branches.push_back([&results, index, made = fn(item)](RunContext&) mutable -> Awaitable<void> {
        results[index] = co_await std::move(made);
      });
    }
  }
  co_await run.RunGroup(std::move(branches), max_parallel);
  co_return results;
}

template <typename T, typename Items, typename Fn>
Awaitable<absl::StatusOr<T>> RunContext::Decide(RunContext& run, Contest contest, const Items& items, Fn fn,
                                                int max_parallel) {
  using Item = std::decay_t<decltype(*std::begin(items))>;
  static_assert(std::is_lvalue_reference_v<decltype(*std::begin(items))>, "branches refer to their items");
  std::vector<absl::StatusOr<T>> results;
  std::vector<Contender> contenders;
  for (const Item& item : items) {
    const size_t index = results.size();
    results.emplace_back(absl::UnknownError("the branch did not begin"));
    contenders.push_back([&results, &fn, &item, index, contest](RunContext& branch) -> Awaitable<bool> {
      results[index] = co_await fn(branch, item);
      co_return contest == Contest::kRace || results[index].ok();
    });
  }
  const size_t winner = co_await run.RunContest(contest, std::move(contenders), max_parallel);
  if (results.empty()) {
    co_return NoBranches();
  }
  co_return std::move(results[winner < results.size() ? winner : 0]);
}

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_AGENT_H_
