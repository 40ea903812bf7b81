#include <algorithm>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/agent/run_failure.h"
#include "services/common/runtime/channel.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"

namespace bulkhead::agent {
namespace {

constexpr absl::Duration kInvokeBackoff = absl::Milliseconds(100);
// After a refusal for a quota that doesn't say when.
constexpr absl::Duration kQuotaPause = absl::Seconds(1);
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

// The tool service is away, or still busy with an earlier attempt under the same key.
bool MayPass(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  // RPC_CANCELLED: by the server's end; our own cancelling is looked at before.
  return reason == "RPC_UNAVAILABLE" || reason == "RPC_CANCELLED" || reason == "TOOL_CALL_IN_PROGRESS";
}

}  // namespace

Awaitable<absl::StatusOr<nlohmann::json>> Execution::CallTool(Place place, std::string tool, nlohmann::json input) {
  Entry* entry = co_await Enter(place, CommandText(absl::StrCat("tool ", tool), JournalText(input)));
  if (entry->result.has_value()) {
    for (auto& [question, asked] : entries_) {
      asked.visited = asked.visited || question.starts_with(absl::StrCat(place.path, "?"));
    }
    co_return DecodeResult(*entry->result);
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));

  // An intent without a result, or a call that was accepted: the process died in between, and the call may or may not
  // have happened. Only what must not be repeated has an intent: of other calls it does not matter that they began.
  bool in_doubt = entry->intent.has_value() || entry->policy != 0;
  int attempt = entry->intent.has_value() ? entry->intent->value("attempt", 1) : 0;
  RepeatPolicy policy = RepeatPolicy::kAtMostOnce;
  if (entry->intent.has_value()) {
    policy = static_cast<RepeatPolicy>(entry->intent->value("policy", static_cast<int>(RepeatPolicy::kAtMostOnce)));
  } else if (in_doubt) {
    policy = static_cast<RepeatPolicy>(entry->policy);
  } else {
    absl::StatusOr<RepeatPolicy> learned = co_await PolicyOf(tool, place.stop);
    if (!learned.ok()) {
      co_await AwaitStopIfRevoked(learned.status(), place.stop);
      CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));
      co_await JournalResult(place.path, entry, EncodeResult(learned.status()), {});
      co_return learned.status();
    }
    policy = *learned;
  }

  const absl::Time began = dependencies_.clock->Now();
  absl::StatusOr<ToolResult> result = ToolResult();
  while (true) {
    if (in_doubt && policy == RepeatPolicy::kAtMostOnce) {
      ApprovalRequest question;
      question.question = absl::StrCat("The call of ", tool,
                                       " may or may not have happened when the platform stopped. Call it (again)?");
      question.tool = tool;
      question.arguments = input;
      CO_ASSIGN_OR_RETURN(nlohmann::json decided, co_await Approve({.path = absl::StrCat(place.path, "?", attempt),
                                                                    .misuse = absl::OkStatus(),
                                                                    .stop = place.stop},
                                                                   std::move(question)));
      if (decided.at("verdict").get<int>() != static_cast<int>(ApprovalRecord::Verdict::kAllow)) {
        result = RunFailure(absl::StatusCode::kAborted, "TOOL_OUTCOME_UNKNOWN",
                            absl::StrCat("whether ", tool,
                                         " was called before the platform stopped is unknown, and "
                                         "calling it again was denied"),
                            {{"tool", tool}});
        CountCall(1);  // Its result is under way to the journal, as others' are below.
        break;
      }
    }
    if (policy == RepeatPolicy::kAtMostOnce) {
      co_await JournalIntent(place.path, entry, {{"policy", static_cast<int>(policy)}, {"attempt", ++attempt}});
    }
    CountCall(1);
    ledger_.Enter(TimeLedger::kTools);
    result = co_await InvokeWithRetries(place, entry, tool, input, policy);
    ledger_.Leave(TimeLedger::kTools);
    co_await AwaitStopIfRevoked(result.status(), place.stop);
    // When the tool service dies in the middle, it is the same doubt.
    in_doubt = !result.ok() && policy == RepeatPolicy::kAtMostOnce && !place.stop.stop_requested() && !gone() &&
               RunError::Of(result.status()).domain == "bulkhead.rpc";
    if (!in_doubt) {
      break;
    }
    CountCall(-1);
  }

  if (absl::Status stopped = stop_status(place.stop); !stopped.ok() && !result.ok()) {
    result = stopped;
  }
  nlohmann::json encoded = EncodeResult(result.ok() ? absl::StatusOr<nlohmann::json>(result->output)
                                                    : absl::StatusOr<nlohmann::json>(result.status()));
  std::vector<std::string> events;
  if (entry->executing) {
    const absl::Time now = dependencies_.clock->Now();
    std::optional<RunError> error;
    if (!result.ok()) {
      error = RunError::Of(result.status());
    }
    events.push_back(events_.ToolCompleted(now, entry->step, tool, now - began, error,
                                           result.ok() ? result->artifacts : std::vector<std::string>()));
  }
  co_await StayIfNotGone();
  co_await JournalResult(place.path, entry, std::move(encoded), std::move(events));
  CountCall(-1);
  co_return DecodeResult(*entry->result);
}

Awaitable<void> Execution::AwaitStopIfRevoked(const absl::Status& refused, std::stop_token stop) {
  const std::string reason = ReasonOf(refused);
  if (reason == "SESSION_REVOKED" || reason == "TOKEN_KEY_REVOKED") {
    // The tool service may have heard of it a moment earlier than this one.
    const absl::Status waited = co_await SleepUntil(dependencies_.clock, run_.deadline, std::move(stop));
    ABSL_LOG_IF(ERROR, waited.ok()) << "run " << run_.id << " was refused as " << reason << " and never cancelled";
  }
}

void Execution::CountCall(int change) {
  absl::MutexLock lock(mutex_);
  calls_in_flight_ += change;
}

Awaitable<absl::StatusOr<RepeatPolicy>> Execution::PolicyOf(const std::string& tool, std::stop_token stop) {
  auto known = policies_.find(tool);
  if (known != policies_.end()) {
    co_return known->second;
  }
  ledger_.Enter(TimeLedger::kTools);
  absl::StatusOr<RepeatPolicy> learned = co_await dependencies_.tools->PolicyOf(identity(stop), tool);
  for (int attempt = 1; attempt < kMaxAttempts && MayPass(learned.status()); ++attempt) {
    const bool goes_on = co_await Pause(attempt, stop);
    if (!goes_on) {
      break;
    }
    learned = co_await dependencies_.tools->PolicyOf(identity(stop), tool);
  }
  ledger_.Leave(TimeLedger::kTools);
  co_await StayIfNotGone();
  if (learned.ok()) {
    policies_.emplace(tool, *learned);
  }
  co_return learned;
}

Awaitable<absl::StatusOr<ToolDescription>> Execution::Describe(const std::string& tool, std::stop_token stop) {
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<ToolDescription> described = co_await dependencies_.tools->Describe(identity(stop), tool);
    if (attempt == kMaxAttempts || !MayPass(described.status())) {
      co_return described;
    }
    const bool goes_on = co_await Pause(attempt, stop);
    if (!goes_on) {
      co_return described;
    }
  }
}

Awaitable<absl::StatusOr<ToolResult>> Execution::InvokeWithRetries(const Place& place, Entry* entry,
                                                                   const std::string& tool, const nlohmann::json& input,
                                                                   RepeatPolicy policy) {
  const bool repeatable = policy != RepeatPolicy::kAtMostOnce;
  // Nothing here may destroy the coroutine while the call is under way: gRPC would call back into
  // it.
  for (int attempt = 1;; ++attempt) {
    absl::Status journalled;
    // Of the record that is written while the tool runs, which a call that may be repeated need not wait for.
    std::shared_ptr<Channel<absl::Status>> writing;
    ToolCall call{.tool = tool, .input = input, .request_id = absl::StrCat(run_.id, "/", place.path)};
    call.on_accepted = [this, &place, entry, &tool, &journalled, &input, &writing, policy,
                        repeatable]() -> Awaitable<absl::Status> {
      if (entry->executing || gone()) {
        co_return absl::OkStatus();  // Before the crash, or at an earlier attempt.
      }
      Append append = Accepted(place, *entry, tool, input, policy);
      if (repeatable) {
        entry->executing = true;
        entry->tool = tool;
        writing = std::make_shared<Channel<absl::Status>>(1);
        dependencies_.store->WriteThen(ownership(), std::move(append),
                                       [writing](absl::Status written) { writing->TrySend(std::move(written)); });
        co_return absl::OkStatus();
      }
      absl::Status written = co_await dependencies_.store->Write(ownership(), std::move(append));
      entry->executing = written.ok();
      entry->tool = tool;
      journalled = written;
      co_return written;
    };
    call.on_progress = [this, entry, &tool, last = absl::InfinitePast(), number = 0](double fraction,
                                                                                     std::string_view message) mutable {
      // Real time: it protects the notifier, and a simulated clock would swallow all but the first.
      const absl::Time now = RealNow();
      if (now - last >= kProgressInterval) {
        last = now;
        dependencies_.events->PublishTransient(
            events_.ToolProgress(dependencies_.clock->Now(), entry->step, ++number, tool, fraction, message));
      }
    };
    absl::StatusOr<ToolResult> result = co_await dependencies_.tools->Invoke(identity(place.stop), std::move(call));
    if (writing != nullptr) {
      std::optional<absl::Status> written = co_await writing->Receive();
      journalled = *std::move(written);
    }
    if (!journalled.ok() && !gone()) {
      co_await GiveUp(journalled);  // The call has ended: nothing calls back any more.
    }
    if (const std::optional<absl::Time> again = AfterQuota(result.status()); again.has_value()) {
      // Refused before anything happened, so that any tool may be called again.
      const absl::Status waited = co_await SleepUntil(dependencies_.clock, *again, place.stop);
      if (!waited.ok() || gone()) {
        co_return result;
      }
      --attempt;
      continue;
    }
    if (!repeatable || attempt == kMaxAttempts || !MayPass(result.status())) {
      co_return result;
    }
    // By itself: gcc 16 was seen to await it inside of the condition above even when that was true
    // before.
    const bool goes_on = co_await Pause(attempt, place.stop);
    if (!goes_on) {
      co_return result;
    }
  }
}

std::optional<absl::Time> Execution::AfterQuota(const absl::Status& refused) const {
  const std::optional<ErrorInfo> info = ErrorInfoOf(refused);
  if (!info.has_value() || info->reason != "TOOL_QUOTA_EXCEEDED") {
    return std::nullopt;
  }
  const absl::Time again =
      dependencies_.clock->Now() + std::max(info->retry_after.value_or(kQuotaPause), kInvokeBackoff);
  return again < run_.deadline ? std::optional(again) : std::nullopt;
}

Append Execution::Accepted(const Place& place, const Entry& entry, const std::string& tool, const nlohmann::json& input,
                           RepeatPolicy policy) {
  const absl::Time now = dependencies_.clock->Now();
  Append append{.steps = steps_, .timing = ledger_.Timing()};
  append.records.push_back(
      RecordOf(place.path, entry, JournalRecord::Kind::kExecuting,
               {{"tool", tool}, {"since", absl::ToUnixMicros(now)}, {"policy", static_cast<int>(policy)}}));
  append.events.push_back(events_.ToolExecuting(now, entry.step, tool, input));
  return append;
}

Awaitable<bool> Execution::Pause(int attempt, std::stop_token stop) {
  const absl::Time until = dependencies_.clock->Now() + kInvokeBackoff * (1 << attempt);
  absl::Status waited = co_await SleepUntil(dependencies_.clock, until, std::move(stop));
  co_return waited.ok();
}

}  // namespace bulkhead::agent
