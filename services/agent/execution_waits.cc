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

Awaitable<absl::Status> Execution::Sleep(std::string path, absl::Status misuse, absl::Duration duration) {
  Entry* entry = co_await Enter(path, absl::StrCat("sleep ", absl::FormatDuration(duration)), std::move(misuse));
  if (entry->result.has_value()) {
    co_return absl::OkStatus();
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped());
  if (!entry->intent.has_value()) {
    entry->intent = nlohmann::json{{"until", absl::ToUnixMicros(dependencies_.clock->Now() + duration)}};
    std::vector<JournalRecord> records;
    records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kIntent, *entry->intent));
    co_await Journal(std::move(records), {});
  }
  ledger_.Enter(TimeLedger::kSleep);
  absl::Status slept = co_await SleepUntil(
      dependencies_.clock, absl::FromUnixMicros(entry->intent->value("until", int64_t{0})), stop_.get_token());
  ledger_.Leave(TimeLedger::kSleep);
  co_await StayIfNotGone();
  if (!slept.ok()) {
    co_return co_await RefuseStopped();
  }
  co_await JournalResult(path, entry, {{"ok", nullptr}}, {});
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<nlohmann::json>> Execution::Approve(std::string path, absl::Status misuse,
                                                             ApprovalRequest request) {
  const std::string arguments = JournalText(request.arguments);
  Entry* entry =
      co_await Enter(path, CommandText("approval", absl::StrCat(request.question, "\n", request.tool, "\n", arguments)),
                     std::move(misuse));
  if (entry->result.has_value()) {
    co_return DecodeResult(*entry->result);
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped());

  // Registered before the question can be seen, so that no answer is missed.
  std::stop_source decided;
  {
    absl::MutexLock lock(mutex_);
    approval_waits_.push_back(decided);
  }
  if (!entry->intent.has_value()) {
    const absl::Time now = dependencies_.clock->Now();
    ApprovalRecord approval;
    approval.id = dependencies_.ids->NewId("approval");
    approval.run = run_.id;
    approval.path = path;
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
        ownership(), approval, RecordOf(path, *entry, JournalRecord::Kind::kIntent, *entry->intent), ledger_.Timing(),
        steps_);
    co_await StayIfNotGone();
    if (!asked.ok()) {
      co_await GiveUp(asked);
    }
  }
  const absl::Time expires = absl::FromUnixMicros(entry->intent->value("expires", int64_t{0}));
  ledger_.Enter(TimeLedger::kApproval);
  absl::StatusOr<std::optional<ApprovalRecord>> found = std::nullopt;
  while (true) {
    found = dependencies_.store->FindApproval(run_.key, path);
    if (!found.ok() || !found->has_value() || (*found)->verdict != ApprovalRecord::Verdict::kPending || gone() ||
        stop_.stop_requested()) {
      break;
    }
    std::stop_callback on_stop(stop_.get_token(), [&decided] { decided.request_stop(); });
    absl::Status expired = co_await SleepUntil(dependencies_.clock, expires, decided.get_token());
    if (expired.ok() && !gone()) {
      absl::StatusOr<ApprovalRecord> now_expired =
          co_await dependencies_.store->Expire(ownership(), path, dependencies_.clock->Now());
      found = now_expired.ok() ? absl::StatusOr<std::optional<ApprovalRecord>>(*now_expired)
                               : absl::StatusOr<std::optional<ApprovalRecord>>(now_expired.status());
      break;
    }
    if (!stop_.stop_requested()) {
      // Woken: by this one's decision, or by another's of the run; then wait on.
      decided = std::stop_source();
      absl::MutexLock lock(mutex_);
      approval_waits_.push_back(decided);
    }
  }
  ledger_.Leave(TimeLedger::kApproval);
  co_await StayIfNotGone();
  if (!found.ok() || !found->has_value()) {
    co_await GiveUp(found.status());
  }
  if ((*found)->verdict == ApprovalRecord::Verdict::kPending) {
    co_return co_await RefuseStopped();
  }
  nlohmann::json result{{"verdict", static_cast<int>((*found)->verdict)}, {"comment", (*found)->comment}};
  if ((*found)->edited_arguments.has_value()) {
    result["edited"] = nlohmann::json::parse(*(*found)->edited_arguments, nullptr, /*allow_exceptions=*/false);
  }
  // The decision is in the journal already, in the transaction that made it.
  entry->result = nlohmann::json{{"ok", result}};
  co_return result;
}

void Execution::WakeApproval() {
  std::vector<std::stop_source> waits;
  {
    absl::MutexLock lock(mutex_);
    waits.swap(approval_waits_);
  }
  for (std::stop_source& wait : waits) {
    wait.request_stop();
  }
}

}  // namespace bulkhead::agent
