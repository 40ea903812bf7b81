#include "testing/integration/websocket/following.h"

#include <cstddef>
#include <utility>

#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/macros.h"
#include "testing/harness/test_agents.h"

namespace bulkhead::testing {
namespace {

Awaitable<absl::StatusOr<agent::Answer>> ThinkOften(agent::RunContext& run, const nlohmann::json& input) {
  for (int i = 0; i < input.at("thoughts").get<int>(); ++i) {
    co_await run.Think(std::string(input.at("bytes").get<size_t>(), 'x'));
  }
  co_return agent::Answer{.summary = "thought"};
}

}  // namespace

absl::Status FollowingTest::Build(const std::function<void(HarnessBuilder&)>& with) {
  HarnessBuilder builder;
  builder.WithUsers({"ada", "bob"})
      .WithTool(std::make_shared<CountingTool>("count"))
      .WithTool(wait_)
      .WithAgent(ToolChainAgent())
      .WithAgent(ScriptedAgent("thinker", ThinkOften));
  with(builder);
  ASSIGN_OR_RETURN(platform_, builder.Build());
  return absl::OkStatus();
}

absl::StatusOr<std::string> FollowingTest::StartChain(User& user, std::vector<std::string> tools) {
  return user.StartRun("chain", Tools(std::move(tools)));
}

}  // namespace bulkhead::testing
