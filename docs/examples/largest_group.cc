#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"

using namespace bulkhead;

// Finds the most frequent value of a column of a CSV file.
class LargestGroupAgent final : public agent::Agent {
 public:
  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const nlohmann::json& input) override {
    co_await run.Think("Loading the table");
    CO_ASSIGN_OR_RETURN(nlohmann::json table, co_await run.CallTool("table.load", {{"file", input.at("file")}}));

    const std::string sql = absl::StrCat("SELECT ", Quoted(input.at("column")), ", count(*) FROM ",
                                         Quoted(table.at("table")), " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1");
    CO_ASSIGN_OR_RETURN(nlohmann::json found, co_await run.CallTool("table.query", {{"sql", sql}}));
    if (found.at("rows").empty()) {
      co_return agent::Answer{.summary = "The table is empty."};
    }
    const nlohmann::json& row = found.at("rows").at(0);
    co_return agent::Answer{.summary = absl::StrCat("The largest group is ", row.at(0).dump(), ", of ",
                                                    row.at(1).dump(), " among ", table.at("rows").dump(), " rows."),
                            .data = {{"value", row.at(0)}, {"rows", row.at(1)}}};
  }

 private:
  static std::string Quoted(const std::string& name) {
    return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
  }
};

agent::AgentFactory LargestGroup() {
  return agent::FactoryOf<LargestGroupAgent>({
      .name = "largest-group",
      .version = "1.0.0",
      .description = "Finds the most frequent value of a column.",
      .input_schema = R"({"type": "object", "required": ["file", "column"],
                          "properties": {"file": {"type": "string"}, "column": {"type": "string"}}})",
  });
}
