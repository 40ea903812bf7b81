#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/common/crypto/crypto.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

// Who waits for less keeps his place: getting it back would take longer.
constexpr absl::Duration kParksFor = absl::Seconds(1);

absl::StatusOr<std::optional<ApprovalRecord>> ToOptional(absl::StatusOr<ApprovalRecord> approval) {
  if (!approval.ok()) {
    return approval.status();
  }
  return *std::move(approval);
}

}  // namespace

Awaitable<void> Execution::AwaitGo(std::stop_token stop) {
  bool waited = false;
  while (!stop.stop_requested() && !gone()) {
    std::stop_source wake;
    {
      absl::MutexLock lock(mutex_);
      if (!held_) {
        break;
      }
      hold_waits_.push_back(wake);
    }
    if (!std::exchange(waited, true)) {
      ledger_.Enter(TimeLedger::kInterrupted);
    }
    std::stop_callback on_stop(stop, [&wake] { wake.request_stop(); });
    // The run's own deadline requests the stop; later than that nobody waits.
    absl::Status woken = co_await SleepUntil(dependencies_.clock, run_.deadline + absl::Hours(1), wake.get_token());
    if (woken.ok()) {
      break;
    }
  }
  if (waited) {
    ledger_.Leave(TimeLedger::kInterrupted);
  }
  co_await StayIfNotGone();
}

void Execution::Busy(int change) {
  const HeapAccount::Scope none(nullptr);  // Not the agent's: whom it tells must not fail in the middle.
  const bool was = busy_ > 0;
  busy_ += change;
  const bool is = busy_ > 0;
  if (was == is || dependencies_.places == nullptr || gone()) {
    return;
  }
  if (is) {
    dependencies_.places->Return(*this);
    return;
  }
  Places::Waits waits;
  for (const auto& [until, question] : waits_for_) {
    waits.until = std::min(waits.until, until);
    if (!question.empty()) {
      waits.questions.push_back(question);
    }
  }
  dependencies_.places->Leave(*this, std::move(waits));
}

Awaitable<absl::Status> Execution::WaitUntil(absl::Time when, std::stop_token stop, std::string question) {
  if (when - dependencies_.clock->Now() < kParksFor) {
    co_return co_await SleepUntil(dependencies_.clock, when, std::move(stop));
  }
  const auto waiting = waits_for_.emplace(when, std::move(question));
  Busy(-1);
  absl::Status waited = co_await SleepUntil(dependencies_.clock, when, std::move(stop));
  waits_for_.erase(waiting);
  Busy(+1);
  co_return waited;
}

Awaitable<absl::Status> Execution::Sleep(Place place, absl::Duration duration) {
  Entry* entry = co_await Enter(place, absl::StrCat("sleep ", absl::FormatDuration(duration)));
  if (entry->result.has_value()) {
    co_return absl::OkStatus();
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));
  if (!entry->intent.has_value()) {
    co_await JournalIntent(place.path, entry, {{"until", absl::ToUnixMicros(dependencies_.clock->Now() + duration)}});
  }
  ledger_.Enter(TimeLedger::kSleep);
  absl::Status slept = co_await WaitUntil(absl::FromUnixMicros(entry->intent->value("until", int64_t{0})), place.stop);
  ledger_.Leave(TimeLedger::kSleep);
  co_await StayIfNotGone();
  if (!slept.ok()) {
    co_return co_await RefuseStopped(place.stop);
  }
  co_await JournalResult(place.path, entry, {{"ok", nullptr}}, {});
  co_await AwaitGo(place.stop);
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<nlohmann::json>> Execution::Approve(Place place, ApprovalRequest request) {
  const std::string arguments = JournalText(request.arguments);
  Entry* entry = co_await Enter(
      place, CommandText("approval", absl::StrCat(request.question, "\n", request.tool, "\n", arguments)));
  if (entry->result.has_value()) {
    co_return DecodeResult(*entry->result);
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));

  if (!entry->intent.has_value()) {
    co_await Spend(arguments.size() + request.question.size());
  }
  // Registered before the question can be seen, so that no answer is missed.
  std::stop_source decided;
  {
    absl::MutexLock lock(mutex_);
    waits_.push_back(decided);
  }
  if (!entry->intent.has_value()) {
    const absl::Time now = dependencies_.clock->Now();
    ApprovalRecord approval;
    approval.id = dependencies_.ids->NewId("approval");
    approval.run = run_.id;
    approval.path = place.path;
    approval.step = entry->step;
    approval.command = entry->command;
    approval.question = request.question;
    approval.tool = request.tool;
    approval.arguments = arguments;
    approval.call_hash = crypto::Sha256(absl::StrCat(request.tool, "\n", arguments));
    approval.create_time = now;
    approval.expire_time = std::min(now + request.expires_after, run_.deadline);
    entry->intent = nlohmann::json{{"approval", approval.id}, {"expires", absl::ToUnixMicros(approval.expire_time)}};
    absl::Status asked = co_await dependencies_.store->Ask(
        ownership(), approval, RecordOf(place.path, *entry, JournalRecord::Kind::kIntent, *entry->intent),
        ledger_.Timing(), steps_);
    co_await StayIfNotGone();
    if (!asked.ok()) {
      co_await GiveUp(asked);
    }
  }
  const absl::Time expires = absl::FromUnixMicros(entry->intent->value("expires", int64_t{0}));
  ledger_.Enter(TimeLedger::kApproval);
  absl::StatusOr<std::optional<ApprovalRecord>> found = std::nullopt;
  while (true) {
    found = dependencies_.store->FindApproval(run_.key, place.path);
    if (!found.ok() || !found->has_value() || (*found)->verdict != ApprovalRecord::Verdict::kPending || gone() ||
        place.stop.stop_requested()) {
      break;
    }
    std::stop_callback on_stop(place.stop, [&decided] { decided.request_stop(); });
    absl::Status expired = co_await WaitUntil(expires, decided.get_token(), place.path);
    if (expired.ok() && !gone()) {
      found = ToOptional(co_await dependencies_.store->Expire(ownership(), place.path, dependencies_.clock->Now()));
      break;
    }
    if (!place.stop.stop_requested()) {
      // Woken: by this one's decision, or by another's of the run; then wait on.
      decided = std::stop_source();
      absl::MutexLock lock(mutex_);
      waits_.push_back(decided);
    }
  }
  ledger_.Leave(TimeLedger::kApproval);
  co_await AwaitGo(place.stop);
  if (!found.ok() || !found->has_value()) {
    co_await GiveUp(found.status());
  }
  if ((*found)->verdict == ApprovalRecord::Verdict::kPending) {
    if (stop_status().ok()) {
      // Only its branch ends: nobody shall be asked for what nobody waits for.
      found = ToOptional(co_await dependencies_.store->Expire(ownership(), place.path, dependencies_.clock->Now()));
      co_await StayIfNotGone();
      if (!found.ok()) {
        co_await GiveUp(found.status());
      }
    }
    co_return co_await RefuseStopped(place.stop);
  }
  nlohmann::json result{{"verdict", static_cast<int>((*found)->verdict)}, {"comment", (*found)->comment}};
  if ((*found)->edited_arguments.has_value()) {
    result["edited"] = nlohmann::json::parse(*(*found)->edited_arguments, nullptr, /*allow_exceptions=*/false);
  }
  // The decision is in the journal already, in the transaction that made it.
  entry->result = nlohmann::json{{"ok", result}};
  co_return result;
}

void Execution::SetHeld(bool held, uint64_t order) {
  std::vector<std::stop_source> waits;
  {
    absl::MutexLock lock(mutex_);
    if (order < hold_order_) {
      return;
    }
    hold_order_ = order;
    held_ = held;
    waits.swap(hold_waits_);
  }
  for (std::stop_source& wait : waits) {
    wait.request_stop();
  }
}

void Execution::Wake() {
  std::vector<std::stop_source> waits;
  {
    absl::MutexLock lock(mutex_);
    waits.swap(waits_);
  }
  for (std::stop_source& wait : waits) {
    wait.request_stop();
  }
}

}  // namespace bulkhead::agent
