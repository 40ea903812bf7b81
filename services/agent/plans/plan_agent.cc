#include "services/agent/plans/plan_agent.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "services/agent/plans/expression.h"
#include "services/agent/plans/gate.h"
#include "services/agent/plans/plan.h"
#include "services/agent/plans/problems.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using nlohmann::json;

constexpr absl::Duration kFirstBackoff = absl::Seconds(1);
constexpr absl::Duration kMaxBackoff = absl::Minutes(1);

absl::Status PlanError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::map<std::string, std::string> metadata) {
  return MakeError(code, message,
                   {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = std::move(metadata)});
}

// Why a node did not begin, or stopped: nothing of its own.
absl::Status NotReached() {
  return PlanError(absl::StatusCode::kCancelled, "PLAN_NODE_NOT_REACHED", "another node failed before", {});
}

// The run's own end, which no node may take for its result.
bool IsRunsEnd(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == "RUN_CANCELLED" || reason == "RUN_TIMED_OUT" || reason == "BRANCH_LOST" ||
         reason == "AGENT_UNRESPONSIVE";
}

// Calling again with the same arguments gives the same error for these.
bool IsWorthRepeating(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAlreadyExists:
      return false;
    default:
      return ReasonOf(status) != "TOOL_OUTCOME_UNKNOWN" && !IsRunsEnd(status);
  }
}

// One execution of a plan. Shared by the branches; on the run's strand only.
struct PlanRun {
  enum class Outcome { kPending, kDone, kSkipped, kFailed };

  struct Node {
    Gate ended;
    Outcome outcome = Outcome::kPending;
    Expression::Value result;
  };

  PlanRun(std::shared_ptr<const Plan> p, const json& in)
      : plan(std::move(p)), input(std::make_shared<const json>(in)), nodes(plan->steps.size()) {}

  // What expressions see.
  Expression::Scope ScopeOf(const std::vector<size_t>& visible) const {
    Expression::Scope scope = {{"input", input}};
    for (size_t index : visible) {
      scope[plan->steps[index].id] = nodes[index].result;
    }
    return scope;
  }

  // Counts a result against what a plan may hold.
  absl::Status Take(const json& result) {
    bytes += result.dump(-1, ' ', false, json::error_handler_t::replace).size();
    return bytes <= kMaxPlanResultBytes ? absl::OkStatus()
                                        : PlanError(absl::StatusCode::kResourceExhausted, "PLAN_RESULTS_TOO_LARGE",
                                                    absl::StrCat("the results of a plan's nodes may have ",
                                                                 kMaxPlanResultBytes, " bytes together"),
                                                    {{"limit", absl::StrCat(kMaxPlanResultBytes)}});
  }

  const std::shared_ptr<const Plan> plan;
  const Expression::Value input;
  std::vector<Node> nodes;
  ExpressionFuel fuel;
  size_t bytes = 0;
  bool failed = false;  // Nothing more begins.
};

using SharedRun = std::shared_ptr<PlanRun>;

// Opens the gate of a node when its branch ends, in whatever way, so that nobody waits for ever.
class Opening {
 public:
  Opening(SharedRun execution, size_t index) : execution_(std::move(execution)), index_(index) {}
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;
  ~Opening() { execution_->nodes[index_].ended.Open(); }

 private:
  const SharedRun execution_;
  const size_t index_;
};

Awaitable<absl::StatusOr<json>> TimeOut(RunContext& branch, const PlanStep& step) {
  CO_RETURN_IF_ERROR(co_await branch.Sleep(step.timeout));
  co_return PlanError(absl::StatusCode::kDeadlineExceeded, "PLAN_CALL_TIMED_OUT",
                      absl::StrCat("tools/", step.tool, " did not answer within ", absl::FormatDuration(step.timeout)),
                      {{"timeout", absl::FormatDuration(step.timeout)}});
}

// One attempt: the call, within the node's time limit.
Awaitable<absl::StatusOr<json>> Attempt(RunContext& branch, const PlanStep& step, const json& arguments) {
  if (step.timeout == absl::InfiniteDuration()) {
    co_return co_await branch.CallTool(step.tool, arguments);
  }
  const std::array<int, 2> ways = {0, 1};
  co_return co_await branch.Race(ways, [&step, &arguments](RunContext& way, const int& which) {
    return which == 0 ? way.CallTool(step.tool, arguments) : TimeOut(way, step);
  });
}

// Asks the user; the arguments to call with.
Awaitable<absl::StatusOr<json>> Approved(RunContext& branch, const PlanStep& step, json arguments) {
  ApprovalRequest request;
  request.question = step.question.empty() ? absl::StrCat("Call ", step.tool, "?") : step.question;
  request.tool = step.tool;
  request.arguments = arguments;
  CO_ASSIGN_OR_RETURN(ApprovalDecision decision, co_await branch.RequestApproval(std::move(request)));
  if (!decision.allowed) {
    co_return PlanError(absl::StatusCode::kAborted, "PLAN_NODE_DENIED",
                        decision.expired ? "nobody has allowed the call in time"
                                         : absl::StrCat("the call was denied: ", decision.comment),
                        {{"comment", decision.comment}, {"expired", decision.expired ? "true" : "false"}});
  }
  co_return decision.edited_arguments.has_value() ? *std::move(decision.edited_arguments) : std::move(arguments);
}

// One call of a node, with all attempts: the output.
Awaitable<absl::StatusOr<json>> CallOnce(SharedRun execution, RunContext& branch, size_t index,
                                         Expression::Value item) {
  const PlanStep& step = execution->plan->steps[index];
  Expression::Scope scope = execution->ScopeOf(step.after);
  if (item != nullptr) {
    scope["item"] = std::move(item);
  }
  CO_ASSIGN_OR_RETURN(json arguments, step.arguments.Fill(scope, execution->fuel));
  if (step.approval) {
    CO_ASSIGN_OR_RETURN(arguments, co_await Approved(branch, step, std::move(arguments)));
  }
  absl::Duration backoff = kFirstBackoff;
  for (int attempt = 0;; ++attempt) {
    absl::StatusOr<json> output = co_await Attempt(branch, step, arguments);
    if (output.ok()) {
      CO_RETURN_IF_ERROR(execution->Take(*output));
      co_return output;
    }
    if (attempt == step.retries || execution->failed || !IsWorthRepeating(output.status())) {
      co_return output;
    }
    CO_RETURN_IF_ERROR(co_await branch.Sleep(backoff));
    backoff = std::min(2 * backoff, kMaxBackoff);
  }
}

// Which element's error an error is.
absl::Status OfElement(const absl::Status& status, size_t element) {
  ErrorInfo info = ErrorInfoOf(status).value_or(ErrorInfo{});
  info.metadata["element"] = absl::StrCat(element);
  return MakeError(status.code(), status.message(), std::move(info));
}

Awaitable<absl::StatusOr<json>> CallElement(SharedRun execution, RunContext& branch, size_t index,
                                            std::pair<size_t, Expression::Value> element) {
  if (execution->failed) {
    co_return NotReached();
  }
  absl::StatusOr<json> output = co_await CallOnce(execution, branch, index, std::move(element.second));
  if (!output.ok() && !IsRunsEnd(output.status())) {
    execution->failed = true;
    co_return OfElement(output.status(), element.first);
  }
  co_return output;
}

// A call for each element; the results in the elements' order, or the first one's error that failed.
Awaitable<absl::StatusOr<json>> CallForEach(SharedRun execution, RunContext& branch, size_t index) {
  const PlanStep& step = execution->plan->steps[index];
  CO_ASSIGN_OR_RETURN(Expression::Value list, step.for_each->Evaluate(execution->ScopeOf(step.after), execution->fuel));
  if (!list->is_array() || list->size() > kMaxPlanElements) {
    co_return PlanError(absl::StatusCode::kInvalidArgument, "PLAN_ELEMENTS_INVALID",
                        list->is_array() ? absl::StrCat("for_each gives ", list->size(), " elements, and ",
                                                        kMaxPlanElements, " are allowed")
                                         : absl::StrCat("for_each gives ", list->type_name(), ", not an array"),
                        {{"limit", absl::StrCat(kMaxPlanElements)}});
  }
  std::vector<std::pair<size_t, Expression::Value>> elements;
  for (size_t i = 0; i < list->size(); ++i) {
    elements.emplace_back(i, Expression::Value(list, &(*list)[i]));
  }
  const std::vector<absl::StatusOr<json>> outputs = co_await branch.AllSettled(
      elements,
      [execution, index](RunContext& own, const std::pair<size_t, Expression::Value>& element) {
        return CallElement(execution, own, index, element);
      },
      {.max_parallel = step.parallelism});
  json results = json::array();
  std::optional<absl::Status> not_reached;
  for (const absl::StatusOr<json>& output : outputs) {
    if (output.ok()) {
      results.push_back(*output);
    } else if (ReasonOf(output.status()) == "PLAN_NODE_NOT_REACHED") {
      not_reached = output.status();
    } else {
      co_return output.status();
    }
  }
  if (not_reached.has_value()) {
    co_return *not_reached;
  }
  co_return results;
}

// Null when its condition is false.
Awaitable<absl::StatusOr<Expression::Value>> ResultOf(SharedRun execution, RunContext& branch, size_t index) {
  const PlanStep& step = execution->plan->steps[index];
  if (step.condition.has_value()) {
    CO_ASSIGN_OR_RETURN(Expression::Value condition,
                        step.condition->Evaluate(execution->ScopeOf(step.after), execution->fuel));
    if (!IsTruthy(*condition)) {
      co_return Expression::Value();
    }
  }
  absl::StatusOr<json> output;
  if (step.for_each.has_value()) {
    output = co_await CallForEach(execution, branch, index);
  } else {
    output = co_await CallOnce(execution, branch, index, nullptr);
  }
  CO_RETURN_IF_ERROR(output.status());
  co_return std::make_shared<const json>(*std::move(output));
}

// The branch of one node.
Awaitable<absl::StatusOr<bool>> RunNode(SharedRun execution, RunContext& branch, size_t index) {
  const Opening opening(execution, index);
  PlanRun::Node& node = execution->nodes[index];
  for (size_t before : execution->plan->steps[index].after) {
    co_await execution->nodes[before].ended.Wait(branch.stop());
    const PlanRun::Outcome outcome = execution->nodes[before].outcome;
    if (outcome != PlanRun::Outcome::kDone && outcome != PlanRun::Outcome::kSkipped) {
      co_return NotReached();
    }
  }
  if (execution->failed) {
    co_return NotReached();
  }
  absl::StatusOr<Expression::Value> result = co_await ResultOf(execution, branch, index);
  if (!result.ok()) {
    node.outcome = PlanRun::Outcome::kFailed;
    execution->failed = true;
    co_return result.status();
  }
  node.outcome = *result == nullptr ? PlanRun::Outcome::kSkipped : PlanRun::Outcome::kDone;
  node.result = *std::move(result);
  co_return node.outcome == PlanRun::Outcome::kDone;
}

absl::Status OfNode(const PlanStep& step, const absl::Status& status) {
  if (IsRunsEnd(status)) {
    return status;
  }
  std::map<std::string, std::string> metadata;
  std::string reason = "PLAN_NODE_FAILED";
  const std::optional<ErrorInfo> info = ErrorInfoOf(status);
  if (ReasonOf(status) == "PLAN_NODE_DENIED") {
    reason = "PLAN_NODE_DENIED";
    metadata = info->metadata;
  } else {
    metadata["reason"] = ReasonOf(status);
    metadata["domain"] = info.has_value() ? info->domain : "";
    if (info.has_value() && info->metadata.contains("element")) {
      metadata["element"] = info->metadata.at("element");
    }
  }
  metadata["node"] = step.id;
  metadata["tool"] = absl::StrCat("tools/", step.tool);
  const std::string element =
      metadata.contains("element") ? absl::StrCat(", element ", metadata["element"]) : std::string();
  return PlanError(status.code(), reason,
                   absl::StrCat("node '", step.id, "' (tools/", step.tool, element, "): ", status.message()),
                   std::move(metadata));
}

class PlanAgent final : public Agent {
 public:
  explicit PlanAgent(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}

  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const json& input) override {
    auto execution = std::make_shared<PlanRun>(plan_, input);
    std::vector<size_t> indices(plan_->steps.size());
    for (size_t i = 0; i < indices.size(); ++i) {
      indices[i] = i;
    }
    const std::vector<absl::StatusOr<bool>> ended = co_await run.AllSettled(
        indices, [execution](RunContext& branch, const size_t& index) { return RunNode(execution, branch, index); },
        {.max_parallel = static_cast<int>(indices.size())});
    std::optional<absl::Status> not_reached;
    size_t called = 0;
    for (size_t i = 0; i < ended.size(); ++i) {
      if (!ended[i].ok() && ReasonOf(ended[i].status()) != "PLAN_NODE_NOT_REACHED") {
        co_return OfNode(plan_->steps[i], ended[i].status());
      }
      if (!ended[i].ok()) {
        not_reached = ended[i].status();
      } else if (*ended[i]) {
        ++called;
      }
    }
    if (not_reached.has_value()) {
      co_return *not_reached;  // The run is ending.
    }
    co_return Answered(*execution, indices, called);
  }

 private:
  static absl::StatusOr<Answer> Answered(PlanRun& execution, const std::vector<size_t>& all, size_t called) {
    Answer answer;
    answer.summary = absl::StrCat(called, called == 1 ? " node was" : " nodes were", " carried out",
                                  called == all.size() ? "" : absl::StrCat(", ", all.size() - called, " skipped"), ".");
    if (!execution.plan->result.has_value()) {
      for (size_t index : all) {
        const Expression::Value& result = execution.nodes[index].result;
        answer.data[execution.plan->steps[index].id] = result == nullptr ? json() : *result;
      }
      return answer;
    }
    absl::StatusOr<Expression::Value> result = execution.plan->result->Evaluate(execution.ScopeOf(all), execution.fuel);
    if (!result.ok()) {
      return PlanError(result.status().code(), "PLAN_RESULT_FAILED",
                       absl::StrCat("the plan's result: ", result.status().message()),
                       {{"reason", ReasonOf(result.status())}});
    }
    // The data of an answer is an object.
    answer.data = (*result)->is_object() ? **result : json{{"value", **result}};
    return answer;
  }

  const std::shared_ptr<const Plan> plan_;
};

// A definition that was stored when other rules held.
class InvalidPlanAgent final : public Agent {
 public:
  explicit InvalidPlanAgent(absl::Status why) : why_(std::move(why)) {}
  Awaitable<absl::StatusOr<Answer>> Run(RunContext&, const json&) override { co_return why_; }

 private:
  const absl::Status why_;
};

}  // namespace

std::unique_ptr<Agent> MakePlanAgent(const v1::Agent& definition) {
  Problems problems;
  auto plan = std::make_shared<const Plan>(CompilePlan(definition.plan(), problems));
  if (!problems.empty()) {
    const std::string what = absl::StrJoin(problems, "; ", absl::PairFormatter(" "));
    return std::make_unique<InvalidPlanAgent>(PlanError(absl::StatusCode::kInvalidArgument, "AGENT_INVALID",
                                                        absl::StrCat("the plan cannot be executed: ", what),
                                                        std::move(problems)));
  }
  return std::make_unique<PlanAgent>(std::move(plan));
}

}  // namespace bulkhead::agent
