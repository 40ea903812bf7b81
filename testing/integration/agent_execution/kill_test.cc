// `kill -9` of a real server in the middle of a run: the run goes on where it stood.
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/demo/data_set.h"
#include "services/common/identity/token.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/child_process.h"

namespace bulkhead::testing {
namespace {

using gateway::GatewayClient;
using nlohmann::json;

// A server process that can be killed and started again on its data.
class Server {
 public:
  absl::Status Start() {
    absl::StatusOr<std::unique_ptr<ChildProcess>> process =
        ChildProcess::Start({.program = std::filesystem::absolute("services/bulkhead/bulkhead").string(),
                             .arguments = {"serve", "--json", "--data", folder_.File("data"), "--listen", "127.0.0.1:0",
                                           "--set", "auth.scrypt_log_n=4"},
                             .environment = {{"TMPDIR", folder_.path()}}});
    if (!process.ok()) {
      return process.status();
    }
    process_ = *std::move(process);
    const absl::StatusOr<std::string> line = process_->WaitForLine("\"url\"");
    if (!line.ok()) {
      return line.status();
    }
    absl::StatusOr<std::unique_ptr<GatewayClient>> client =
        GatewayClient::Create({.base_url = json::parse(*line).at("url")});
    if (!client.ok()) {
      return client.status();
    }
    client_ = *std::move(client);
    return absl::OkStatus();
  }

  void Kill() {
    process_->Signal(SIGKILL);
    EXPECT_THAT(process_->WaitForExit(), IsOkAndHolds(128 + SIGKILL));
  }

  GatewayClient& client() { return *client_; }

 private:
  TempDir folder_;
  std::unique_ptr<ChildProcess> process_;
  std::unique_ptr<GatewayClient> client_;
};

class KillTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(server_.Start());
    const json account = {{"login", "ada"}, {"password", "correct horse battery"}};
    ASSERT_OK(server_.client().Request("POST", "/v1/users", account, RawToken()));
    ASSERT_OK_AND_ASSIGN(const json tokens,
                         server_.client().Request("POST", "/v1/sessions:signIn", account, RawToken()));
    token_ = RawToken(tokens.at("accessToken").get<std::string>());
    ASSERT_OK(server_.client().Send(
        {.method = "PUT", .path = "/v1/files/birdstrikes.csv", .body = std::string(demo::DataSet())}, token_));
  }

  absl::StatusOr<json> Request(std::string_view method, std::string_view path, const json& body) {
    return server_.client().Request(method, path, body, token_);
  }

  // Follows the run from `after`; stops before its end when `count` durable events have come.
  absl::Status Watch(const std::string& run, uint64_t after, int count) {
    return server_.client().WatchRun(run, {.after = after, .durable_only = true}, token_,
                                     [&](const json& frame) { return !frame.contains("event") || --count > 0; });
  }

  absl::StatusOr<std::vector<json>> EventsOf(const std::string& run) {
    std::vector<json> events;
    while (true) {
      absl::StatusOr<json> page = Request(
          "GET",
          absl::StrCat("/v1/runs/", run.substr(run.rfind('/') + 1), "/events?pageSize=1000&after=", events.size()),
          nullptr);
      if (!page.ok()) {
        return page.status();
      }
      for (const json& event : page->value("events", json::array())) {
        events.push_back(event);
      }
      if (!page->value("more", false)) {
        return events;
      }
    }
  }

  Server server_;
  RawToken token_;
};

TEST_F(KillTest, ARunSurvivesKillsOfItsServerAndRepeatsNoStep) {
  Covers({"AE-6", "AE-4", "WS-5", "WS-6", "DP-6"});
  ASSERT_OK_AND_ASSIGN(
      const json started,
      Request("POST", "/v1/runs", {{"agent", "agents/analyst"}, {"input", {{"file", "birdstrikes.csv"}}}}));
  const std::string run = started.at("name");

  // Each time a little further: as soon as the client has seen two, then five more events.
  for (const int more : {2, 5, 9}) {
    ASSERT_OK_AND_ASSIGN(const std::vector<json> before, EventsOf(run));
    ASSERT_OK(Watch(run, before.size(), more));
    server_.Kill();
    ASSERT_OK(server_.Start());
  }
  ASSERT_OK(Watch(run, /*after=*/0, /*count=*/1'000'000));

  ASSERT_OK_AND_ASSIGN(const json ended,
                       Request("GET", absl::StrCat("/v1/runs/", run.substr(run.rfind('/') + 1)), nullptr));
  EXPECT_EQ(ended.at("state"), "RUN_STATE_SUCCEEDED") << ended;
  EXPECT_GE(ended.value("recoveries", 0), 1);

  ASSERT_OK_AND_ASSIGN(const std::vector<json> events, EventsOf(run));
  std::map<int, int> completed;  // By step.
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].at("sequence"), i + 1) << "the sequence has a gap or a repetition";
    const std::string type = events[i].at("type");
    if (type == "tool_executing") {
      const int step = events[i].at("toolExecuting").value("step", 0);
      EXPECT_EQ(completed[step], 0) << "step " << step << " had its result and ran again";
    } else if (type == "tool_completed") {
      const int step = events[i].at("toolCompleted").value("step", 0);
      EXPECT_EQ(++completed[step], 1) << "step " << step << " ended twice";
    }
    EXPECT_EQ(type == "agent_completed", i + 1 == events.size());
  }
  EXPECT_GT(completed.size(), 3u);

  const std::string report = ended.at("answer").at("artifacts").at(0);
  const std::string path = report.substr(report.find("/files/") + 7);
  std::string text;
  ASSERT_OK(server_.client().DownloadFile(path, token_, [&](std::string_view piece) {
    text += piece;
    return absl::OkStatus();
  }));
  EXPECT_THAT(text, ::testing::HasSubstr("birdstrikes"));
}

}  // namespace
}  // namespace bulkhead::testing
