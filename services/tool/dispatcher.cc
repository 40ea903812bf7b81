#include "services/tool/dispatcher.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/crypto.h"
#include "services/common/runtime/channel.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

constexpr char kDomain[] = "bulkhead.tool";
constexpr size_t kMaxRequestIdBytes = 128;
// Reports that wait for a slow observer.
constexpr size_t kProgressQueue = 16;
// Two reports that differ by less are one.
constexpr double kLeastProgress = 0.01;

absl::Status Cancelled(const std::string& tool) {
  return MakeError(absl::StatusCode::kCancelled, absl::StrCat("the call of '", tool, "' was cancelled"),
                   {.domain = kDomain, .reason = "TOOL_CANCELLED", .metadata = {{"tool", tool}}});
}

absl::Status TimedOut(const std::string& tool, absl::Duration timeout, bool cut_off) {
  return MakeError(
      absl::StatusCode::kDeadlineExceeded,
      absl::StrCat("'", tool, "' took longer than ", absl::FormatDuration(timeout),
                   cut_off ? ", did not stop when told to, and was cut off" : ""),
      {.domain = kDomain,
       .reason = "TOOL_TIMED_OUT",
       .metadata = {
           {"tool", tool}, {"timeout", absl::FormatDuration(timeout)}, {"cut_off", cut_off ? "true" : "false"}}});
}

absl::Status Threw(const std::string& tool, std::string_view what) {
  return MakeError(
      absl::StatusCode::kInternal, absl::StrCat("'", tool, "' threw an exception: ", what),
      {.domain = kDomain, .reason = "TOOL_THREW", .metadata = {{"tool", tool}, {"exception", std::string(what)}}});
}

}  // namespace

// Who runs what: shared with each running tool, which may outlive the dispatcher.
class Dispatcher::Books {
 public:
  Books(Quota::Options options, const Clock* clock) : quota_(options, clock) {}

  Quota& quota() { return quota_; }

  // False when a call of this user with this id runs.
  bool ClaimRequest(const std::string& user, const std::string& request_id) {
    absl::MutexLock lock(mutex_);
    return requests_.emplace(user, request_id).second;
  }
  void ReleaseRequest(const std::string& user, const std::string& request_id) {
    absl::MutexLock lock(mutex_);
    requests_.erase({user, request_id});
  }

  // False when the dispatcher stops.
  bool Add(const std::string& invocation, std::shared_ptr<Running> running) {
    absl::MutexLock lock(mutex_);
    if (stopping_) {
      return false;
    }
    running_.emplace(invocation, std::move(running));
    return true;
  }
  void Remove(const std::string& invocation) {
    absl::MutexLock lock(mutex_);
    running_.erase(invocation);
  }

  // From now on Add refuses. What runs now.
  std::vector<std::shared_ptr<Running>> Stop() {
    absl::MutexLock lock(mutex_);
    stopping_ = true;
    std::vector<std::shared_ptr<Running>> all;
    for (const auto& [invocation, running] : running_) {
      all.push_back(running);
    }
    return all;
  }
  bool AwaitNone(absl::Duration limit) const {
    absl::MutexLock lock(mutex_);
    auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return running_.empty(); };
    return mutex_.AwaitWithTimeout(absl::Condition(&none), limit);
  }
  size_t running() const {
    absl::MutexLock lock(mutex_);
    return running_.size();
  }

 private:
  Quota quota_;
  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::pair<std::string, std::string>> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<Running>> running_ ABSL_GUARDED_BY(mutex_);
};

// One running tool. Shared by the tool's own coroutine, the call that waits for it, and the timers:
// the first that ends it decides the result.
class Dispatcher::Running {
 public:
  Running(std::shared_ptr<const RegisteredTool> tool, absl::Time start) : tool_(std::move(tool)), start_(start) {}

  // Called once, before anything else.
  void Begin(ToolCall::Context context) {
    context.stop = stop_.get_token();
    context.on_progress = [this](double fraction, std::string_view text) { OnProgress(fraction, text); };
    call_.emplace(std::move(context));
  }

  const RegisteredTool& tool() const { return *tool_; }
  ToolCall& call() { return *call_; }
  Channel<ProgressReport>& progress() { return progress_; }

  // The time is over: the tool has its grace to return something of no use.
  void TimeOut() {
    {
      absl::MutexLock lock(mutex_);
      timed_out_ = true;
    }
    stop_.request_stop();
  }

  // Ends the call with `status`, whether the tool stops or not.
  void CutOff(absl::Status status) {
    Finish(std::move(status));
    stop_.request_stop();
  }

  // Called by the tool's coroutine, at its end. False when nobody waits for it any more.
  bool Finish(absl::StatusOr<nlohmann::json> result) {
    {
      absl::MutexLock lock(mutex_);
      if (result_.has_value()) {
        return false;
      }
      result_ = std::move(result);
    }
    progress_.Close();
    return true;
  }

  // After the end.
  absl::StatusOr<nlohmann::json> TakeResult() {
    absl::MutexLock lock(mutex_);
    return *std::move(result_);
  }
  bool timed_out() const {
    absl::MutexLock lock(mutex_);
    return timed_out_;
  }
  absl::Time start() const { return start_; }

 private:
  void OnProgress(double fraction, std::string_view text) {
    {
      absl::MutexLock lock(mutex_);
      if (fraction >= 0 && fraction < 1 && std::abs(fraction - last_fraction_) < kLeastProgress) {
        return;
      }
      last_fraction_ = fraction;
    }
    progress_.TrySend({.fraction = std::min(fraction, 1.0), .message = std::string(text)});
  }

  const std::shared_ptr<const RegisteredTool> tool_;
  const absl::Time start_;
  std::stop_source stop_;
  std::optional<ToolCall> call_;
  Channel<ProgressReport> progress_{kProgressQueue};
  mutable absl::Mutex mutex_;
  bool timed_out_ ABSL_GUARDED_BY(mutex_) = false;
  double last_fraction_ ABSL_GUARDED_BY(mutex_) = -1;
  std::optional<absl::StatusOr<nlohmann::json>> result_ ABSL_GUARDED_BY(mutex_);
};

namespace {

// Calls a function at the end of its life.
class Finally {
 public:
  explicit Finally(absl::AnyInvocable<void() &&> function) : function_(std::move(function)) {}
  ~Finally() { std::move(function_)(); }
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;

 private:
  absl::AnyInvocable<void() &&> function_;
};

}  // namespace

Dispatcher::Dispatcher(Options options, Dependencies dependencies)
    : options_(options),
      dependencies_(dependencies),
      books_(std::make_shared<Books>(options_.quota, dependencies_.clock)) {}

Dispatcher::~Dispatcher() { static_cast<void>(Shutdown(absl::ZeroDuration())); }

size_t Dispatcher::running() const { return books_->running(); }

absl::Status Dispatcher::Shutdown(absl::Duration limit) {
  for (const std::shared_ptr<Running>& running : books_->Stop()) {
    running->CutOff(Cancelled(running->tool().spec().name));
  }
  if (books_->AwaitNone(limit)) {
    return absl::OkStatus();
  }
  const std::string left = absl::StrCat(books_->running());
  return MakeError(absl::StatusCode::kDeadlineExceeded, absl::StrCat(left, " tools do not stop"),
                   {.domain = kDomain, .reason = "TOOLS_STILL_RUNNING", .metadata = {{"tools", left}}});
}

absl::Status Dispatcher::CheckInput(const RegisteredTool& tool, const CallRequest& request) const {
  const std::string& name = tool.spec().name;
  auto invalid = [&name](std::map<std::string, std::string> violations) {
    std::string message = absl::StrCat("the input of '", name, "' is not valid");
    for (const auto& [pointer, problem] : violations) {
      absl::StrAppend(&message, "; ", pointer, ": ", problem);
    }
    return MakeError(absl::StatusCode::kInvalidArgument, message,
                     {.domain = kDomain, .reason = "TOOL_INPUT_INVALID", .metadata = std::move(violations)});
  };
  if (request.request_id.size() > kMaxRequestIdBytes) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("a request_id has at most ", kMaxRequestIdBytes, " bytes"),
                     {.domain = kDomain, .reason = "REQUEST_ID_INVALID"});
  }
  if (const std::vector<Violation> violations = tool.input->Validate(request.input); !violations.empty()) {
    return invalid(ViolationMetadata(violations));
  }
  return absl::OkStatus();
}

absl::Status Dispatcher::CheckOutput(const RegisteredTool& tool, const nlohmann::json& output) const {
  const ToolSpec& spec = tool.spec();
  if (const std::vector<Violation> violations = tool.output->Validate(output); !violations.empty()) {
    ABSL_LOG(ERROR) << "Tool " << spec.name << " " << spec.version << " broke its output schema at "
                    << violations.front().pointer << ": " << violations.front().message;
    return MakeError(absl::StatusCode::kInternal,
                     absl::StrCat("'", spec.name, "' returned what its own schema does not allow"),
                     {.domain = kDomain, .reason = "TOOL_OUTPUT_INVALID", .metadata = ViolationMetadata(violations)});
  }
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<FinishedCall>> Dispatcher::Dispatch(UserContext user, CallRequest request,
                                                             std::stop_token stop, CallObserver* observer) {
  CO_ASSIGN_OR_RETURN(std::shared_ptr<const RegisteredTool> tool,
                      dependencies_.registry->Find(user.user(), request.tool));
  CO_RETURN_IF_ERROR(CheckInput(*tool, request));
  const std::string input_text =
      request.input.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  if (input_text.size() > options_.max_message_bytes) {
    co_return MakeError(absl::StatusCode::kInvalidArgument,
                        absl::StrCat("the input has ", input_text.size(), " bytes; at most ",
                                     options_.max_message_bytes, " are allowed"),
                        {.domain = kDomain,
                         .reason = "TOOL_INPUT_INVALID",
                         .metadata = {{"/", absl::StrCat("larger than ", options_.max_message_bytes, " bytes")}}});
  }
  const std::string digest = crypto::Sha256(absl::StrCat(request.tool, "\n", input_text));

  // Held until the tool has ended, which may be after the call.
  std::shared_ptr<void> claim;
  if (!request.request_id.empty()) {
    if (!books_->ClaimRequest(user.user(), request.request_id)) {
      co_return MakeError(
          absl::StatusCode::kAborted, "a call with this request_id runs now; try again when it has ended",
          {.domain = kDomain, .reason = "TOOL_CALL_IN_PROGRESS", .metadata = {{"request_id", request.request_id}}});
    }
    claim = std::make_shared<Finally>(
        [books = books_, user = user.user(), id = request.request_id] { books->ReleaseRequest(user, id); });
    CO_ASSIGN_OR_RETURN(std::optional<StoredCall> stored,
                        dependencies_.store->For(user.user()).FindCall(request.request_id));
    if (stored.has_value()) {
      if (stored->input_digest != digest) {
        co_return MakeError(
            absl::StatusCode::kInvalidArgument, "this request_id was used for another tool or input",
            {.domain = kDomain, .reason = "REQUEST_ID_REUSED", .metadata = {{"request_id", request.request_id}}});
      }
      AcceptedCall accepted{.invocation = stored->invocation,
                            .tool_version = stored->tool_version,
                            .repeat_policy = tool->spec().repeat_policy};
      co_await observer->OnAccepted(std::move(accepted));
      co_return FinishedCall{.invocation = stored->invocation,
                             .tool = stored->tool,
                             .output = nlohmann::json::parse(stored->output, nullptr, /*allow_exceptions=*/false),
                             .artifacts = stored->artifacts,
                             .duration = stored->duration,
                             .repeated = true};
    }
  }
  co_return co_await RunAccepted(std::move(user), std::move(request), std::move(tool), digest, std::move(stop),
                                 observer, std::move(claim));
}

Awaitable<absl::StatusOr<FinishedCall>> Dispatcher::RunAccepted(UserContext user, CallRequest request,
                                                                std::shared_ptr<const RegisteredTool> tool,
                                                                std::string digest, std::stop_token stop,
                                                                CallObserver* observer, std::shared_ptr<void> claim) {
  const ToolSpec& spec = tool->spec();
  CO_RETURN_IF_ERROR(books_->quota().Begin(user.user()));
  auto quota = std::make_shared<Finally>([books = books_, user = user.user()] { books->quota().End(user); });
  // Opening a workspace for the first time reads its folders.
  auto open_workspace = [workspaces = dependencies_.workspaces, id = user.user()] { return workspaces->For(id); };
  CO_ASSIGN_OR_RETURN(std::shared_ptr<Workspace> workspace,
                      co_await RunBlocking(dependencies_.blocking, std::move(open_workspace)));

  absl::Duration timeout = spec.timeout > absl::ZeroDuration() ? spec.timeout : options_.max_timeout;
  if (request.timeout > absl::ZeroDuration()) {
    timeout = std::min(timeout, request.timeout);
  }
  timeout = std::min(timeout, options_.max_timeout);

  Clock* const clock = dependencies_.clock;
  const std::string invocation = dependencies_.ids->NewId("invocation");
  const absl::Time start = clock->Now();
  const absl::Time deadline = start + timeout;
  auto running = std::make_shared<Running>(tool, start);
  ToolCall::Context context{.user = user,
                            .input = std::move(request.input),
                            .request_id = request.request_id,
                            .deadline = deadline,
                            .stop = {},
                            .workspace = std::move(workspace),
                            .blocking = dependencies_.tool_threads,
                            .on_progress = {}};
  running->Begin(std::move(context));
  if (!books_->Add(invocation, running)) {
    co_return MakeError(absl::StatusCode::kUnavailable, "the tool service is stopping",
                        {.domain = kDomain, .reason = "TOOL_SERVICE_STOPPING"});
  }
  // Goes with the tool's coroutine: what is counted for a tool is counted until it really ends. The
  // claim is kept here too, until the result is stored.
  auto until_tool_ends = std::make_shared<Finally>(
      [books = books_, invocation, quota = std::move(quota), claim] { books->Remove(invocation); });

  AcceptedCall accepted{.invocation = invocation, .tool_version = spec.version, .repeat_policy = spec.repeat_policy};
  co_await observer->OnAccepted(std::move(accepted));
  if (stop.stop_requested()) {
    co_return Cancelled(spec.name);
  }

  const Clock::TimerId deadline_timer = clock->CallAt(deadline, [running] { running->TimeOut(); });
  const Clock::TimerId cut_off_timer = clock->CallAt(
      deadline + options_.cut_off_grace,
      [running, name = spec.name, timeout] { running->CutOff(TimedOut(name, timeout, /*cut_off=*/true)); });
  {
    std::stop_callback on_stop(stop, [running, name = spec.name] { running->CutOff(Cancelled(name)); });
    dependencies_.executor->Spawn(RunTool(running, std::move(until_tool_ends)));
    while (std::optional<ProgressReport> progress = co_await running->progress().Receive()) {
      co_await observer->OnProgress(*std::move(progress));
    }
  }
  clock->Cancel(deadline_timer);
  clock->Cancel(cut_off_timer);

  absl::StatusOr<nlohmann::json> output = running->TakeResult();
  const absl::Time finish = clock->Now();
  if (running->timed_out() && ReasonOf(output.status()) != "TOOL_TIMED_OUT") {
    co_return TimedOut(spec.name, timeout, /*cut_off=*/false);
  }
  CO_RETURN_IF_ERROR(output.status());
  CO_RETURN_IF_ERROR(CheckOutput(*tool, *output));
  const std::string output_text =
      output->dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  const uint64_t max_bytes = spec.max_output_bytes > 0 ? std::min(spec.max_output_bytes, options_.max_message_bytes)
                                                       : options_.max_message_bytes;
  if (output_text.size() > max_bytes) {
    co_return MakeError(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat("'", spec.name, "' returned ", output_text.size(), " bytes; at most ", max_bytes, " are allowed"),
        {.domain = kDomain,
         .reason = "TOOL_OUTPUT_TOO_LARGE",
         .metadata = {
             {"tool", spec.name}, {"bytes", absl::StrCat(output_text.size())}, {"limit", absl::StrCat(max_bytes)}}});
  }
  FinishedCall finished{.invocation = invocation,
                        .tool = spec.name,
                        .output = *std::move(output),
                        .artifacts = running->call().artifacts(),
                        .duration = finish - start,
                        .repeated = false};
  if (!request.request_id.empty()) {
    StoredCall stored{.request_id = request.request_id,
                      .invocation = invocation,
                      .tool = spec.name,
                      .tool_version = spec.version,
                      .input_digest = digest,
                      .output = output_text,
                      .artifacts = finished.artifacts,
                      .duration = finished.duration,
                      .finish_time = finish};
    const ToolStore::Scoped store = dependencies_.store->For(user.user());
    const absl::Status saved = co_await store.SaveCall(std::move(stored), finish - options_.result_retention);
    CO_RETURN_IF_ERROR(saved);
  }
  co_return finished;
}

Awaitable<void> Dispatcher::RunTool(std::shared_ptr<Running> running, std::shared_ptr<void> until_tool_ends) {
  const ToolSpec& spec = running->tool().spec();
  absl::StatusOr<nlohmann::json> result = absl::UnknownError("not run");
  try {
    result = co_await running->tool().tool->Run(running->call());
  } catch (const std::exception& e) {
    result = Threw(spec.name, e.what());
  } catch (...) {
    result = Threw(spec.name, "of an unknown type");
  }
  if (!result.ok() && ReasonOf(result.status()).empty()) {
    result = MakeError(result.status().code(), result.status().message(),
                       {.domain = kDomain, .reason = "TOOL_FAILED", .metadata = {{"tool", spec.name}}});
  }
  const bool ok = result.ok();
  until_tool_ends.reset();  // Before anybody hears of the end, and calls again.
  if (!running->Finish(std::move(result))) {
    ABSL_LOG(WARNING) << "Tool " << spec.name << " " << spec.version << " ended after its call was cut off; its "
                      << (ok ? "result" : "error") << " is discarded";
  }
}

}  // namespace bulkhead::tool
