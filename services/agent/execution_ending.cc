#include <algorithm>
#include <exception>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/agent/run_failure.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {
namespace {

// How a run ends that was stopped for this reason, unless it is being cancelled.
RunState StateOf(const absl::Status& stopped) {
  return stopped.code() == absl::StatusCode::kDeadlineExceeded ? RunState::kTimedOut : RunState::kFailed;
}

// What a run's answer may have, as JSON.
constexpr size_t kMaxAnswerBytes = 4 << 20;

// The text that is kept. Nothing that an agent returns may make its run's end throw.
absl::StatusOr<std::string> AnswerText(const Answer& answer, const std::string& agent) {
  std::string text;
  std::string thrown;
  try {
    text = JournalText({{"summary", answer.summary}, {"artifacts", answer.artifacts}, {"data", answer.data}});
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty()) {
    return RunFailure(absl::StatusCode::kInternal, "AGENT_THREW", absl::StrCat("the answer cannot be kept: ", thrown),
                      {{"agent", agent}});
  }
  if (text.size() > kMaxAnswerBytes) {
    return RunFailure(absl::StatusCode::kResourceExhausted, "ANSWER_TOO_LARGE",
                      absl::StrCat("the answer has ", text.size(), " bytes as JSON, and ", kMaxAnswerBytes,
                                   " are allowed: write what is large into a file"),
                      {{"limit", absl::StrCat(kMaxAnswerBytes)}});
  }
  return text;
}

}  // namespace

Awaitable<void> Execution::End(absl::StatusOr<Answer> result) {
  co_await StayIfNotGone();
  absl::Status stopped = stop_status();
  if (stopped.ok() && result.ok()) {
    auto skipped = std::ranges::find_if(entries_, [](const auto& entry) { return !entry.second.visited; });
    if (skipped != entries_.end()) {
      result = Mismatch(skipped->first, skipped->second.command, "end");
    }
  }
  absl::StatusOr<std::string> answer = std::string();
  if (stopped.ok() && result.ok()) {
    answer = AnswerText(*result, run_.agent);
    if (!answer.ok()) {
      result = answer.status();
    }
  }
  if (!ClaimEnd()) {
    co_return;
  }
  Ending ending{.time = dependencies_.clock->Now(), .timing = ledger_.Timing()};
  if (!stopped.ok()) {
    // A run that is being cancelled is CANCELLED by the store whatever stands here.
    ending.state = StateOf(stopped);
    ending.error = RunError::Of(stopped);
  } else if (result.ok()) {
    ending.state = RunState::kSucceeded;
    ending.summary = result->summary;
    ending.artifacts = result->artifacts;
    ending.answer = *std::move(answer);
  } else {
    ending.state = RunState::kFailed;
    ending.error = RunError::Of(result.status());
  }
  absl::StatusOr<RunRecord> ended = co_await dependencies_.store->End(ownership(), std::move(ending));
  AfterEnd(ended.status());
}

void Execution::AfterEnd(const absl::Status& written) {
  const bool again = !written.ok() && ReasonOf(written) != "RUN_FENCED";
  if (!written.ok()) {
    ABSL_LOG(ERROR) << "run " << run_.id << " could not be ended: " << written;
  }
  LetGo(again ? Release::kTakeUpAgain : Release::kDone);
}

Awaitable<void> Execution::CutOff(std::shared_ptr<Execution> self) {
  if (!self->ClaimEnd()) {
    co_return;
  }
  absl::Status why = self->stop_status();
  ABSL_LOG(WARNING) << "run " << self->run_.id << " is cut off: its agent did not end";
  // The strand may be busy with the agent for ever, so nothing of it is used: timing stays as last
  // written.
  absl::StatusOr<RunRecord> ended = co_await self->dependencies_.store->End(
      self->ownership(), {.state = StateOf(why), .error = RunError::Of(why), .time = self->dependencies_.clock->Now()});
  self->AfterEnd(ended.status());
}

void Execution::Abandon(Release release) {
  {
    absl::MutexLock lock(mutex_);
    abandoned_ = true;
  }
  stop_.request_stop();
  LetGo(release);
}

void Execution::PutAway() {
  {
    absl::MutexLock lock(mutex_);
    on_released_ = nullptr;
  }
  Abandon();
}

Awaitable<void> Execution::GiveUp(absl::Status written) {
  const bool fenced = ReasonOf(written) == "RUN_FENCED";
  ABSL_LOG(ERROR) << "run " << run_.id << (fenced ? " is let go of: " : " is let go of, to be taken up again: ")
                  << written;
  Abandon(fenced ? Release::kDone : Release::kTakeUpAgain);
  co_await Never();
}

bool Execution::ClaimEnd() {
  absl::MutexLock lock(mutex_);
  if (ended_ || abandoned_) {
    return false;
  }
  ended_ = true;
  return true;
}

void Execution::LetGo(Release release) {
  std::function<void(Release)> released;
  {
    absl::MutexLock lock(mutex_);
    released = std::exchange(on_released_, nullptr);
  }
  if (released) {
    released(release);
  }
}

Awaitable<void> Execution::StayIfNotGone() {
  if (gone()) {
    co_await Never();
  }
}

// Suspends for ever: the callback is dropped, which destroys the coroutine with all that called it.
Awaitable<void> Execution::Never() {
  co_await AwaitCallback<bool>([](absl::AnyInvocable<void(bool)>) {});
}

}  // namespace bulkhead::agent
