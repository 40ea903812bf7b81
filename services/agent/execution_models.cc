#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/agent/models/chat_request.h"
#include "services/agent/run_failure.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"

namespace bulkhead::agent {
namespace {

constexpr absl::Duration kBackoff = absl::Milliseconds(250);
// An endpoint that wants to be left alone for longer gets no other attempt.
constexpr absl::Duration kMaxRetryAfter = absl::Minutes(1);
constexpr absl::Duration kDeltaInterval = absl::Milliseconds(100);
constexpr size_t kDeltaBytes = 1024;

bool MayPass(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == "MODEL_UNREACHABLE" || reason == "MODEL_RATE_LIMITED";
}

// The text of one attempt on its way to those who watch, in few pieces. Outlives the call.
class Deltas {
 public:
  Deltas(const RunEvents* events, EventPublisher* publisher, const Clock* clock, int step, int* number)
      : events_(events), publisher_(publisher), clock_(clock), step_(step), number_(number) {}

  void Add(std::string_view text) {
    pending_.append(text);
    // Real time: it protects the notifier, and a simulated clock would swallow all but the first.
    const absl::Time now = RealNow();
    if (now - last_ >= kDeltaInterval || pending_.size() >= kDeltaBytes) {
      last_ = now;
      Flush();
    }
  }

  void Flush() {
    if (!pending_.empty()) {
      publisher_->PublishTransient(events_->ModelDelta(clock_->Now(), step_, ++*number_, pending_, offset_));
      offset_ += static_cast<int64_t>(pending_.size());
      pending_.clear();
    }
  }

 private:
  const RunEvents* const events_;
  EventPublisher* const publisher_;
  const Clock* const clock_;
  const int step_;
  int* const number_;
  absl::Time last_ = absl::InfinitePast();
  std::string pending_;
  int64_t offset_ = 0;
};

nlohmann::json ToJournal(const ModelReply& reply) {
  nlohmann::json calls = nlohmann::json::array();
  for (const ModelToolCall& call : reply.tool_calls) {
    calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
  }
  return {{"text", reply.text},
          {"tool_calls", std::move(calls)},
          {"finish_reason", reply.finish_reason},
          {"usage", {{"input", reply.usage.input_tokens}, {"output", reply.usage.output_tokens}}}};
}

ModelReply FromJournal(const nlohmann::json& json) {
  ModelReply reply{.text = json.at("text"), .tool_calls = {}, .finish_reason = json.at("finish_reason"), .usage = {}};
  for (const nlohmann::json& call : json.at("tool_calls")) {
    reply.tool_calls.push_back({.id = call.at("id"), .name = call.at("name"), .arguments = call.at("arguments")});
  }
  reply.usage = {.input_tokens = json.at("usage").at("input"), .output_tokens = json.at("usage").at("output")};
  return reply;
}

}  // namespace

Awaitable<absl::StatusOr<ModelReply>> Execution::CallModel(Place place, ModelRequest request) {
  const absl::StatusOr<nlohmann::json> body = ChatRequest(request);
  const std::string detail = body.ok() ? JournalText(*body) : std::string(body.status().message());
  Entry* entry = co_await Enter(place, CommandText(absl::StrCat("model ", request.model), detail));
  if (!entry->result.has_value()) {
    CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));
    absl::Status allowed = body.status();
    if (allowed.ok()) {
      allowed = CheckModelCall(request);
    }
    // A call that a crash cut off has its model_calling, and so goes on to its model_completed.
    if (!allowed.ok() && !entry->executing) {
      co_await JournalResult(place.path, entry, EncodeResult(allowed), {});
    } else {
      co_await AskModel(place, entry, std::move(request));
    }
  }
  CO_ASSIGN_OR_RETURN(const nlohmann::json reply, DecodeResult(*entry->result));
  co_return FromJournal(reply);
}

absl::Status Execution::CheckModelCall(const ModelRequest& request) const {
  RETURN_IF_ERROR(dependencies_.models->Check(request.model));
  RETURN_IF_ERROR(dependencies_.model_budget->CheckRun(run_.key));
  return dependencies_.model_budget->CheckUser(run_.owner, dependencies_.clock->Now());
}

Awaitable<void> Execution::AskModel(const Place& place, Entry* entry, ModelRequest request) {
  const absl::Time began = dependencies_.clock->Now();
  if (!entry->executing) {
    std::vector<JournalRecord> records;
    records.push_back(RecordOf(place.path, *entry, JournalRecord::Kind::kExecuting,
                               {{"model", request.model}, {"since", absl::ToUnixMicros(began)}}));
    entry->model = request.model;
    co_await Journal(std::move(records), {events_.ModelCalling(began, entry->step, request.model)});
    entry->executing = true;
  }
  CountCall(1);
  ledger_.Enter(TimeLedger::kModel);
  ModelOutcome outcome = co_await AskWithRetries(place, entry->step, request);
  ledger_.Leave(TimeLedger::kModel);
  if (absl::Status stopped = stop_status(place.stop); !stopped.ok() && !outcome.reply.ok()) {
    outcome.reply = stopped;
  }
  co_await StayIfNotGone();

  const absl::Time now = dependencies_.clock->Now();
  std::optional<RunError> error;
  absl::StatusOr<nlohmann::json> journalled = nlohmann::json();
  if (outcome.reply.ok()) {
    journalled = ToJournal(*outcome.reply);
  } else {
    error = RunError::Of(outcome.reply.status());
    journalled = outcome.reply.status();
  }
  nlohmann::json result = EncodeResult(journalled);
  Append append{.steps = steps_, .timing = ledger_.Timing()};
  append.records.push_back(RecordOf(place.path, *entry, JournalRecord::Kind::kResult, result));
  append.events.push_back(events_.ModelCompleted(now, entry->step, entry->model, now - began,
                                                 outcome.usage.input_tokens, outcome.usage.output_tokens, error));
  // What has been paid for is kept; the next command finds the bytes that are left.
  Keep(BytesOf(append.records.back()));
  if (outcome.usage.total() > 0) {
    // With the reply, in one transaction: what was used is neither lost nor counted twice.
    append.model_use = ModelUse{.tokens = outcome.usage.total(), .time = now};
  }
  ledger_.Enter(TimeLedger::kJournal);
  absl::Status written = co_await dependencies_.store->Write(ownership(), std::move(append));
  ledger_.Leave(TimeLedger::kJournal);
  co_await StayIfNotGone();
  if (!written.ok()) {
    co_await GiveUp(written);
  }
  entry->result = std::move(result);
  CountCall(-1);
}

Awaitable<ModelOutcome> Execution::AskWithRetries(const Place& place, int step, const ModelRequest& request) {
  // Nothing here may destroy the coroutine while the call is under way: its text comes on other threads.
  ModelUsage used;
  int deltas_sent = 0;
  for (int attempt = 1;; ++attempt) {
    Deltas deltas(&events_, dependencies_.events, dependencies_.clock, step, &deltas_sent);
    ModelCall call{.user = run_.owner,
                   .request = request,
                   .stop = place.stop,
                   .timeout = std::max(run_.deadline - dependencies_.clock->Now(), absl::Seconds(1)),
                   .on_text = [&deltas](std::string_view text) { deltas.Add(text); }};
    ModelOutcome outcome = co_await dependencies_.models->Call(std::move(call));
    deltas.Flush();
    used.input_tokens += outcome.usage.input_tokens;
    used.output_tokens += outcome.usage.output_tokens;
    outcome.usage = used;
    if (attempt == kMaxAttempts || !MayPass(outcome.reply.status())) {
      co_return outcome;
    }
    const absl::Duration asked =
        ErrorInfoOf(outcome.reply.status()).value_or(ErrorInfo()).retry_after.value_or(absl::ZeroDuration());
    const absl::Time again = dependencies_.clock->Now() + std::max(asked, kBackoff * (1 << attempt));
    if (asked > kMaxRetryAfter || again >= run_.deadline) {
      co_return outcome;
    }
    const absl::Status waited = co_await SleepUntil(dependencies_.clock, again, place.stop);
    if (!waited.ok()) {
      co_return outcome;
    }
  }
}

Awaitable<absl::StatusOr<std::vector<ToolDescription>>> Execution::DescribeTools(Place place,
                                                                                 std::vector<std::string> tools) {
  Entry* entry = co_await Enter(place, CommandText("describe", absl::StrJoin(tools, "\n")));
  if (!entry->result.has_value()) {
    CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));
    absl::StatusOr<nlohmann::json> described = nlohmann::json::array();
    ledger_.Enter(TimeLedger::kTools);
    for (const std::string& tool : tools) {
      absl::StatusOr<ToolDescription> found = co_await Describe(tool, place.stop);
      if (!found.ok()) {
        described = found.status();
        break;
      }
      described->push_back(
          {{"name", found->name}, {"description", found->description}, {"input_schema", found->input_schema}});
    }
    ledger_.Leave(TimeLedger::kTools);
    co_await StayIfNotGone();
    co_await AwaitStopIfRevoked(described.status(), place.stop);
    CO_RETURN_IF_ERROR(co_await RefuseStopped(place.stop));
    co_await JournalResult(place.path, entry, EncodeResult(described), {});
  }
  CO_ASSIGN_OR_RETURN(const nlohmann::json described, DecodeResult(*entry->result));
  std::vector<ToolDescription> out;
  for (const nlohmann::json& tool : described) {
    out.push_back(
        {.name = tool.at("name"), .description = tool.at("description"), .input_schema = tool.at("input_schema")});
  }
  co_return out;
}

}  // namespace bulkhead::agent
