#include "services/agent/execution.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/agent/journal_text.h"
#include "services/agent/run_failure.h"

namespace bulkhead::agent {
namespace {

// It has been opened; a run that waits for long needs no second copy.
RunRecord WithoutToken(RunRecord run) {
  std::string().swap(run.sealed_token);  // An assignment would keep its memory.
  return run;
}

}  // namespace

Execution::Execution(Options options, ExecutionDependencies dependencies, TakenUp taken,
                     std::shared_ptr<const RawToken> token, std::function<void(Release)> on_released)
    : options_(std::move(options)),
      dependencies_(dependencies),
      run_(WithoutToken(std::move(taken.run))),
      name_(run_.name()),
      events_(run_),
      token_(std::move(token)),
      ledger_(dependencies.clock, run_.timing),
      held_(run_.interrupt_time.has_value()),
      on_released_(std::move(on_released)) {
  for (JournalRecord& record : taken.journal) {
    bytes_ += BytesOf(record);
    Entry& entry = entries_[record.path];
    entry.step = record.step;
    entry.command = std::move(record.command);
    steps_ = std::max(steps_, entry.step);
    nlohmann::json payload = nlohmann::json::parse(record.payload, nullptr, /*allow_exceptions=*/false);
    switch (record.kind) {
      case JournalRecord::Kind::kIntent:
        entry.intent = std::move(payload);
        break;
      case JournalRecord::Kind::kExecuting:
        entry.executing = true;
        entry.policy = payload.is_object() ? payload.value("policy", 0) : 0;
        entry.tool = payload.is_object() ? payload.value("tool", "") : "";
        entry.child = payload.is_object() ? payload.value("child", "") : "";
        entry.model = payload.is_object() ? payload.value("model", "") : "";
        break;
      case JournalRecord::Kind::kResult:
        entry.result = std::move(payload);
        break;
    }
  }
}

Execution::~Execution() { LetGo(Release::kDone); }

Awaitable<void> Execution::Main(std::shared_ptr<Execution> self, std::unique_ptr<Agent> agent) {
  co_await self->StayIfNotGone();  // It may have waited for its thread.
  std::unique_ptr<RunContext> context = self->NewContext();
  const nlohmann::json input = nlohmann::json::parse(self->run_.input, nullptr, /*allow_exceptions=*/false);
  absl::StatusOr<Answer> result;
  std::string thrown;
  try {
    result = co_await agent->Run(*context, input);
  } catch (const std::exception& e) {
    thrown = absl::StrCat("the agent threw: ", e.what());
  } catch (...) {
    thrown = "the agent threw something that is no std::exception";
  }
  if (self->options_.heap != nullptr) {
    self->options_.heap->Lift();  // What follows is the platform's, and must not fail.
    if (self->options_.heap->exceeded()) {
      self->RequestStop(StopReason::kMemoryExceeded);
    }
  }
  if (!thrown.empty()) {
    result = RunFailure(absl::StatusCode::kInternal, "AGENT_THREW", thrown, {{"agent", self->run_.agent}});
  }
  co_await self->End(std::move(result));
}

void Execution::RequestStop(StopReason reason) {
  {
    absl::MutexLock lock(mutex_);
    if (stop_reason_ == StopReason::kNone) {
      stop_reason_ = reason;
    }
  }
  stop_.request_stop();
}

void Execution::Drain() {
  absl::MutexLock lock(mutex_);
  draining_ = true;
}

void Execution::AwaitCalls(absl::Time deadline) const {
  auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return calls_in_flight_ == 0 || ended_ || abandoned_; };
  absl::MutexLock lock(mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(&none), deadline);
}

bool Execution::gone() const {
  absl::MutexLock lock(mutex_);
  return ended_ || abandoned_;
}

absl::Status Execution::stop_status() const {
  absl::MutexLock lock(mutex_);
  switch (stop_reason_) {
    case StopReason::kNone:
      return absl::OkStatus();
    case StopReason::kCancelled:
      return RunFailure(absl::StatusCode::kCancelled, "RUN_CANCELLED", "the run was cancelled", {{"run", run_.id}});
    case StopReason::kUnresponsive:
      return RunFailure(absl::StatusCode::kInternal, "AGENT_UNRESPONSIVE",
                        "the agent held its thread without awaiting anything for too long",
                        {{"run", run_.id}, {"agent", run_.agent}});
    case StopReason::kMemoryExceeded:
      return RunFailure(absl::StatusCode::kResourceExhausted, "AGENT_MEMORY_EXCEEDED",
                        "the agent held more memory than it may", {{"run", run_.id}, {"agent", run_.agent}});
    case StopReason::kTimedOut:
      return RunFailure(absl::StatusCode::kDeadlineExceeded, "RUN_TIMED_OUT", "the time of the run is over",
                        {{"run", run_.id}, {"deadline", absl::FormatTime(run_.deadline, absl::UTCTimeZone())}});
  }
  return absl::OkStatus();
}

absl::Status Execution::stop_status(const std::stop_token& stop) const {
  absl::Status run = stop_status();
  return run.ok() && stop.stop_requested() ? BranchLost() : run;
}

RunIdentity Execution::identity(std::stop_token stop) const {
  return {.token = token_,
          .traceparent = run_.traceparent,
          .thread = run_.thread,
          .stop = std::move(stop),
          .timeout = std::max(run_.deadline - dependencies_.clock->Now(), absl::Seconds(1))};
}

}  // namespace bulkhead::agent
