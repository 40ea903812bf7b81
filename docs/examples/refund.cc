#include <cstdint>

#include "absl/strings/str_cat.h"
#include "services/agent/agent.h"
#include "services/common/status/macros.h"

using namespace bulkhead;

// Looks up orders side by side, asks its user, and pays back what he allows.
class RefundAgent final : public agent::Agent {
 public:
  Awaitable<absl::StatusOr<agent::Answer>> Run(agent::RunContext& run, const nlohmann::json& input) override {
    const std::vector<std::string> orders = input.at("orders");
    co_await run.Think(absl::StrCat("Looking up ", orders.size(), " orders"));
    CO_ASSIGN_OR_RETURN(std::vector<nlohmann::json> found, co_await run.All(orders, [&run](const std::string& order) {
      return run.CallTool("order.find", {{"order", order}});
    }));
    int64_t cents = 0;
    for (const nlohmann::json& order : found) {
      cents += order.at("cents").get<int64_t>();
    }

    // The user sees the very call that will be made, and may change its arguments.
    agent::ApprovalRequest question{.question = absl::StrCat("Pay back ", cents, " cents?"),
                                    .tool = "refund.pay",
                                    .arguments = {{"cents", cents}},
                                    .expires_after = absl::Hours(48)};
    CO_ASSIGN_OR_RETURN(agent::ApprovalDecision decision, co_await run.RequestApproval(question));
    if (!decision.allowed) {
      co_return agent::Answer{.summary = decision.expired ? "Nobody decided in time: nothing is paid back."
                                                          : "Nothing is paid back."};
    }
    const nlohmann::json refund = decision.edited_arguments.value_or(question.arguments);

    // AT_MOST_ONCE: when the platform dies in the middle of this call, it asks the user instead of calling again.
    CO_RETURN_IF_ERROR((co_await run.CallTool("refund.pay", refund)).status());
    co_return agent::Answer{.summary = absl::StrCat("Paid back ", refund.at("cents").dump(), " cents.")};
  }
};

agent::AgentFactory Refund() {
  return agent::FactoryOf<RefundAgent>({
      .name = "refund",
      .version = "1.0.0",
      .description = "Pays back orders, when its user agrees.",
      .input_schema = R"({"type": "object", "required": ["orders"],
                          "properties": {"orders": {"type": "array", "items": {"type": "string"}, "minItems": 1}}})",
  });
}
