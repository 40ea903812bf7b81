// What the configuration promises, seen from outside: the values that a user sets are the ones that the services obey,
// each platform its own, unsafe ones never start, and secrets never show.
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/config/config.h"
#include "services/common/config/environment.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/calls.h"
#include "testing/harness/child_process.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"

namespace bulkhead::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kProgram[] = "services/bulkhead/bulkhead";

// What the platform would be given by a user who hands in `variables` and `overrides`, on a free port and with cheap
// password hashes.
std::function<void(common::v1::PlatformConfig&)> Loaded(config::Environment::Variables variables,
                                                        std::vector<std::string> overrides = {}) {
  for (const char* setting : {"environment=test", "gateway.listen=127.0.0.1:0", "auth.scrypt_log_n=4"}) {
    overrides.push_back(setting);
  }
  absl::StatusOr<config::Config> loaded =
      config::LoadConfig({.environment = config::Environment(std::move(variables)), .overrides = std::move(overrides)});
  EXPECT_OK(loaded);
  return [loaded](common::v1::PlatformConfig& config) { config = loaded->values(); };
}

absl::StatusOr<auth::v1::User> Register(Harness& platform, const std::string& login, const std::string& password) {
  auth::v1::CreateUserRequest request;
  request.set_login(login);
  request.set_password(password);
  return CallWithToken<auth::v1::UserService>(platform, /*token=*/"", &auth::v1::UserService::Stub::CreateUser,
                                              request);
}

// Runs the program with these variables and no others.
absl::StatusOr<Finished> Bulkhead(std::vector<std::string> arguments,
                                  std::map<std::string, std::string> variables = {}) {
  return RunToEnd({.program = kProgram, .arguments = std::move(arguments), .environment = std::move(variables)});
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

std::string Write(const TempDir& folder, std::string_view name, const std::string& text) {
  std::ofstream(folder.File(name)) << text;
  return folder.File(name);
}

TEST(ConfigurationTest, TwoPlatformsOfOneProcessObeyTheVariablesHandedToEachAndNotTheProcesss) {
  Covers({"CF-1", "CF-3"});
  ASSERT_EQ(setenv("BULKHEAD_AUTH_MIN_PASSWORD_LENGTH", "64", /*overwrite=*/1), 0);
  ASSERT_OK_AND_ASSIGN(auto strict,
                       Harness::Builder().Configure(Loaded({{"BULKHEAD_AUTH_MIN_PASSWORD_LENGTH", "24"}})).Build());
  ASSERT_OK_AND_ASSIGN(auto standard, Harness::Builder().Configure(Loaded({})).Build());

  EXPECT_THAT(Register(*strict, "ada", "fourteen bytes"),
              HasReason(absl::StatusCode::kInvalidArgument, "PASSWORD_TOO_SHORT"));
  EXPECT_OK(Register(*standard, "ada", "fourteen bytes"));
  EXPECT_OK(Register(*strict, "ada", "more than twenty-four bytes"));
  unsetenv("BULKHEAD_AUTH_MIN_PASSWORD_LENGTH");
}

TEST(ConfigurationTest, EachServiceObeysItsOwnSection) {
  Covers({"CF-3", "AE-8", "TD-3"});
  auto tool = std::make_shared<HoldingTool>("hold");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .WithUsers({"ada"})
                           .WithTool(tool)
                           .WithAgent(ToolChainAgent())
                           .Configure(Loaded({}, {"agent.max_running_per_user=1", "agent.max_waiting_per_user=1",
                                                  "tool.max_message_bytes=2048", "gateway.max_body_bytes=4096"}))
                           .Build());
  User& ada = platform->As("ada");

  // Agent: one runs, one waits, the third is refused.
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string first, ada.StartRun("chain", {{"tools", {"hold"}}}));
  ASSERT_OK(hold->Wait());
  ASSERT_OK_AND_ASSIGN(const std::string second, ada.StartRun("chain", {{"tools", {"hold"}}}));
  EXPECT_THAT(ada.StartRun("chain", {{"tools", {"hold"}}}),
              HasReason(absl::StatusCode::kResourceExhausted, "RUN_QUOTA_EXCEEDED"));
  EXPECT_EQ(tool->runs(), 1);
  hold->Resume();
  EXPECT_OK(ada.WaitForRun(first));
  EXPECT_OK(ada.WaitForRun(second));

  // Tool: a message over 2 KB is refused before the tool runs, one below is not.
  const int runs = tool->runs();
  EXPECT_OK(ada.InvokeTool("hold", {{"text", std::string(500, 'x')}}));
  EXPECT_FALSE(ada.InvokeTool("hold", {{"text", std::string(3000, 'x')}}).ok());
  EXPECT_EQ(tool->runs(), runs + 1);

  // Gateway: a body over 4 KB is refused at the edge.
  EXPECT_THAT(ada.Http("POST", "/v1/runs", {{"agent", "agents/chain"}, {"input", {{"x", std::string(5000, 'x')}}}}),
              HasReason("BODY_TOO_LARGE"));
}

TEST(ConfigurationTest, ARestartWithOtherSettingsObeysThemAndKeepsTheData) {
  Covers({"CF-3", "CF-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("big.txt", std::string(20'000, 'a')));

  ASSERT_OK(platform->RestartWith([](HarnessBuilder& builder) {
    builder.Configure(Loaded({{"BULKHEAD_TOOL_MAX_WORKSPACE_BYTES", "10000"}}, {"auth.open_registration=false"}));
  }));

  EXPECT_THAT(ada.ReadFile("big.txt"), IsOkAndHolds(std::string(20'000, 'a')));
  EXPECT_THAT(ada.UploadFile("more.txt", "b"), HasReason(absl::StatusCode::kResourceExhausted, "WORKSPACE_FULL"));
  EXPECT_FALSE(Register(*platform, "eve", "long enough a password").ok());
  EXPECT_OK(ada.SignIn());
}

TEST(ConfigurationTest, UnsafeProductionNamesEveryViolationAndTouchesNothing) {
  Covers({"CF-2", "CF-4"});
  TempDir folder;
  const std::string data = folder.File("data");
  const std::string file = Write(folder, "prod.json",
                                 "{\n  \"environment\": \"production\",\n  \"auth\": {\"scrypt_log_n\": 5},\n"
                                 "  \"gateway\": {\"listen\": \"0.0.0.0:0\"}\n}");

  ASSERT_OK_AND_ASSIGN(const Finished refused, Bulkhead({"serve", "--config", file, "--data", data}));

  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.errors,
              AllOf(HasSubstr("CONFIG_INVALID"), HasSubstr("sealing_key: must be set in production"),
                    HasSubstr("auth.scrypt_log_n: must be 14 or more in production (prod.json:3)"),
                    HasSubstr("gateway.listen: must be a loopback address"), HasSubstr("(prod.json:4)")));
  EXPECT_FALSE(std::filesystem::exists(data));

  // The same in staging is a warning each.
  ASSERT_OK_AND_ASSIGN(const Finished checked,
                       Bulkhead({"config", "check", "--config", file, "--set", "environment=staging", "--json"}));
  EXPECT_EQ(checked.exit_code, 0) << checked.errors;
  const nlohmann::json verdict = nlohmann::json::parse(checked.output);
  EXPECT_TRUE(verdict.at("valid").get<bool>());
  EXPECT_EQ(verdict.at("warnings").size(), 3u) << verdict;
}

TEST(ConfigurationTest, ExplainNamesTheLayerThatSetEachValue) {
  Covers({"CF-1", "CF-5"});
  TempDir folder;
  Write(folder, "base.json", "{\"threads\": 2, \"agent\": {\"max_running\": 7}}");
  const std::string file =
      Write(folder, "site.json", "{\n  \"extends\": \"base.json\",\n  \"agent\": {\"run_timeout\": \"90s\"}\n}");

  ASSERT_OK_AND_ASSIGN(const Finished explained, Bulkhead({"config", "explain", "--config", file, "--set",
                                                           "tool.max_concurrent_calls=3", "--json"},
                                                          {{"BULKHEAD_THREADS", "3"}, {"HOME", folder.path()}}));

  ASSERT_EQ(explained.exit_code, 0) << explained.errors;
  std::map<std::string, std::string> origins;
  const nlohmann::json document = nlohmann::json::parse(explained.output);
  for (const nlohmann::json& field : document.at("fields")) {
    origins[field.at("path")] =
        absl::StrCat(field.at("value").get<std::string>(), " by ", field.at("layer").get<std::string>(), " ",
                     field.at("place").get<std::string>());
  }
  EXPECT_EQ(origins["threads"], "3 by environment BULKHEAD_THREADS");
  EXPECT_EQ(origins["agent.max_running"], "7 by base file base.json:1");
  EXPECT_EQ(origins["agent.run_timeout"], "1m30s by file site.json:3");
  EXPECT_EQ(origins["tool.max_concurrent_calls"], "3 by command line --set");
  EXPECT_EQ(origins["blocking_threads"], "4 by built-in ");
}

// Starts a server on `data` under the sealing key of the variable KEY, and ends it as a person does.
absl::StatusOr<Finished> ServeOnce(const std::string& data, const std::string& key) {
  ChildProcess::Options options = {
      .program = kProgram,
      .arguments = {"serve", "--data", data, "--listen", "127.0.0.1:0", "--set", "sealing_key=env:KEY"},
      .environment = {{"KEY", key}}};
  absl::StatusOr<std::unique_ptr<ChildProcess>> server = ChildProcess::Start(std::move(options));
  if (!server.ok()) {
    return server.status();
  }
  if ((*server)->WaitForLine("listens on").ok()) {
    (*server)->Signal(SIGTERM);
  }
  absl::StatusOr<int> code = (*server)->WaitForExit();
  if (!code.ok()) {
    return code.status();
  }
  return Finished{.exit_code = *code, .output = (*server)->output(), .errors = (*server)->errors()};
}

TEST(ConfigurationTest, TheSealingKeyShowsNeitherInOutputNorInData) {
  Covers({"CF-6"});
  TempDir folder;
  const std::string data = folder.File("data");
  const std::string key = "0123456789abcdefghijklmnopqrstuv";
  const std::string encoded = absl::Base64Escape(key);

  ASSERT_OK_AND_ASSIGN(const Finished served, ServeOnce(data, encoded));

  EXPECT_EQ(served.exit_code, 0) << served.errors;
  const auto shows_nothing = AllOf(Not(HasSubstr(key)), Not(HasSubstr(encoded)));
  EXPECT_THAT(served.output, shows_nothing);
  EXPECT_THAT(served.errors, shows_nothing);
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data)) {
    if (entry.is_regular_file()) {
      ++files;
      EXPECT_THAT(ReadAll(entry.path()), shows_nothing) << entry.path();
    }
  }
  EXPECT_GE(files, 4);  // The services' databases.

  // A key pasted where its reference belongs is refused without being repeated.
  ASSERT_OK_AND_ASSIGN(const Finished pasted, Bulkhead({"config", "check", "--set", "sealing_key=" + encoded}));
  EXPECT_EQ(pasted.exit_code, 2);
  EXPECT_THAT(pasted.errors, AllOf(HasSubstr("sealing_key: must be `file:PATH` or `env:NAME`"), shows_nothing));
  EXPECT_THAT(pasted.output, shows_nothing);
}

TEST(ConfigurationTest, DataSealedUnderAnotherKeyIsRefusedAndLeftAsItIs) {
  Covers({"CF-6", "AU-6"});
  TempDir folder;
  const std::string data = folder.File("data");
  const std::string key = absl::Base64Escape(std::string(32, 'a'));
  ASSERT_OK_AND_ASSIGN(const Finished first, ServeOnce(data, key));
  ASSERT_EQ(first.exit_code, 0) << first.errors;

  ASSERT_OK_AND_ASSIGN(const Finished other, ServeOnce(data, absl::Base64Escape(std::string(32, 'b'))));
  EXPECT_NE(other.exit_code, 0);
  EXPECT_THAT(other.errors, HasSubstr("SEALED_DATA_INVALID"));
  ASSERT_OK_AND_ASSIGN(const Finished absent, ServeOnce(data, " "));
  EXPECT_THAT(absent.errors, HasSubstr("SECRET_NOT_FOUND"));

  ASSERT_OK_AND_ASSIGN(const Finished again, ServeOnce(data, key));
  EXPECT_EQ(again.exit_code, 0) << again.errors;
}

}  // namespace
}  // namespace bulkhead::testing
