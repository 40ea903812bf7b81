#include "services/agent/execution.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/this_coro.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "services/common/crypto/crypto.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"

namespace bulkhead::agent {
namespace {

// An agent that goes on asking after this many refusals does not mean to end.
constexpr int kMaxRefusals = 1000;
constexpr int kInvokeAttempts = 4;
constexpr absl::Duration kInvokeBackoff = absl::Milliseconds(100);
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

absl::Status RunFailure(absl::StatusCode code, std::string_view reason, std::string_view message,
                        std::map<std::string, std::string> metadata) {
  return MakeError(
      code, message,
      {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = std::move(metadata)});
}

// Suspends for ever: the callback is dropped, which destroys the coroutine with all that called it.
Awaitable<void> Never() {
  co_await AwaitCallback<bool>([](absl::AnyInvocable<void(bool)>) {});
}

std::string Dump(const nlohmann::json& value) {
  // Agents may pass on bytes that are no UTF-8.
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// "tool table.load#9f86d081884c": what a replay must ask for again, readable enough to name in an
// error.
std::string CommandText(std::string_view what, std::string_view detail) {
  return absl::StrCat(what, "#", absl::BytesToHexString(crypto::Sha256(detail)).substr(0, 12));
}

// Results in the journal: {"ok": value} or {"error": {...}}.
nlohmann::json Encode(const absl::StatusOr<nlohmann::json>& result) {
  if (result.ok()) {
    return {{"ok", *result}};
  }
  const RunError error = RunError::Of(result.status());
  return {{"error",
           {{"code", static_cast<int>(result.status().code())},
            {"reason", error.reason},
            {"message", error.message},
            {"domain", error.domain},
            {"metadata", error.metadata}}}};
}

absl::StatusOr<nlohmann::json> Decode(const nlohmann::json& result) {
  if (auto ok = result.find("ok"); ok != result.end()) {
    return *ok;
  }
  const nlohmann::json& error = result.at("error");
  return MakeError(static_cast<absl::StatusCode>(error.at("code").get<int>()),
                   error.at("message").get<std::string>(),
                   {.domain = error.at("domain"),
                    .reason = error.at("reason"),
                    .metadata = error.at("metadata").get<std::map<std::string, std::string>>()});
}

// The tool service is away, or still busy with an earlier attempt under the same key.
bool MayPass(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  // RPC_CANCELLED: by the server's end; our own cancelling is looked at before.
  return reason == "RPC_UNAVAILABLE" || reason == "RPC_CANCELLED" ||
         reason == "TOOL_CALL_IN_PROGRESS";
}

}  // namespace

TimeLedger::TimeLedger(const Clock* clock, RunTiming before)
    : clock_(clock), timing_(before), since_(clock->Now()) {}

void TimeLedger::Enter(Part part) {
  Settle();
  ++under_way_[part];
}

void TimeLedger::Leave(Part part) {
  Settle();
  --under_way_[part];
}

RunTiming TimeLedger::Timing() {
  Settle();
  return timing_;
}

void TimeLedger::Settle() {
  const absl::Time now = clock_->Now();
  const absl::Duration passed = now - since_;
  since_ = now;
  if (under_way_[kTools] > 0) {
    timing_.tools += passed;
  } else if (under_way_[kApproval] > 0) {
    timing_.approval += passed;
  } else if (under_way_[kSleep] > 0) {
    timing_.sleep += passed;
  } else if (under_way_[kJournal] > 0) {
    timing_.journal += passed;
  } else {
    timing_.agent += passed;
  }
}

// A place in the program: the run itself, or one branch of a parallel group.
class Execution::Context final : public RunContext {
 public:
  // `prefix`: "" or "3.0.".
  Context(Execution* execution, std::string prefix)
      : execution_(execution), prefix_(std::move(prefix)) {}

  // Each takes its place when it is called, not when it is awaited: that is program order, whatever
  // runs in parallel.
  Awaitable<void> Think(std::string text) override {
    return DoThink(NextPath(), Misuse(), std::move(text));
  }

  Awaitable<absl::StatusOr<nlohmann::json>> CallTool(std::string tool,
                                                     nlohmann::json input) override {
    return execution_->CallTool(NextPath(), Misuse(), std::move(tool), std::move(input));
  }

  Awaitable<absl::Time> Now() override { return DoNow(NextPath(), Misuse()); }
  Awaitable<uint64_t> Random() override { return DoRandom(NextPath(), Misuse()); }
  Awaitable<std::string> NewId(std::string prefix) override {
    return DoNewId(NextPath(), Misuse(), std::move(prefix));
  }
  Awaitable<absl::Status> Sleep(absl::Duration duration) override {
    return execution_->Sleep(NextPath(), Misuse(), duration);
  }
  Awaitable<absl::StatusOr<ApprovalDecision>> RequestApproval(ApprovalRequest request) override {
    return DoRequestApproval(NextPath(), Misuse(), std::move(request));
  }

  const std::string& user() const override { return execution_->run_.owner; }
  const std::string& name() const override { return execution_->name_; }
  std::stop_token stop() const override { return execution_->stop_.get_token(); }

 protected:
  Awaitable<void> RunGroup(std::vector<Branch> branches, int max_parallel) override {
    return DoRunGroup(NextPath(), Misuse(), std::move(branches), std::max(1, max_parallel));
  }

 private:
  struct GroupEnd {
    std::exception_ptr thrown;  // By the first branch that did.
  };
  struct Group {
    std::vector<Branch> branches;
    std::vector<std::unique_ptr<Context>> contexts;
    boost::asio::any_io_executor executor;
    size_t max_parallel = 1;
    size_t next = 0;
    size_t running = 0;
    std::exception_ptr thrown;
    absl::AnyInvocable<void(GroupEnd)> done;
  };

  std::string NextPath() { return absl::StrCat(prefix_, next_++); }

  absl::Status Misuse() const {
    return !in_group_
               ? absl::OkStatus()
               : RunFailure(
                     absl::StatusCode::kInternal, "PARALLEL_CONTEXT_MISUSED",
                     "inside All, a branch of several operations uses the context that it is given",
                     {{"place", prefix_}});
  }

  // Begins branches up to the limit; the last one's end resumes the group. A branch that is
  // destroyed lets go of the group, and so of the coroutine that waits for it.
  static void StartMore(const std::shared_ptr<Group>& group) {
    while (group->running < group->max_parallel && group->next < group->branches.size()) {
      const size_t index = group->next++;
      ++group->running;
      boost::asio::co_spawn(group->executor, group->branches[index](*group->contexts[index]),
                            [group](std::exception_ptr thrown) {
                              --group->running;
                              if (thrown != nullptr && group->thrown == nullptr) {
                                group->thrown = thrown;
                              }
                              StartMore(group);
                            });
    }
    if (group->running == 0 && group->next == group->branches.size() && group->done) {
      std::exchange(group->done, nullptr)({.thrown = group->thrown});
    }
  }

  Awaitable<void> DoRunGroup(std::string path, absl::Status misuse, std::vector<Branch> branches,
                             int max_parallel) {
    const size_t count = branches.size();
    co_await execution_->Value(
        path, misuse, absl::StrCat("parallel of ", count), [] { return nlohmann::json(); },
        nullptr);
    if (count == 0) {
      co_return;
    }
    auto group = std::make_shared<Group>();
    group->branches = std::move(branches);
    for (size_t i = 0; i < count; ++i) {
      group->contexts.push_back(
          std::make_unique<Context>(execution_, absl::StrCat(path, ".", i, ".")));
    }
    group->executor = co_await boost::asio::this_coro::executor;
    group->max_parallel = static_cast<size_t>(max_parallel);
    in_group_ = true;
    GroupEnd end = co_await AwaitCallback<GroupEnd>(
        [moved = std::move(group)](absl::AnyInvocable<void(GroupEnd)> done) mutable {
          // From here on its branches are its only owners.
          std::shared_ptr<Group> group = std::move(moved);
          group->done = std::move(done);
          StartMore(group);
        });
    in_group_ = false;
    if (end.thrown != nullptr) {
      std::rethrow_exception(end.thrown);
    }
  }

  Awaitable<void> DoThink(std::string path, absl::Status misuse, std::string text) {
    Execution* execution = execution_;
    co_await execution->Value(
        std::move(path), std::move(misuse), CommandText("think", text),
        [] { return nlohmann::json(); },
        [execution, text] {
          return execution->events_.Thinking(execution->dependencies_.clock->Now(), text);
        });
  }

  Awaitable<absl::Time> DoNow(std::string path, absl::Status misuse) {
    Clock* clock = execution_->dependencies_.clock;
    nlohmann::json micros = co_await execution_->Value(
        std::move(path), std::move(misuse), "now",
        [clock] { return absl::ToUnixMicros(clock->Now()); }, nullptr);
    co_return absl::FromUnixMicros(micros.get<int64_t>());
  }

  Awaitable<uint64_t> DoRandom(std::string path, absl::Status misuse) {
    nlohmann::json number = co_await execution_->Value(
        std::move(path), std::move(misuse), "random",
        [] {
          uint64_t value = 0;
          for (char byte : crypto::RandomBytes(sizeof(value))) {
            value = value << 8 | static_cast<unsigned char>(byte);
          }
          return value;
        },
        nullptr);
    co_return number.get<uint64_t>();
  }

  Awaitable<std::string> DoNewId(std::string path, absl::Status misuse, std::string prefix) {
    IdGenerator* ids = execution_->dependencies_.ids;
    nlohmann::json id = co_await execution_->Value(
        std::move(path), std::move(misuse), absl::StrCat("id ", prefix),
        [ids, prefix] { return ids->NewId(prefix); }, nullptr);
    co_return id.get<std::string>();
  }

  Awaitable<absl::StatusOr<ApprovalDecision>> DoRequestApproval(std::string path,
                                                                absl::Status misuse,
                                                                ApprovalRequest request) {
    CO_ASSIGN_OR_RETURN(
        nlohmann::json decided,
        co_await execution_->Approve(std::move(path), std::move(misuse), std::move(request)));
    const auto verdict = static_cast<ApprovalRecord::Verdict>(decided.at("verdict").get<int>());
    ApprovalDecision decision;
    decision.allowed = verdict == ApprovalRecord::Verdict::kAllow;
    decision.expired = verdict == ApprovalRecord::Verdict::kExpired;
    decision.comment = decided.value("comment", "");
    if (auto edited = decided.find("edited"); edited != decided.end()) {
      decision.edited_arguments = *edited;
    }
    co_return decision;
  }

  Execution* const execution_;
  const std::string prefix_;
  int next_ = 0;
  bool in_group_ = false;
};

Execution::Execution(ExecutionDependencies dependencies, TakenUp taken,
                     std::shared_ptr<const RawToken> token, int max_steps,
                     std::function<void(Release)> on_released)
    : dependencies_(dependencies),
      run_(std::move(taken.run)),
      name_(run_.name()),
      events_(run_),
      token_(std::move(token)),
      max_steps_(max_steps),
      ledger_(dependencies.clock, run_.timing),
      on_released_(std::move(on_released)) {
  for (JournalRecord& record : taken.journal) {
    Entry& entry = entries_[record.path];
    entry.step = record.step;
    entry.command = std::move(record.command);
    steps_ = std::max(steps_, entry.step);
    nlohmann::json payload =
        nlohmann::json::parse(record.payload, nullptr, /*allow_exceptions=*/false);
    switch (record.kind) {
      case JournalRecord::Kind::kIntent:
        entry.intent = std::move(payload);
        break;
      case JournalRecord::Kind::kExecuting:
        entry.executing = true;
        break;
      case JournalRecord::Kind::kResult:
        entry.result = std::move(payload);
        break;
    }
  }
}

Execution::~Execution() { LetGo(Release::kDone); }

Awaitable<void> Execution::Main(std::shared_ptr<Execution> self, std::unique_ptr<Agent> agent) {
  Context context(self.get(), "");
  const nlohmann::json input =
      nlohmann::json::parse(self->run_.input, nullptr, /*allow_exceptions=*/false);
  absl::StatusOr<Answer> result;
  std::string thrown;
  try {
    result = co_await agent->Run(context, input);
  } catch (const std::exception& e) {
    thrown = absl::StrCat("the agent threw: ", e.what());
  } catch (...) {
    thrown = "the agent threw something that is no std::exception";
  }
  if (!thrown.empty()) {
    result = RunFailure(absl::StatusCode::kInternal, "AGENT_THREW", thrown,
                        {{"agent", self->run_.agent}});
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

Awaitable<void> Execution::CutOff(std::shared_ptr<Execution> self) {
  if (!self->ClaimEnd()) {
    co_return;
  }
  absl::Status why = self->stop_status();
  ABSL_LOG(WARNING) << "run " << self->run_.id << " is cut off: its agent did not end";
  // The strand may be busy with the agent for ever, so nothing of it is used: timing stays as last
  // written.
  absl::StatusOr<RunRecord> ended = co_await self->dependencies_.store->End(
      self->ownership(), {.state = RunState::kTimedOut,
                          .error = RunError::Of(why),
                          .time = self->dependencies_.clock->Now()});
  self->AfterEnd(ended.status());
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

void Execution::Drain() {
  absl::MutexLock lock(mutex_);
  draining_ = true;
}

void Execution::Abandon(Release release) {
  {
    absl::MutexLock lock(mutex_);
    abandoned_ = true;
  }
  stop_.request_stop();
  LetGo(release);
}

Awaitable<void> Execution::GiveUp(absl::Status written) {
  const bool fenced = ReasonOf(written) == "RUN_FENCED";
  ABSL_LOG(ERROR) << "run " << run_.id << (fenced ? " is let go of: " : " is let go of, to be taken up again: ")
                  << written;
  Abandon(fenced ? Release::kDone : Release::kTakeUpAgain);
  co_await Never();
}

void Execution::AwaitCalls(absl::Time deadline) const {
  auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return calls_in_flight_ == 0 || ended_ || abandoned_;
  };
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
      return RunFailure(absl::StatusCode::kCancelled, "RUN_CANCELLED", "the run was cancelled",
                        {{"run", run_.id}});
    case StopReason::kTimedOut:
      return RunFailure(
          absl::StatusCode::kDeadlineExceeded, "RUN_TIMED_OUT", "the time of the run is over",
          {{"run", run_.id}, {"deadline", absl::FormatTime(run_.deadline, absl::UTCTimeZone())}});
  }
  return absl::OkStatus();
}

RunIdentity Execution::identity() const {
  return {.token = token_,
          .traceparent = run_.traceparent,
          .stop = stop_.get_token(),
          .timeout = std::max(run_.deadline - dependencies_.clock->Now(), absl::Seconds(1))};
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

JournalRecord Execution::RecordOf(const std::string& path, const Entry& entry,
                                  JournalRecord::Kind kind, const nlohmann::json& payload) const {
  return {.path = path,
          .step = entry.step,
          .kind = kind,
          .command = entry.command,
          .payload = Dump(payload)};
}

Awaitable<Execution::Entry*> Execution::Enter(std::string path, std::string command,
                                              absl::Status misuse) {
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
      refused = RunFailure(
          absl::StatusCode::kResourceExhausted, "STEP_LIMIT_EXCEEDED",
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
    found =
        entries_.emplace(std::move(path), Entry{.step = ++steps_, .command = std::move(command)})
            .first;
  }
  found->second.visited = true;
  co_return &found->second;
}

Awaitable<void> Execution::Journal(std::vector<JournalRecord> records,
                                   std::vector<std::string> events) {
  ledger_.Enter(TimeLedger::kJournal);
  absl::Status written =
      co_await dependencies_.store->Write(ownership(), {.records = std::move(records),
                                                        .events = std::move(events),
                                                        .steps = steps_,
                                                        .timing = ledger_.Timing()});
  ledger_.Leave(TimeLedger::kJournal);
  co_await StayIfNotGone();
  if (!written.ok()) {
    // Without its journal a run must not go on. Whoever takes it up next does so where the journal
    // ends.
    co_await GiveUp(written);
  }
}

Awaitable<void> Execution::JournalResult(const std::string& path, Entry* entry,
                                         nlohmann::json result, std::vector<std::string> events) {
  std::vector<JournalRecord> records;
  records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kResult, result));
  co_await Journal(std::move(records), std::move(events));
  entry->result = std::move(result);
}

Awaitable<nlohmann::json> Execution::Value(std::string path, absl::Status misuse,
                                           std::string command,
                                           std::function<nlohmann::json()> make,
                                           std::function<std::string()> event) {
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

Awaitable<absl::StatusOr<nlohmann::json>> Execution::CallTool(std::string path, absl::Status misuse,
                                                              std::string tool,
                                                              nlohmann::json input) {
  Entry* entry = co_await Enter(path, CommandText(absl::StrCat("tool ", tool), Dump(input)),
                                std::move(misuse));
  if (entry->result.has_value()) {
    for (auto& [question, asked] : entries_) {
      asked.visited = asked.visited || question.starts_with(absl::StrCat(path, "?"));
    }
    co_return Decode(*entry->result);
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped());

  // An intent without a result: the process died in between, and the call may or may not have
  // happened.
  bool in_doubt = entry->intent.has_value();
  int attempt = in_doubt ? entry->intent->value("attempt", 1) : 0;
  RepeatPolicy policy = RepeatPolicy::kAtMostOnce;
  if (in_doubt) {
    policy = static_cast<RepeatPolicy>(
        entry->intent->value("policy", static_cast<int>(RepeatPolicy::kAtMostOnce)));
  } else {
    absl::StatusOr<RepeatPolicy> learned = co_await PolicyOf(tool);
    if (!learned.ok()) {
      CO_RETURN_IF_ERROR(co_await RefuseStopped());
      co_await JournalResult(path, entry, Encode(learned.status()), {});
      co_return learned.status();
    }
    policy = *learned;
  }

  const absl::Time began = dependencies_.clock->Now();
  absl::StatusOr<ToolResult> result = ToolResult();
  while (true) {
    if (in_doubt && policy == RepeatPolicy::kAtMostOnce) {
      ApprovalRequest question;
      question.question =
          absl::StrCat("The call of ", tool,
                       " may or may not have happened when the platform stopped. Call it (again)?");
      question.tool = tool;
      question.arguments = input;
      CO_ASSIGN_OR_RETURN(nlohmann::json decided,
                          co_await Approve(absl::StrCat(path, "?", attempt), absl::OkStatus(),
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
    if (!in_doubt || policy == RepeatPolicy::kAtMostOnce) {
      entry->intent = nlohmann::json{{"policy", static_cast<int>(policy)}, {"attempt", ++attempt}};
      std::vector<JournalRecord> records;
      records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kIntent, *entry->intent));
      co_await Journal(std::move(records), {});
    }
    CountCall(1);
    ledger_.Enter(TimeLedger::kTools);
    result =
        co_await InvokeWithRetries(path, entry, tool, input, policy != RepeatPolicy::kAtMostOnce);
    ledger_.Leave(TimeLedger::kTools);
    // When the tool service dies in the middle, it is the same doubt.
    in_doubt = !result.ok() && policy == RepeatPolicy::kAtMostOnce && !stop_.stop_requested() &&
               !gone() && RunError::Of(result.status()).domain == "bulkhead.rpc";
    if (!in_doubt) {
      break;
    }
    CountCall(-1);
  }

  if (absl::Status stopped = stop_status(); !stopped.ok() && !result.ok()) {
    result = stopped;
  }
  nlohmann::json encoded = Encode(result.ok() ? absl::StatusOr<nlohmann::json>(result->output)
                                              : absl::StatusOr<nlohmann::json>(result.status()));
  std::vector<std::string> events;
  if (entry->executing) {
    const absl::Time now = dependencies_.clock->Now();
    std::optional<RunError> error;
    if (!result.ok()) {
      error = RunError::Of(result.status());
    }
    events.push_back(
        events_.ToolCompleted(now, entry->step, tool, now - began, error,
                              result.ok() ? result->artifacts : std::vector<std::string>()));
  }
  co_await StayIfNotGone();
  co_await JournalResult(path, entry, std::move(encoded), std::move(events));
  CountCall(-1);
  co_return Decode(*entry->result);
}

void Execution::CountCall(int change) {
  absl::MutexLock lock(mutex_);
  calls_in_flight_ += change;
}

Awaitable<absl::StatusOr<RepeatPolicy>> Execution::PolicyOf(const std::string& tool) {
  auto known = policies_.find(tool);
  if (known != policies_.end()) {
    co_return known->second;
  }
  ledger_.Enter(TimeLedger::kTools);
  absl::StatusOr<RepeatPolicy> learned = co_await dependencies_.tools->PolicyOf(identity(), tool);
  for (int attempt = 1; attempt < kInvokeAttempts && MayPass(learned.status()); ++attempt) {
    const bool goes_on = co_await Pause(attempt);
    if (!goes_on) {
      break;
    }
    learned = co_await dependencies_.tools->PolicyOf(identity(), tool);
  }
  ledger_.Leave(TimeLedger::kTools);
  co_await StayIfNotGone();
  if (learned.ok()) {
    policies_.emplace(tool, *learned);
  }
  co_return learned;
}

Awaitable<absl::StatusOr<ToolResult>> Execution::InvokeWithRetries(const std::string& path,
                                                                   Entry* entry,
                                                                   const std::string& tool,
                                                                   const nlohmann::json& input,
                                                                   bool repeatable) {
  // Nothing here may destroy the coroutine while the call is under way: gRPC would call back into
  // it.
  for (int attempt = 1;; ++attempt) {
    absl::Status journalled;
    ToolCall call{.tool = tool, .input = input, .request_id = absl::StrCat(run_.id, "/", path)};
    call.on_accepted = [this, &path, entry, &tool, &journalled,
                        &input]() -> Awaitable<absl::Status> {
      if (entry->executing || gone()) {
        co_return absl::OkStatus();  // Before the crash, or at an earlier attempt.
      }
      const absl::Time now = dependencies_.clock->Now();
      Append append{.steps = steps_, .timing = ledger_.Timing()};
      append.records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kExecuting,
                                        {{"tool", tool}, {"since", absl::ToUnixMicros(now)}}));
      append.events.push_back(events_.ToolExecuting(now, entry->step, tool, input));
      absl::Status written = co_await dependencies_.store->Write(ownership(), std::move(append));
      entry->executing = written.ok();
      journalled = written;
      co_return written;
    };
    call.on_progress = [this, entry, &tool, last = absl::InfinitePast(), number = 0](
                           double fraction, std::string_view message) mutable {
      // Real time: it protects the notifier, and a simulated clock would swallow all but the first.
      const absl::Time now = RealNow();
      if (now - last >= kProgressInterval) {
        last = now;
        dependencies_.events->PublishTransient(events_.ToolProgress(
            dependencies_.clock->Now(), entry->step, ++number, tool, fraction, message));
      }
    };
    absl::StatusOr<ToolResult> result =
        co_await dependencies_.tools->Invoke(identity(), std::move(call));
    if (!journalled.ok() && !gone()) {
      co_await GiveUp(journalled);  // The call has ended: nothing calls back any more.
    }
    if (!repeatable || attempt == kInvokeAttempts || !MayPass(result.status())) {
      co_return result;
    }
    // By itself: gcc 16 was seen to await it inside of the condition above even when that was true
    // before.
    const bool goes_on = co_await Pause(attempt);
    if (!goes_on) {
      co_return result;
    }
  }
}

Awaitable<bool> Execution::Pause(int attempt) {
  const absl::Time until = dependencies_.clock->Now() + kInvokeBackoff * (1 << attempt);
  absl::Status waited = co_await SleepUntil(dependencies_.clock, until, stop_.get_token());
  co_return waited.ok();
}

Awaitable<absl::Status> Execution::Sleep(std::string path, absl::Status misuse,
                                         absl::Duration duration) {
  Entry* entry = co_await Enter(path, absl::StrCat("sleep ", absl::FormatDuration(duration)),
                                std::move(misuse));
  if (entry->result.has_value()) {
    co_return absl::OkStatus();
  }
  CO_RETURN_IF_ERROR(co_await RefuseStopped());
  if (!entry->intent.has_value()) {
    entry->intent =
        nlohmann::json{{"until", absl::ToUnixMicros(dependencies_.clock->Now() + duration)}};
    std::vector<JournalRecord> records;
    records.push_back(RecordOf(path, *entry, JournalRecord::Kind::kIntent, *entry->intent));
    co_await Journal(std::move(records), {});
  }
  ledger_.Enter(TimeLedger::kSleep);
  absl::Status slept = co_await SleepUntil(
      dependencies_.clock, absl::FromUnixMicros(entry->intent->value("until", int64_t{0})),
      stop_.get_token());
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
  const std::string arguments = Dump(request.arguments);
  Entry* entry = co_await Enter(
      path,
      CommandText("approval", absl::StrCat(request.question, "\n", request.tool, "\n", arguments)),
      std::move(misuse));
  if (entry->result.has_value()) {
    co_return Decode(*entry->result);
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
    entry->intent = nlohmann::json{{"approval", approval.id},
                                   {"expires", absl::ToUnixMicros(approval.expire_time)}};
    absl::Status asked = co_await dependencies_.store->Ask(
        ownership(), approval, RecordOf(path, *entry, JournalRecord::Kind::kIntent, *entry->intent),
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
    found = dependencies_.store->FindApproval(run_.key, path);
    if (!found.ok() || !found->has_value() ||
        (*found)->verdict != ApprovalRecord::Verdict::kPending || gone() ||
        stop_.stop_requested()) {
      break;
    }
    std::stop_callback on_stop(stop_.get_token(), [&decided] { decided.request_stop(); });
    absl::Status expired = co_await SleepUntil(dependencies_.clock, expires, decided.get_token());
    if (expired.ok() && !gone()) {
      absl::StatusOr<ApprovalRecord> now_expired =
          co_await dependencies_.store->Expire(ownership(), path, dependencies_.clock->Now());
      found = now_expired.ok()
                  ? absl::StatusOr<std::optional<ApprovalRecord>>(*now_expired)
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
  nlohmann::json result{{"verdict", static_cast<int>((*found)->verdict)},
                        {"comment", (*found)->comment}};
  if ((*found)->edited_arguments.has_value()) {
    result["edited"] =
        nlohmann::json::parse(*(*found)->edited_arguments, nullptr, /*allow_exceptions=*/false);
  }
  // The decision is in the journal already, in the transaction that made it.
  entry->result = nlohmann::json{{"ok", result}};
  co_return result;
}

Awaitable<void> Execution::End(absl::StatusOr<Answer> result) {
  co_await StayIfNotGone();
  absl::Status stopped = stop_status();
  if (stopped.ok() && result.ok()) {
    auto skipped =
        std::ranges::find_if(entries_, [](const auto& entry) { return !entry.second.visited; });
    if (skipped != entries_.end()) {
      result = RunFailure(
          absl::StatusCode::kFailedPrecondition, "NONDETERMINISTIC_AGENT",
          absl::StrCat("at ", skipped->first, " the journal has '", skipped->second.command,
                       "' and the agent now ends without it"),
          {{"place", skipped->first}, {"journal", skipped->second.command}, {"agent", "end"}});
    }
  }
  if (!ClaimEnd()) {
    co_return;
  }
  Ending ending{.time = dependencies_.clock->Now(), .timing = ledger_.Timing()};
  if (!stopped.ok()) {
    // A run that is being cancelled is CANCELLED by the store whatever stands here.
    ending.state = RunState::kTimedOut;
    ending.error = RunError::Of(stopped);
  } else if (result.ok()) {
    ending.state = RunState::kSucceeded;
    ending.summary = result->summary;
    ending.artifacts = result->artifacts;
    ending.answer = Dump(
        {{"summary", result->summary}, {"artifacts", result->artifacts}, {"data", result->data}});
  } else {
    ending.state = RunState::kFailed;
    ending.error = RunError::Of(result.status());
  }
  absl::StatusOr<RunRecord> ended =
      co_await dependencies_.store->End(ownership(), std::move(ending));
  AfterEnd(ended.status());
}

void Execution::AfterEnd(const absl::Status& written) {
  const bool again = !written.ok() && ReasonOf(written) != "RUN_FENCED";
  if (!written.ok()) {
    ABSL_LOG(ERROR) << "run " << run_.id << " could not be ended: " << written;
  }
  LetGo(again ? Release::kTakeUpAgain : Release::kDone);
}

}  // namespace bulkhead::agent
