#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "services/agent/run_engine_state.h"
#include "services/common/crypto/secret.h"
#include "services/common/runtime/executor.h"
#include "services/common/runtime/heap_account.h"
#include "services/common/runtime/metered_executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {

Awaitable<void> RunEngine::State::Execute(std::shared_ptr<State> state, std::unique_ptr<const Known> run,
                                          std::optional<Woken> woken) {
  std::unique_ptr<Executing> executing = co_await TakeUp(state, std::move(run), woken);
  if (executing != nullptr) {
    co_await boost::asio::co_spawn(executing->strand,
                                   Execution::Main(std::move(executing->execution), std::move(executing->agent)),
                                   boost::asio::use_awaitable);
  }
}

Awaitable<std::unique_ptr<RunEngine::State::Executing>> RunEngine::State::TakeUp(std::shared_ptr<State> state,
                                                                                 std::unique_ptr<const Known> known,
                                                                                 std::optional<Woken> woken) {
  const Known& run = *known;
  absl::StatusOr<TakenUp> taken = co_await state->store()->TakeUp(run.key, state->clock()->Now(), woken);
  if (!taken.ok()) {
    const std::string reason = ReasonOf(taken.status());
    if (reason == "RUN_ENDED" || reason == "RUN_NOT_FOUND") {
      state->Forget(run);  // Cancelled or timed out in the last moment, or deleted.
    } else {
      ABSL_LOG(ERROR) << "run " << run.id << " cannot be taken up now: " << taken.status();
      state->Rest(run);
    }
    co_return nullptr;
  }
  const Ownership ownership{.key = taken->run.key, .epoch = taken->run.epoch};
  std::string agent_version;
  std::unique_ptr<Agent> agent;
  std::shared_ptr<const RawToken> token;
  absl::Status prepared = state->Prepare(taken->run, agent_version, agent, token);
  if (!prepared.ok() || taken->run.state == RunState::kCancelling) {
    co_await state->EndUnstarted(
        ownership, run,
        prepared.code() == absl::StatusCode::kDeadlineExceeded ? RunState::kTimedOut : RunState::kFailed, prepared);
    co_return nullptr;
  }

  const bool held = taken->run.interrupt_time.has_value();
  const std::shared_ptr<HeapAccount> heap = state->OpenHeap(run.id);
  auto presence = std::make_shared<Presence>();
  auto execution =
      std::make_shared<Execution>(Execution::Options{.max_steps = state->options.max_steps_per_run,
                                                     .max_bytes = state->options.max_journal_bytes_per_run,
                                                     .agent_version = std::move(agent_version),
                                                     .heap = heap},
                                  state->ForExecution(), *std::move(taken), std::move(token),
                                  [weak = std::weak_ptr<State>(state), id = run.id](Execution::Release release) {
                                    if (std::shared_ptr<State> state = weak.lock()) {
                                      state->Released(id, release);
                                    }
                                  });
  Execution::StopReason stop = Execution::StopReason::kNone;
  bool left = false;
  uint64_t hold = 0;
  bool closed;
  {
    absl::MutexLock lock(state->mutex);
    closed = state->closed;
    if (auto found = state->active.find(run.id); found != state->active.end()) {
      found->second.execution = execution;
      found->second.presence = presence;
      found->second.taking_up = false;
      stop = found->second.stop;
      left = found->second.turn != Turn::kHas;
      hold = ++found->second.holds;
    }
  }
  if (closed) {
    execution->Abandon();
    co_return nullptr;
  }
  // It may have been held back, or let go on, since it was read.
  if (left) {
    execution->SetHeld(true, hold);
  } else if (held) {
    state->LookUp(run.id);
  }
  if (stop != Execution::StopReason::kNone) {
    state->Stop(run.id, stop, state->options.cancel_grace);
  }
  auto bare = boost::asio::make_strand(state->dependencies.executor->get());
  boost::asio::any_io_executor strand = bare;
  if (heap != nullptr) {
    strand = MeteredExecutor(std::move(bare), heap);
  }
  Watchdog::Watched watched =
      state->watchdog->Watch(strand, absl::StrCat("users/", run.owner, "/runs/", run.id),
                             [weak = std::weak_ptr<State>(state), id = run.id](const Watchdog::Report& report) {
                               if (std::shared_ptr<State> state = weak.lock()) {
                                 state->OnUnresponsive(id, report);
                               }
                             });
  co_return std::make_unique<Executing>(state, std::move(presence), std::move(execution), std::move(agent),
                                        std::move(strand), std::move(watched));
}

absl::StatusOr<AgentFactory> RunEngine::State::FactoryFor(const RunRecord& run) const {
  if (run.definition != 0 && dependencies.definitions != nullptr) {
    return dependencies.definitions->Version(run.definition);
  }
  ASSIGN_OR_RETURN(const AgentFactory* linked_in, dependencies.registry->Find(run.agent));
  return *linked_in;
}

absl::Status RunEngine::State::Prepare(const RunRecord& run, std::string& agent_version, std::unique_ptr<Agent>& agent,
                                       std::shared_ptr<const RawToken>& token) {
  if (clock()->Now() >= run.deadline) {
    return TimedOut(run.id, run.deadline);
  }
  ASSIGN_OR_RETURN(const AgentFactory factory, FactoryFor(run));
  agent_version = factory.spec.version;
  ASSIGN_OR_RETURN(Secret secret, dependencies.sealer->Open(run.sealed_token, run.name()));
  token = std::make_shared<const RawToken>(std::move(secret));
  std::string thrown;
  try {
    agent = factory.make();
  } catch (const std::exception& e) {
    thrown = e.what();
  } catch (...) {
    thrown = "something that is no std::exception";
  }
  if (agent == nullptr) {
    return MakeError(absl::StatusCode::kInternal, absl::StrCat("no instance of the agent could be made: ", thrown),
                     {.domain = "bulkhead.agent", .reason = "AGENT_THREW", .metadata = {{"agent", run.agent}}});
  }
  agent = instances.Count(std::move(agent), run.name());
  return absl::OkStatus();
}

std::shared_ptr<HeapAccount> RunEngine::State::OpenHeap(const std::string& id) {
  if (options.max_heap_bytes_per_run == 0) {
    return nullptr;
  }
  // Elsewhere: the agent's thread is in the middle of an allocation.
  return std::make_shared<HeapAccount>(
      static_cast<int64_t>(options.max_heap_bytes_per_run), [weak = weak_from_this(), id] {
        if (std::shared_ptr<State> state = weak.lock()) {
          Executor* executor = state->dependencies.executor;
          executor->Post([state = std::move(state), id] { state->OnMemoryExceeded(id); });
        }
      });
}

ExecutionDependencies RunEngine::State::ForExecution() {
  ExecutionDependencies execution = dependencies.execution;
  execution.places = this;
  return execution;
}

Awaitable<void> RunEngine::State::EndUnstarted(Ownership ownership, Known run, RunState to, absl::Status why) {
  auto self = shared_from_this();
  Ending ending{.state = to, .time = clock()->Now()};
  if (!why.ok()) {
    ending.error = RunError::Of(why);
  }
  absl::StatusOr<RunRecord> ended = co_await store()->End(ownership, std::move(ending));
  if (!ended.ok() && ReasonOf(ended.status()) != "RUN_FENCED") {
    ABSL_LOG(ERROR) << "run " << run.id << " could not be ended: " << ended.status();
    Rest(run);
  } else {
    Forget(run);
  }
}

}  // namespace bulkhead::agent
