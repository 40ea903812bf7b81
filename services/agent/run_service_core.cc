#include "services/agent/run_service_core.h"

#include <algorithm>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/agent/request_id.h"
#include "services/common/json_schema/json_schema.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

constexpr int kMaxChildDepth = 5;
// A run token outlives its run by a little, so that a late call fails for the right reason; auth
// gives none for longer.
constexpr absl::Duration kTokenMargin = absl::Minutes(1);
constexpr absl::Duration kMaxTokenLifetime = absl::Hours(24 * 7);

// A run's input, as JSON. What is larger is a file.
constexpr size_t kMaxInputBytes = 1 << 20;

absl::Status CheckInputSize(const std::string& input) {
  if (input.size() <= kMaxInputBytes) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("the input has ", input.size(), " bytes as JSON, and ", kMaxInputBytes,
                                " are allowed: upload what is large as a file"),
                   {.domain = "bulkhead.agent",
                    .reason = "RUN_INPUT_TOO_LARGE",
                    .metadata = {{"limit", absl::StrCat(kMaxInputBytes)}, {"bytes", absl::StrCat(input.size())}}});
}

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, message,
                   {.domain = "bulkhead.agent", .reason = std::string(reason)});
}

}  // namespace

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::Create(rpc::CallContext call, NewRun wanted) {
  CO_RETURN_IF_ERROR(CheckRequestId(wanted.request_id));
  Origin origin{.user = call.user->user(),
                .roles = call.user->roles(),
                .session = call.user->session(),
                .token = call.token,
                .traceparent = call.traceparent,
                .parent = ""};
  co_return co_await CreateFor(std::move(origin), std::move(wanted));
}

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::StartChild(RunRecord parent, std::shared_ptr<const RawToken> token,
                                                                std::string agent, nlohmann::json input,
                                                                std::string request_id) {
  int depth = 1;
  for (std::string ancestor = parent.parent; !ancestor.empty(); ++depth) {
    CO_ASSIGN_OR_RETURN(RunRecord above, store().For(parent.owner).Get(ancestor));
    ancestor = above.parent;
  }
  if (depth > kMaxChildDepth) {
    co_return MakeError(absl::StatusCode::kResourceExhausted,
                        absl::StrCat("runs may start runs ", kMaxChildDepth, " deep, and this one is the deepest"),
                        {.domain = "bulkhead.agent",
                         .reason = "CHILD_RUNS_TOO_DEEP",
                         .metadata = {{"limit", absl::StrCat(kMaxChildDepth)}}});
  }
  Origin origin{.user = parent.owner,
                .roles = absl::StrSplit(parent.roles, ' ', absl::SkipEmpty()),
                .session = parent.session,
                .token = std::move(token),
                .traceparent = parent.traceparent,
                .parent = parent.id};
  co_return co_await CreateFor(std::move(origin), {.agent = std::move(agent),
                                                   .input = std::move(input),
                                                   .timeout = parent.deadline - dependencies_.clock->Now(),
                                                   .request_id = std::move(request_id)});
}

Awaitable<void> RunServiceCore::CancelChild(std::string owner, std::string child, std::string comment) {
  absl::StatusOr<RunRecord> cancelled = co_await Cancel(owner, child, std::move(comment));
  // It may have ended, or been deleted, meanwhile.
  if (!cancelled.ok() && ReasonOf(cancelled.status()) != "RUN_ENDED" &&
      ReasonOf(cancelled.status()) != "RUN_NOT_FOUND") {
    ABSL_LOG(ERROR) << "the child run " << child << " could not be cancelled: " << cancelled.status();
  }
}

absl::Status RunServiceCore::CheckTokens(const AgentSpec& agent, const std::string& user) const {
  return agent.calls_models ? dependencies_.model_budget->CheckUser(user, dependencies_.clock->Now())
                            : absl::OkStatus();
}

absl::Status RunServiceCore::Choose(const Origin& origin, const NewRun& wanted, RunRecord& run) const {
  run.agent = wanted.agent;
  if (absl::StatusOr<const AgentFactory*> linked_in = dependencies_.registry->Find(wanted.agent); linked_in.ok()) {
    run.agent_version = (*linked_in)->spec.version;
    RETURN_IF_ERROR(CheckTokens((*linked_in)->spec, origin.user));
    return dependencies_.registry->ValidateInput(wanted.agent, wanted.input);
  }
  ASSIGN_OR_RETURN(DefinedAgent defined, dependencies_.definitions->Find(origin.user, origin.roles, wanted.agent));
  run.agent_version = defined.factory.spec.version;
  run.definition = defined.definition;
  RETURN_IF_ERROR(CheckTokens(defined.factory.spec, origin.user));
  ASSIGN_OR_RETURN(std::unique_ptr<JsonSchema> schema, JsonSchema::Compile(defined.factory.spec.input_schema));
  return ValidateRunInput(wanted.agent, *schema, wanted.input);
}

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::CreateFor(Origin origin, NewRun wanted) {
  const RunStore::Scoped runs = store().For(origin.user);
  if (!wanted.request_id.empty()) {
    // Before the checks: a repeated call gets its answer even if the world has changed.
    CO_ASSIGN_OR_RETURN(std::optional<RunRecord> first, runs.FindByRequest(wanted.request_id));
    if (first.has_value()) {
      co_return *std::move(first);
    }
  }
  RunRecord run;
  CO_RETURN_IF_ERROR(Choose(origin, wanted, run));
  if (wanted.timeout.has_value() && *wanted.timeout <= absl::ZeroDuration()) {
    co_return Invalid("RUN_TIMEOUT_INVALID", "timeout is not positive");
  }
  const absl::Duration timeout = std::min(wanted.timeout.value_or(options_.run_timeout), options_.run_timeout);

  if (!wanted.thread.empty()) {
    CO_RETURN_IF_ERROR(dependencies_.threads->For(origin.user).Get(wanted.thread).status());
  }

  const absl::Time now = dependencies_.clock->Now();
  run.id = dependencies_.ids->NewId("run");
  run.owner = origin.user;
  run.session = origin.session;
  run.roles = absl::StrJoin(origin.roles, " ");
  run.input = wanted.input.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  CO_RETURN_IF_ERROR(CheckInputSize(run.input));
  run.create_time = now;
  run.deadline = now + timeout;
  run.traceparent = origin.traceparent;
  run.request_id = wanted.request_id;
  run.parent = origin.parent;
  run.thread = wanted.thread;
  CO_ASSIGN_OR_RETURN(Secret token, co_await dependencies_.exchange->Exchange(
                                        origin.token, run.name(),
                                        std::min(timeout + options_.cancel_grace + kTokenMargin, kMaxTokenLifetime)));
  // Bound to the run: a sealed token that is moved to another row does not open.
  run.sealed_token = dependencies_.sealer->Seal(token.Reveal(), run.name());
  Displaced displaced;
  CO_ASSIGN_OR_RETURN(RunRecord created,
                      co_await runs.Create(std::move(run), options_.max_unfinished, wanted.busy, &displaced));
  if (created.state == RunState::kPending) {
    dependencies_.engine->Submit(created);
    for (const RunRecord& held_back : displaced.held_back) {
      dependencies_.engine->HoldChanged(held_back.id);
    }
    for (const RunRecord& cancelled : displaced.cancelled) {
      dependencies_.engine->Cancel(cancelled);
    }
    if (dependencies_.guard != nullptr) {
      CO_RETURN_IF_ERROR(co_await dependencies_.guard->EndIfRevoked(created));
    }
  }
  co_return created;
}

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::Retry(rpc::CallContext call, std::string id,
                                                           std::string request_id) {
  CO_ASSIGN_OR_RETURN(RunRecord run, store().For(call.user->user()).Get(id));
  if (!IsTerminal(run.state)) {
    co_return MakeError(absl::StatusCode::kFailedPrecondition,
                        absl::StrCat("the run has not ended: ", RunStateName(run.state)),
                        {.domain = "bulkhead.agent", .reason = "RUN_NOT_ENDED", .metadata = {{"run", id}}});
  }
  NewRun wanted{.agent = run.agent,
                .input = nlohmann::json::parse(run.input, nullptr, /*allow_exceptions=*/false),
                .timeout = run.deadline - run.create_time,
                .request_id = std::move(request_id),
                .thread = run.thread};
  co_return co_await Create(std::move(call), std::move(wanted));
}

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::Cancel(std::string user, std::string id, std::string comment) {
  const RunStore::Scoped runs = store().For(user);
  CO_ASSIGN_OR_RETURN(RunRecord run,
                      co_await runs.Cancel(std::move(id), std::move(comment), dependencies_.clock->Now()));
  dependencies_.engine->Cancel(run);
  co_return run;
}

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::Interrupt(std::string user, std::string id) {
  const RunStore::Scoped runs = store().For(user);
  CO_ASSIGN_OR_RETURN(RunRecord run, co_await runs.Interrupt(std::move(id), dependencies_.clock->Now()));
  dependencies_.engine->HoldChanged(run.id);
  co_return run;
}

Awaitable<absl::StatusOr<RunRecord>> RunServiceCore::Resume(std::string user, std::string id) {
  const RunStore::Scoped runs = store().For(user);
  CO_ASSIGN_OR_RETURN(RunRecord run, co_await runs.Resume(std::move(id), dependencies_.clock->Now()));
  dependencies_.engine->HoldChanged(run.id);
  co_return run;
}

Awaitable<absl::StatusOr<ApprovalRecord>> RunServiceCore::Resolve(std::string user, Resolution resolution) {
  CO_RETURN_IF_ERROR(CheckRequestId(resolution.request_id));
  ApprovalDecision& decision = resolution.decision;
  ApprovalRecord decided;
  decided.verdict = decision.allowed ? ApprovalRecord::Verdict::kAllow : ApprovalRecord::Verdict::kDeny;
  decided.comment = std::move(decision.comment);
  if (decision.edited_arguments.has_value()) {
    decided.edited_arguments =
        decision.edited_arguments->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  decided.decided_by = user;
  decided.decide_time = dependencies_.clock->Now();
  decided.request_id = std::move(resolution.request_id);
  const RunStore::Scoped runs = store().For(user);
  CO_ASSIGN_OR_RETURN(ApprovalRecord resolved,
                      co_await runs.Resolve(resolution.run, std::move(resolution.approval),
                                            std::move(resolution.call_hash), std::move(decided)));
  dependencies_.engine->ApprovalDecided(resolution.run);
  co_return resolved;
}

}  // namespace bulkhead::agent
