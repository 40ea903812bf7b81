#include "services/agent/models/model_agent.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/agent/models/model_errors.h"
#include "services/common/json/untrusted_json.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

// Of one tool's result, as the model sees it: its memory is small, and paid for by the token.
constexpr size_t kMaxResultBytes = 32 << 10;
constexpr int kMaxUselessTurns = 3;
constexpr size_t kMaxFunctionName = 64;

std::string Text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string MessageOf(const nlohmann::json& input) {
  return input.is_object() && input.size() == 1 && input.front().is_string() ? input.front().get<std::string>()
                                                                             : Text(input);
}

// At most `limit` bytes of UTF-8, with a word on what is missing.
std::string Shortened(std::string text) {
  if (text.size() <= kMaxResultBytes) {
    return text;
  }
  size_t end = kMaxResultBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return absl::StrCat(text.substr(0, end), "... (cut: the result has ", text.size(), " bytes)");
}

// Functions have no dots in their names, tools have.
std::string FunctionName(const std::string& tool, const std::map<std::string, std::string>& taken) {
  std::string name = tool.substr(0, kMaxFunctionName);
  std::ranges::replace(name, '.', '_');
  std::string unique = name;
  for (int i = 2; taken.contains(unique); ++i) {
    unique = absl::StrCat(name.substr(0, kMaxFunctionName - 4), "_", i);
  }
  return unique;
}

// The run, or the branch, ends: not the model's to deal with.
bool Ends(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == "RUN_CANCELLED" || reason == "RUN_TIMED_OUT" || reason == "BRANCH_LOST" ||
         reason == "AGENT_UNRESPONSIVE" || reason == "AGENT_MEMORY_EXCEEDED";
}

class ModelAgent final : public Agent {
 public:
  explicit ModelAgent(ModelAgentSpec spec) : spec_(std::move(spec)) {}

  Awaitable<absl::StatusOr<Answer>> Run(RunContext& run, const nlohmann::json& input) override {
    co_await run.Think(absl::StrCat("Asking the model ", spec_.model));
    CO_RETURN_IF_ERROR(co_await LearnTools(run));
    const std::vector<PastRun> history = co_await run.History();
    Begin(history, input);
    int useless_turns = 0;
    const int max_turns = spec_.max_turns > 0 ? spec_.max_turns : kDefaultTurns;
    for (int turn = 1; turn <= max_turns; ++turn) {
      if (spec_.max_tokens > 0) {
        if (tokens_ >= spec_.max_tokens) {
          co_return TokensExceeded();
        }
        request_.max_tokens = spec_.max_tokens - tokens_;
      }
      CO_ASSIGN_OR_RETURN(ModelReply reply, co_await run.CallModel(request_));
      tokens_ += reply.usage.total();
      if (reply.tool_calls.empty()) {
        co_return Answer{
            .summary = std::move(reply.text),
            .artifacts = {},
            .data = {
                {"model", spec_.model}, {"turns", turn}, {"finish_reason", reply.finish_reason}, {"tokens", tokens_}}};
      }
      if (!reply.text.empty()) {
        co_await run.Think(reply.text);
      }
      request_.messages.push_back(
          {.role = ModelMessage::Role::kAssistant, .text = std::move(reply.text), .tool_calls = reply.tool_calls});
      CO_ASSIGN_OR_RETURN(const bool useful, co_await CallTools(run, reply.tool_calls));
      useless_turns = useful ? 0 : useless_turns + 1;
      if (useless_turns == kMaxUselessTurns) {
        co_return ModelReplyInvalid(
            spec_.model,
            absl::StrCat("in ", kMaxUselessTurns, " turns in a row it has called no tool as tools are called"));
      }
    }
    co_return MakeError(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat("the model has had ", max_turns, " turns, and no answer: allow more, or ask for less"),
        {.domain = "bulkhead.agent",
         .reason = "MODEL_TURNS_EXCEEDED",
         .metadata = {{"model", spec_.model}, {"limit", absl::StrCat(max_turns)}}});
  }

 private:
  absl::Status TokensExceeded() const {
    return MakeError(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat("the run's model calls have used ", tokens_, " tokens, and its agent allows ", spec_.max_tokens),
        {.domain = "bulkhead.agent",
         .reason = "MODEL_TOKENS_EXCEEDED",
         .metadata = {{"limit", absl::StrCat(spec_.max_tokens)}, {"used", absl::StrCat(tokens_)}, {"window", "run"}}});
  }

  Awaitable<absl::Status> LearnTools(RunContext& run) {
    if (spec_.tools.empty()) {
      co_return absl::OkStatus();
    }
    CO_ASSIGN_OR_RETURN(std::vector<ToolDescription> tools, co_await run.DescribeTools(spec_.tools));
    for (ToolDescription& tool : tools) {
      std::string name = FunctionName(tool.name, tool_of_);
      request_.tools.push_back(
          {.name = name, .description = std::move(tool.description), .parameters = std::move(tool.input_schema)});
      tool_of_.emplace(std::move(name), std::move(tool.name));
    }
    co_return absl::OkStatus();
  }

  // The conversation: what was asked and answered in the run's thread, then this run's message.
  void Begin(const std::vector<PastRun>& history, const nlohmann::json& input) {
    request_.model = spec_.model;
    request_.messages.push_back({.role = ModelMessage::Role::kSystem, .text = spec_.instructions});
    for (const PastRun& past : history) {
      request_.messages.push_back({.role = ModelMessage::Role::kUser, .text = MessageOf(past.input)});
      request_.messages.push_back(
          {.role = ModelMessage::Role::kAssistant,
           .text = past.answer.has_value() ? past.answer->summary : absl::StrCat("(No answer: ", past.message, ")")});
    }
    request_.messages.push_back({.role = ModelMessage::Role::kUser, .text = MessageOf(input)});
  }

  // Makes the calls and adds their results to the conversation. Whether one of them, at least, was a call of a tool.
  Awaitable<absl::StatusOr<bool>> CallTools(RunContext& run, const std::vector<ModelToolCall>& calls) {
    struct Result {
      bool called = false;
      std::string text;
    };
    std::vector<absl::StatusOr<Result>> results = co_await run.AllSettled(
        calls, [this](RunContext& branch, const ModelToolCall& call) -> Awaitable<absl::StatusOr<Result>> {
          const auto tool = tool_of_.find(call.name);
          if (tool == tool_of_.end()) {
            co_return Result{.called = false, .text = Problem("TOOL_NOT_FOUND", "there is no such function")};
          }
          nlohmann::json arguments =
              call.arguments.empty() ? nlohmann::json::object() : ParseUntrustedJson(call.arguments);
          if (!arguments.is_object()) {
            co_return Result{
                .called = false,
                .text = Problem("ARGUMENTS_INVALID",
                                absl::StrCat("the arguments are not a JSON object, or one nested deeper than ",
                                             kMaxJsonDepth, " levels"))};
          }
          absl::StatusOr<nlohmann::json> output = co_await branch.CallTool(tool->second, std::move(arguments));
          if (!output.ok()) {
            if (Ends(output.status())) {
              co_return output.status();
            }
            co_return Result{.called = ReasonOf(output.status()) != "TOOL_INPUT_INVALID",
                             .text = Problem(ReasonOf(output.status()), output.status().message())};
          }
          co_return Result{.called = true, .text = Shortened(Text(*output))};
        });
    bool called = false;
    for (size_t i = 0; i < calls.size(); ++i) {
      CO_RETURN_IF_ERROR(results[i].status());
      called = called || results[i]->called;
      request_.messages.push_back(
          {.role = ModelMessage::Role::kTool, .text = std::move(results[i]->text), .tool_call_id = calls[i].id});
    }
    co_return called;
  }

  static std::string Problem(std::string_view reason, std::string_view message) {
    return Shortened(Text({{"error", {{"reason", reason}, {"message", message}}}}));
  }

  const ModelAgentSpec spec_;
  std::map<std::string, std::string> tool_of_;  // By the name of the function.
  ModelRequest request_;
  int64_t tokens_ = 0;
};

}  // namespace

std::unique_ptr<Agent> MakeModelAgent(ModelAgentSpec spec) { return std::make_unique<ModelAgent>(std::move(spec)); }

}  // namespace bulkhead::agent
