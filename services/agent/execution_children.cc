#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/agent/run_failure.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

absl::StatusOr<nlohmann::json> OutcomeOf(const RunRecord& child) {
  if (child.state == RunState::kSucceeded) {
    return nlohmann::json::parse(child.answer.value_or("{}"), nullptr, /*allow_exceptions=*/false);
  }
  const absl::StatusCode code = child.state == RunState::kCancelled  ? absl::StatusCode::kCancelled
                                : child.state == RunState::kTimedOut ? absl::StatusCode::kDeadlineExceeded
                                                                     : absl::StatusCode::kAborted;
  const RunError error = child.error.value_or(RunError{});
  return MakeError(code, absl::StrCat("the child run ", child.id, ": ", error.message),
                   {.domain = error.domain, .reason = error.reason, .metadata = error.metadata});
}

}  // namespace

Awaitable<absl::StatusOr<Answer>> Execution::RunAgent(Place place, std::string agent, nlohmann::json input) {
  Entry* entry = co_await Enter(place, CommandText(absl::StrCat("run ", agent), JournalText(input)));
  if (!entry->result.has_value()) {
    CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));
    const absl::Time began = dependencies_.clock->Now();
    absl::StatusOr<nlohmann::json> outcome = nlohmann::json();
    std::vector<std::string> events;
    absl::Status started = co_await StartChild(place, entry, agent, std::move(input));
    if (started.ok()) {
      outcome = co_await AwaitChild(place, entry->child);
      events.push_back(ChildEnded(*entry, began, outcome.status()));
    } else {
      outcome = started;
    }
    co_await StayIfNotGone();
    co_await JournalResult(place.path, entry, EncodeResult(outcome), std::move(events));
  }
  CO_ASSIGN_OR_RETURN(nlohmann::json answer, DecodeResult(*entry->result));
  co_return Answer{.summary = answer.value("summary", ""),
                   .artifacts = answer.value("artifacts", std::vector<std::string>()),
                   .data = answer.value("data", nlohmann::json::object())};
}

Awaitable<absl::Status> Execution::StartChild(const Place& place, Entry* entry, const std::string& agent,
                                              nlohmann::json input) {
  if (!entry->child.empty()) {
    co_return absl::OkStatus();
  }
  // Under a request id of the command's own: after a crash in between it is the same child.
  absl::StatusOr<RunRecord> child = co_await dependencies_.children->StartChild(
      run_, token_, agent, std::move(input), absl::StrCat("child of ", run_.id, "/", place.path));
  co_await StayIfNotGone();
  CO_RETURN_IF_ERROR(child.status());
  const absl::Time now = dependencies_.clock->Now();
  std::vector<JournalRecord> records;
  records.push_back(RecordOf(place.path, *entry, JournalRecord::Kind::kExecuting,
                             {{"child", child->id}, {"since", absl::ToUnixMicros(now)}}));
  co_await Journal(std::move(records), {events_.ChildStarted(now, entry->step, child->name(), child->agent)});
  entry->child = child->id;
  entry->executing = true;
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<nlohmann::json>> Execution::AwaitChild(const Place& place, const std::string& child) {
  ledger_.Enter(TimeLedger::kChildren);
  absl::StatusOr<RunRecord> found = RunRecord();
  while (true) {
    // Registered before it is looked at, so that its end is not missed.
    std::stop_source woken;
    {
      absl::MutexLock lock(mutex_);
      waits_.push_back(woken);
    }
    found = dependencies_.store->For(run_.owner).Get(child);
    if (!found.ok() || IsTerminal(found->state) || gone() || place.stop.stop_requested()) {
      break;
    }
    std::stop_callback on_stop(place.stop, [&woken] { woken.request_stop(); });
    // The run's own deadline requests the stop; later than that nobody waits.
    absl::Status slept = co_await SleepUntil(dependencies_.clock, run_.deadline + absl::Hours(1), woken.get_token());
    if (slept.ok()) {
      break;
    }
  }
  ledger_.Leave(TimeLedger::kChildren);
  co_await StayIfNotGone();
  CO_RETURN_IF_ERROR(found.status());
  if (!IsTerminal(found->state)) {
    absl::Status stopped = stop_status(place.stop);
    co_await dependencies_.children->CancelChild(run_.owner, child, std::string(stopped.message()));
    co_return stopped;
  }
  co_return OutcomeOf(*found);
}

std::string Execution::ChildEnded(const Entry& entry, absl::Time began, const absl::Status& status) const {
  const absl::Time now = dependencies_.clock->Now();
  std::optional<RunError> error;
  if (!status.ok()) {
    error = RunError::Of(status);
  }
  return events_.ChildEnded(now, entry.step, absl::StrCat("users/", run_.owner, "/runs/", entry.child), now - began,
                            error);
}

}  // namespace bulkhead::agent
