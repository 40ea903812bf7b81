#include "testing/harness/crash/rich_agent.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "absl/log/absl_check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using agent::RunContext;
using nlohmann::json;
using tool::RepeatPolicy;

constexpr char kAnyObject[] = R"({"type": "object"})";

tool::ToolSpec Spec(std::string name, RepeatPolicy policy) {
  return {.name = std::move(name),
          .description = "Leaves a trace, for tests.",
          .input_schema = kAnyObject,
          .output_schema = kAnyObject,
          .repeat_policy = policy};
}

std::string LineOf(const tool::ToolCall& call, std::string_view tool) {
  return absl::StrCat(tool, "\t", call.request_id(), "\t", call.input().dump(), "\n");
}

class EndlessTool final : public tool::Tool {
 public:
  explicit EndlessTool(Clock* clock) : clock_(clock) {}
  const tool::ToolSpec& spec() const override { return spec_; }
  Awaitable<absl::StatusOr<json>> Run(tool::ToolCall& call) override {
    const absl::Status stopped = co_await SleepUntil(clock_, clock_->Now() + absl::Hours(1), call.stop());
    co_return stopped.ok() ? absl::StatusOr<json>(json::object()) : stopped;
  }

 private:
  Clock* const clock_;
  const tool::ToolSpec spec_ = Spec("effect.endless", RepeatPolicy::kSafe);
};

Awaitable<absl::StatusOr<json>> WeighAndBook(RunContext& branch, const std::string& town) {
  CO_ASSIGN_OR_RETURN(json weight, co_await branch.CallTool("effect.weigh", {{"town", town}}));
  co_return co_await branch.CallTool("effect.book", {{"town", town}, {"weight", weight.at("weight")}});
}

Awaitable<absl::StatusOr<json>> GoBy(RunContext& branch, const std::string& way) {
  if (way == "asleep") {
    CO_RETURN_IF_ERROR(co_await branch.Sleep(absl::Hours(1)));
    co_return json::object();
  }
  co_return co_await branch.CallTool(way, {{"way", way}});
}

class RichAgent final : public agent::Agent {
 public:
  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const json&) override {
    co_await run.Think("Setting out");
    const absl::Time began = co_await run.Now();
    const uint64_t drawn = co_await run.Random();
    const std::string parcel = co_await run.NewId("parcel");
    co_await run.Think(absl::StrCat("Drew ", drawn, " for ", parcel));

    const std::vector<std::string> towns = {"Aachen", "Bremen"};
    CO_RETURN_IF_ERROR((co_await run.All(towns, WeighAndBook)).status());

    agent::ApprovalRequest question{
        .question = "Shall it be paid?", .tool = "effect.pay", .arguments = {{"amount", 7}}};
    CO_ASSIGN_OR_RETURN(agent::ApprovalDecision decision, co_await run.RequestApproval(question));
    if (!decision.allowed) {
      co_return Answer{.summary = "not paid"};
    }
    const absl::StatusOr<json> paid = co_await run.CallTool("effect.pay", question.arguments);
    if (!paid.ok() && ReasonOf(paid.status()) != "TOOL_OUTCOME_UNKNOWN") {
      co_return paid.status();
    }
    CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Milliseconds(10)));
    CO_ASSIGN_OR_RETURN(Answer errand, co_await run.RunAgent("errand", {{"town", "Celle"}}));

    const std::vector<std::string> ways = {"effect.closed", "effect.endless", "effect.weigh", "asleep"};
    CO_RETURN_IF_ERROR((co_await run.Any(ways, GoBy)).status());
    const std::vector<std::string> racers = {"effect.book", "asleep"};
    CO_RETURN_IF_ERROR((co_await run.Race(racers, GoBy)).status());

    const bool patched = co_await run.Patched("receipts");
    co_await run.Think(absl::StrCat("Still ", drawn, " for ", parcel, patched ? ", with a receipt" : ""));
    if (co_await run.Now() < began) {
      co_return absl::InternalError("time went backwards");
    }
    co_return Answer{.summary = errand.summary, .data = {{"paid", paid.ok()}}};
  }
};

class ErrandAgent final : public agent::Agent {
 public:
  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const json& input) override {
    co_await run.Think("On an errand");
    CO_RETURN_IF_ERROR((co_await run.CallTool("effect.book", input)).status());
    co_return Answer{.summary = absl::StrCat("been to ", input.at("town").get<std::string>())};
  }
};

}  // namespace

void EffectLog::Append(const tool::ToolCall& call, std::string_view tool) {
  absl::MutexLock lock(mutex_);
  Write(LineOf(call, tool));
}

void EffectLog::AppendOnce(const tool::ToolCall& call, std::string_view tool) {
  const std::string line = LineOf(call, tool);
  absl::MutexLock lock(mutex_);
  std::ifstream file(path_);
  for (std::string done; std::getline(file, done);) {
    if (absl::StartsWith(line, done)) {
      return;
    }
  }
  Write(line);
}

bool EffectLog::IsFirst(const tool::ToolCall& call, std::string_view tool) {
  absl::MutexLock lock(mutex_);
  std::ifstream file(path_);
  for (std::string done; std::getline(file, done);) {
    if (absl::StartsWith(done, absl::StrCat(tool, "\t"))) {
      return absl::StartsWith(LineOf(call, tool), done);
    }
  }
  return true;
}

void EffectLog::Write(std::string_view line) {
  crash_point_->Pass("effect before");
  // One write: a line is there or it is not.
  const int file = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  ABSL_CHECK_GE(file, 0) << path_;
  ABSL_CHECK_EQ(write(file, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  close(file);
  crash_point_->Pass("effect after");
}

std::vector<std::shared_ptr<tool::Tool>> EffectTools(EffectLog* log, Clock* clock) {
  return {
      tool::MakeTool(Spec("effect.weigh", RepeatPolicy::kSafe),
                     [log](tool::ToolCall& call) -> absl::StatusOr<json> {
                       log->Append(call, "effect.weigh");
                       return json{{"weight", call.input().dump().size()}};
                     }),
      tool::MakeTool(Spec("effect.book", RepeatPolicy::kIdempotent),
                     [log](tool::ToolCall& call) -> absl::StatusOr<json> {
                       log->AppendOnce(call, "effect.book");
                       return json{{"booked", true}};
                     }),
      tool::MakeTool(Spec("effect.pay", RepeatPolicy::kAtMostOnce),
                     [log](tool::ToolCall& call) -> absl::StatusOr<json> {
                       log->Append(call, "effect.pay");
                       return json{{"paid", true}};
                     }),
      tool::MakeTool(Spec("effect.knock", RepeatPolicy::kIdempotent),
                     [log](tool::ToolCall& call) -> absl::StatusOr<json> {
                       log->AppendOnce(call, "effect.knock");
                       if (log->IsFirst(call, "effect.knock")) {
                         return MakeError(absl::StatusCode::kUnavailable, "nobody is at home",
                                          {.domain = "bulkhead.testing", .reason = "NOBODY_HOME"});
                       }
                       return json{{"opened", true}};
                     }),
      tool::MakeTool(Spec("effect.closed", RepeatPolicy::kSafe),
                     [](tool::ToolCall&) -> absl::StatusOr<json> {
                       return MakeError(absl::StatusCode::kFailedPrecondition, "this way is closed",
                                        {.domain = "bulkhead.testing", .reason = "WAY_CLOSED"});
                     }),
      std::make_shared<EndlessTool>(clock),
  };
}

std::vector<agent::AgentFactory> RichAgents() {
  return {agent::FactoryOf<RichAgent>({.name = "rich", .version = "1.0.0", .description = "Does everything."}),
          agent::FactoryOf<ErrandAgent>({.name = "errand", .version = "1.0.0", .description = "Does one thing."})};
}

}  // namespace bulkhead::testing
