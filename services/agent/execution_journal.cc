#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/post.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/agent/run_failure.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

// An agent that goes on asking after this many refusals does not mean to end.
constexpr int kMaxRefusals = 1000;

}  // namespace

JournalRecord Execution::RecordOf(const std::string& path, const Entry& entry, JournalRecord::Kind kind,
                                  const nlohmann::json& payload) const {
  return {.path = path, .step = entry.step, .kind = kind, .command = entry.command, .payload = JournalText(payload)};
}

Awaitable<Execution::Entry*> Execution::Enter(std::string path, std::string command, absl::Status misuse) {
  co_await StayIfNotGone();
  auto found = entries_.find(path);
  absl::Status refused = misuse;
  if (found == entries_.end()) {
    bool draining;
    {
      absl::MutexLock lock(mutex_);
      draining = draining_;
    }
    if (draining) {
      co_await Never();
    }
    if (refused.ok() && steps_ >= max_steps_) {
      refused = RunFailure(absl::StatusCode::kResourceExhausted, "STEP_LIMIT_EXCEEDED",
                           absl::StrCat("the run has made the ", max_steps_, " commands that it may make"),
                           {{"limit", absl::StrCat(max_steps_)}});
    }
  } else if (refused.ok() && found->second.command != command) {
    refused = RunFailure(absl::StatusCode::kFailedPrecondition, "NONDETERMINISTIC_AGENT",
                         absl::StrCat("at ", path, " the journal has '", found->second.command,
                                      "' and the agent now asks for '", command, "'"),
                         {{"place", path}, {"journal", found->second.command}, {"agent", command}});
  }
  if (!refused.ok()) {
    // The run ends here, whatever the agent would make of it.
    co_await End(refused);
    co_await Never();
  }
  if (found == entries_.end()) {
    found = entries_.emplace(std::move(path), Entry{.step = ++steps_, .command = std::move(command)}).first;
  }
  found->second.visited = true;
  co_return &found->second;
}

Awaitable<void> Execution::Journal(std::vector<JournalRecord> records, std::vector<std::string> events) {
  ledger_.Enter(TimeLedger::kJournal);
  absl::Status written = co_await dependencies_.store->Write(
      ownership(),
      {.records = std::move(records), .events = std::move(events), .steps = steps_, .timing = ledger_.Timing()});
  ledger_.Leave(TimeLedger::kJournal);
  co_await StayIfNotGone();
  if (!written.ok()) {
    // Without its journal a run must not go on. Whoever takes it up next does so where the journal
    // ends.
    co_await GiveUp(written);
  }
}

Awaitable<void> Execution::JournalResult(const std::string& path, Entry* entry, nlohmann::json result,
                                         std::vector<std::string> events) {
  std::vector<JournalRecord> records;
  records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kResult, result));
  co_await Journal(std::move(records), std::move(events));
  entry->result = std::move(result);
}

Awaitable<nlohmann::json> Execution::Value(std::string path, absl::Status misuse, std::string command,
                                           std::function<nlohmann::json()> make, std::function<std::string()> event) {
  Entry* entry = co_await Enter(path, std::move(command), std::move(misuse));
  if (!entry->result.has_value()) {
    std::vector<std::string> events;
    if (event) {
      events.push_back(event());
    }
    co_await JournalResult(path, entry, {{"ok", make()}}, std::move(events));
  }
  co_return entry->result->at("ok");
}

Awaitable<absl::Status> Execution::RefuseStopped() {
  absl::Status stopped = stop_status();
  if (!stopped.ok()) {
    // An agent that ignores this in a loop must not keep others from the thread.
    co_await boost::asio::post(boost::asio::use_awaitable);
    if (++refused_ > kMaxRefusals) {
      co_await End(stopped);
      co_await Never();
    }
    co_await StayIfNotGone();
  }
  co_return stopped;
}

}  // namespace bulkhead::agent
