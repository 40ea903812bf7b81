// SIGTERM for a real server in which an agent holds its thread.
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/resource_name.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/child_process.h"

namespace bulkhead::testing {
namespace {

using gateway::GatewayClient;
using nlohmann::json;
using ::testing::HasSubstr;

// As docs/cli.md has it.
constexpr int kHeld = 6;

class ShutdownTest : public ::testing::Test {
 protected:
  void Start(const std::string& unresponsive_after) {
    ASSERT_OK_AND_ASSIGN(
        process_,
        ChildProcess::Start(
            {.program = std::filesystem::absolute("testing/integration/agent_execution/stuck_server").string(),
             .arguments = {"serve", "--json", "--data", folder_.File("data"), "--listen", "127.0.0.1:0", "--set",
                           "auth.scrypt_log_n=4", "--set", "threads=2", "--set",
                           absl::StrCat("agent.unresponsive_after=", unresponsive_after)},
             .environment = {{"TMPDIR", folder_.path()}}}));
    ASSERT_OK_AND_ASSIGN(const std::string line, process_->WaitForLine("\"url\""));
    ASSERT_OK_AND_ASSIGN(client_, GatewayClient::Create({.base_url = json::parse(line).at("url")}));
  }

  // Follows the run until it has given `type`.
  absl::Status Await(const std::string& run, const std::string& type) {
    bool seen = false;
    const absl::Status watched =
        client_->WatchRun(run, {.after = 0, .durable_only = true}, token_, [&](const json& frame) {
          seen = seen || (frame.contains("event") && frame.at("event").value("type", "") == type);
          return !seen;
        });
    return seen ? absl::OkStatus() : watched;
  }

  TempDir folder_;
  std::unique_ptr<ChildProcess> process_;
  std::unique_ptr<GatewayClient> client_;
  RawToken token_;
};

TEST_F(ShutdownTest, ServerWithAStuckAgentEndsAndFailsTheRunWhenItIsStuckAgain) {
  Covers({"AE-5", "AE-6", "RF-5"});
  Start("0s");  // Nobody is failed for holding a thread.
  const json account = {{"login", "ada"}, {"password", "correct horse battery"}};
  ASSERT_OK(client_->Request("POST", "/v1/users", account, RawToken()));
  ASSERT_OK_AND_ASSIGN(const json tokens, client_->Request("POST", "/v1/sessions:signIn", account, RawToken()));
  token_ = RawToken(tokens.at("accessToken").get<std::string>());
  ASSERT_OK_AND_ASSIGN(
      const json started,
      client_->Request("POST", "/v1/runs", {{"agent", "agents/stuck"}, {"input", json::object()}}, token_));
  const std::string run = started.at("name");
  const std::string path = absl::StrCat("/v1/runs/", IdOf(run));

  ASSERT_OK(process_->WaitForLine("\"held\""));
  process_->Signal(SIGTERM);
  EXPECT_THAT(process_->WaitForExit(), IsOkAndHolds(kHeld));
  EXPECT_THAT(process_->errors(), HasSubstr(absl::StrCat("the agent of ", run, " holds its thread")));
  EXPECT_THAT(process_->errors(), HasSubstr("AGENTS_HOLD_THREADS"));

  Start("1s");
  ASSERT_OK(Await(run, "agent_failed"));
  ASSERT_OK_AND_ASSIGN(const json ended, client_->Request("GET", path, nullptr, token_));
  EXPECT_EQ(ended.at("state"), "RUN_STATE_FAILED") << ended;
  EXPECT_EQ(ended.at("error").at("reason"), "AGENT_UNRESPONSIVE");
  EXPECT_EQ(ended.value("recoveries", 0), 1);

  // The run has ended, and its code holds its thread nevertheless.
  process_->Signal(SIGTERM);
  EXPECT_THAT(process_->WaitForExit(), IsOkAndHolds(kHeld));
}

}  // namespace
}  // namespace bulkhead::testing
