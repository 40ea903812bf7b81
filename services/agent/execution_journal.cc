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

// What a byte of the journal may take of the heap, as JSON in memory and in copies that others free.
constexpr int64_t kHeapOfJournal = 16;

}  // namespace

JournalRecord Execution::RecordOf(const std::string& path, const Entry& entry, JournalRecord::Kind kind,
                                  const nlohmann::json& payload) const {
  return {.path = path, .step = entry.step, .kind = kind, .command = entry.command, .payload = JournalText(payload)};
}

absl::Status Execution::Mismatch(std::string_view path, std::string_view journal, std::string_view asked) const {
  const bool same_code = options_.agent_version == run_.agent_version;
  std::map<std::string, std::string> metadata = {
      {"place", std::string(path)}, {"journal", std::string(journal)}, {"agent", std::string(asked)}};
  std::string message =
      absl::StrCat("at ", path, " the journal has '", journal, "' and the agent now asks for '", asked, "'");
  if (!same_code) {
    metadata["started_under"] = run_.agent_version;
    metadata["version"] = options_.agent_version;
    message = absl::StrCat("the run began under version ", run_.agent_version, " of its agent, and version ",
                           options_.agent_version, " does something else: ", message,
                           "; it can be started again from its input");
  }
  return RunFailure(absl::StatusCode::kFailedPrecondition,
                    same_code ? "NONDETERMINISTIC_AGENT" : "AGENT_VERSION_CHANGED", message, std::move(metadata));
}

Awaitable<Execution::Entry*> Execution::Enter(const Place& place, std::string command) {
  co_await StayIfNotGone();
  if (options_.heap != nullptr && options_.heap->exceeded()) {
    RequestStop(StopReason::kMemoryExceeded);
    co_await End(stop_status());
    co_await Never();
  }
  auto found = entries_.find(place.path);
  absl::Status refused = place.misuse;
  if (found == entries_.end()) {
    co_await AwaitGo(place.stop);
    bool draining;
    {
      absl::MutexLock lock(mutex_);
      draining = draining_;
    }
    if (draining) {
      co_await Never();
    }
    if (refused.ok() && steps_ >= options_.max_steps) {
      refused = RunFailure(absl::StatusCode::kResourceExhausted, "STEP_LIMIT_EXCEEDED",
                           absl::StrCat("the run has made the ", options_.max_steps, " commands that it may make"),
                           {{"limit", absl::StrCat(options_.max_steps)}});
    }
  } else if (refused.ok() && found->second.command != command) {
    refused = Mismatch(place.path, found->second.command, command);
  }
  if (!refused.ok()) {
    // The run ends here, whatever the agent would make of it.
    co_await End(refused);
    co_await Never();
  }
  if (found == entries_.end()) {
    found = entries_.emplace(place.path, Entry{.step = ++steps_, .command = std::move(command)}).first;
  }
  found->second.visited = true;
  co_return &found->second;
}

Awaitable<void> Execution::Spend(uint64_t bytes) {
  if (bytes_ + bytes > options_.max_bytes) {
    co_await End(
        RunFailure(absl::StatusCode::kResourceExhausted, "RUN_BYTES_EXCEEDED",
                   absl::StrCat("the run has kept ", bytes_, " of the ", options_.max_bytes,
                                " bytes that its commands and results may take, and asks for ", bytes, " more"),
                   {{"limit", absl::StrCat(options_.max_bytes)}}));
    co_await Never();
  }
  Keep(bytes);
}

void Execution::Keep(uint64_t bytes) {
  bytes_ += bytes;
  if (options_.heap != nullptr) {
    options_.heap->Allow(kHeapOfJournal * static_cast<int64_t>(bytes));
  }
}

Awaitable<void> Execution::JournalIntent(const std::string& path, Entry* entry, nlohmann::json intent) {
  entry->intent = std::move(intent);
  std::vector<JournalRecord> records;
  records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kIntent, *entry->intent));
  co_await Journal(std::move(records), {});
}

Awaitable<void> Execution::Journal(std::vector<JournalRecord> records, std::vector<std::string> events) {
  uint64_t bytes = 0;
  for (const JournalRecord& record : records) {
    bytes += BytesOf(record);
  }
  for (const std::string& event : events) {
    bytes += event.size();
  }
  co_await Spend(bytes);
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

Awaitable<nlohmann::json> Execution::Value(Place place, std::string command, std::function<nlohmann::json()> make,
                                           std::function<std::string()> event) {
  Entry* entry = co_await Enter(place, std::move(command));
  if (!entry->result.has_value()) {
    std::vector<std::string> events;
    if (event) {
      events.push_back(event());
    }
    co_await JournalResult(place.path, entry, {{"ok", make()}}, std::move(events));
  }
  co_return entry->result->at("ok");
}

Awaitable<void> Execution::SettleLosers(const std::string& path, size_t winner) {
  const std::string group = absl::StrCat(path, ".");
  const std::string won = absl::StrCat(group, winner, ".");
  const absl::Status lost = BranchLost();
  for (auto at = entries_.lower_bound(group); at != entries_.end() && at->first.starts_with(group); ++at) {
    if (at->first.starts_with(won)) {
      continue;
    }
    Entry& entry = at->second;
    entry.visited = true;
    if (entry.executing && !entry.result.has_value()) {
      const absl::Time now = dependencies_.clock->Now();
      if (!entry.child.empty()) {
        co_await dependencies_.children->CancelChild(run_.owner, entry.child, std::string(lost.message()));
        co_await JournalResult(at->first, &entry, EncodeResult(lost), {ChildEnded(entry, now, lost)});
        continue;
      }
      if (!entry.model.empty()) {
        co_await JournalResult(
            at->first, &entry, EncodeResult(lost),
            {events_.ModelCompleted(now, entry.step, entry.model, absl::ZeroDuration(), 0, 0, RunError::Of(lost))});
        continue;
      }
      co_await JournalResult(
          at->first, &entry, EncodeResult(lost),
          {events_.ToolCompleted(now, entry.step, entry.tool, absl::ZeroDuration(), RunError::Of(lost), {})});
    }
  }
}

Awaitable<absl::Status> Execution::RefuseStopped(std::stop_token stop) {
  absl::Status stopped = stop_status(stop);
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
