#include <iterator>
#include <sstream>

#include "services/tool/tool.h"

using namespace bulkhead;

std::unique_ptr<tool::Tool> WordCount() {
  return tool::MakeTool(
      {
          .name = "text.count",
          .description = "Counts the words of a text.",
          .input_schema = R"({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})",
          .output_schema = R"({"type": "object", "properties": {"words": {"type": "integer"}}, "required": ["words"]})",
          .repeat_policy = tool::RepeatPolicy::kSafe,
      },
      [](tool::ToolCall& call) -> absl::StatusOr<nlohmann::json> {
        call.ReportProgress(0, "Counting");
        std::istringstream text(call.input().at("text").get<std::string>());
        return nlohmann::json{{"words", std::distance(std::istream_iterator<std::string>(text), {})}};
      });
}
