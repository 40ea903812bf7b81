#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/execution.h"
#include "services/agent/run_record.h"

namespace bulkhead::agent {
namespace {

// What stands in the journal of each run that asks.
constexpr int kMaxPastRuns = 50;
constexpr size_t kMaxPastBytes = 256 << 10;

nlohmann::json Parse(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

nlohmann::json ToJson(const RunRecord& run) {
  nlohmann::json past = {{"name", run.name()}, {"agent", run.agent}, {"input", Parse(run.input)}};
  if (run.answer.has_value()) {
    past["answer"] = Parse(*run.answer);
  } else {
    const RunError error = run.error.value_or(RunError{});
    past["reason"] = error.reason;
    past["message"] = error.message;
  }
  return past;
}

PastRun FromJson(const nlohmann::json& json) {
  PastRun past{.name = json.value("name", ""),
               .agent = json.value("agent", ""),
               .input = json.value("input", nlohmann::json::object()),
               .answer = std::nullopt,
               .reason = json.value("reason", ""),
               .message = json.value("message", "")};
  if (auto answer = json.find("answer"); answer != json.end()) {
    past.answer = Answer{.summary = answer->value("summary", ""),
                         .artifacts = answer->value("artifacts", std::vector<std::string>()),
                         .data = answer->value("data", nlohmann::json::object())};
  }
  return past;
}

}  // namespace

Awaitable<std::vector<PastRun>> Execution::History(Place place) {
  Entry* entry = co_await Enter(place, "history");
  if (!entry->result.has_value()) {
    nlohmann::json past = nlohmann::json::array();
    if (!run_.thread.empty()) {
      absl::StatusOr<std::vector<RunRecord>> runs =
          dependencies_.store->For(run_.owner).History(run_.thread, run_.id, kMaxPastRuns, kMaxPastBytes);
      if (!runs.ok()) {
        co_await GiveUp(runs.status());
      }
      for (const RunRecord& run : *runs) {
        past.push_back(ToJson(run));
      }
    }
    co_await JournalResult(place.path, entry, {{"ok", std::move(past)}}, {});
  }
  std::vector<PastRun> history;
  for (const nlohmann::json& past : entry->result->at("ok")) {
    history.push_back(FromJson(past));
  }
  co_return history;
}

}  // namespace bulkhead::agent
