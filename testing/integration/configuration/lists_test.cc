// Lists in the configuration, from a file to what they change: a provider that people sign in with, a client that gets
// tokens; and the secrets of both, which show nowhere.
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/browser.h"
#include "testing/harness/child_process.h"
#include "testing/harness/openid_provider.h"

namespace bulkhead::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kClientsSecret[] = "the reports program's own secret";

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

class ListsTest : public ::testing::Test {
 protected:
  ChildProcess::Options Command(std::vector<std::string> arguments) const {
    return {
        .program = std::filesystem::absolute("services/bulkhead/bulkhead").string(),
        .arguments = std::move(arguments),
        .environment = {{"HOME", folder_.path()}, {"CORP_SECRET", kClientSecret}, {"REPORTS_SECRET", kClientsSecret}},
        .folder = folder_.path()};
  }

  Finished Bulkhead(std::vector<std::string> arguments) const {
    absl::StatusOr<Finished> finished = RunToEnd(Command(std::move(arguments)));
    EXPECT_OK(finished);
    return finished.ok() ? *std::move(finished) : Finished{};
  }

  // A configuration with this issuer, on cheap hashes.
  std::string Write(const std::string& issuer) const {
    const json config = {
        {"environment", "test"},
        {"auth",
         {{"scrypt_log_n", 4},
          {"providers",
           {{{"id", "corp"},
             {"display_name", "Corp"},
             {"issuer", issuer},
             {"client_id", kClientId},
             {"client_secret", "env:CORP_SECRET"},
             {"allow_sign_up", true},
             {"allow_insecure_http", true}}}},
          {"clients",
           {{{"id", "reports"}, {"secret", "env:REPORTS_SECRET"}, {"permissions", {"token:all:introspect"}}}}}}}};
    std::ofstream(folder_.File("site.json")) << config.dump(2);
    return folder_.File("site.json");
  }

  TempDir folder_;
};

TEST_F(ListsTest, EachViolationOfEveryElementIsToldAndNothingIsTouched) {
  Covers({"CF-2", "CF-4", "CF-6"});
  std::ofstream(folder_.File("bad.json")) << R"({
  "environment": "production", "sealing_key": "env:KEY",
  "auth": {"providers": [
    {"id": "corp", "issuer": "http://id.example", "client_id": "x", "allow_insecure_http": true,
     "redirect_uris": ["https://a.example/back"]},
    {"id": "corp", "issuer": "https://id.example", "client_id": "x", "client_secret": "hunter2-hunter2"}
  ],
  "clients": [{"id": "agent", "secret": "env:X", "permissions": ["all"]}]}
})";
  const Finished refused = Bulkhead({"serve", "--config", "bad.json", "--data", "data"});

  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(
      refused.errors,
      AllOf(HasSubstr("auth.providers[0].allow_insecure_http: must not be true in production (bad.json:4)"),
            HasSubstr("auth.providers[1].id: must not be the id of another element (bad.json:6)"),
            HasSubstr(
                "auth.providers[1].client_secret: must be `file:PATH` or `env:NAME`, not a secret itself (bad.json:6)"),
            HasSubstr("auth.clients[0].id: must not be the name of a service of the platform (bad.json:8)"),
            HasSubstr("auth.clients[0].permissions: each item must be `<resource>:<which>:<verb>`"),
            Not(HasSubstr("hunter2"))));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("data")));
}

TEST_F(ListsTest, AProviderOfTheFileSignsInFromTheCommandLineAndItsSecretShowsNowhere) {
  Covers({"CF-2", "CF-6", "AU-2"});
  ASSERT_OK_AND_ASSIGN(const auto provider,
                       OpenIdProvider::Start({.accounts = {{"ada", {{"email", "ada@a.example"}}}}}));
  const std::string file = Write(provider->issuer());
  const Finished explained = Bulkhead({"config", "explain", "--config", file});
  EXPECT_THAT(explained.output, AllOf(HasSubstr("auth.providers[0].client_secret"), HasSubstr("env:CORP_SECRET"),
                                      HasSubstr("auth.clients[0].id"), Not(HasSubstr(kClientSecret))));

  auto started =
      ChildProcess::Start(Command({"serve", "--config", file, "--json", "--data", "data", "--listen", "127.0.0.1:0"}));
  ASSERT_OK(started);
  ChildProcess& server = **started;
  ASSERT_OK_AND_ASSIGN(const std::string line, server.WaitForLine("url"));
  const std::string url = json::parse(line).at("url");

  auto login = ChildProcess::Start(Command({"login", "--provider", "corp", "--json", "--server", url}));
  ASSERT_OK(login);
  ASSERT_OK_AND_ASSIGN(const std::string told, (*login)->WaitForLine("authorizationUri"));
  Browser browser;
  ASSERT_OK_AND_ASSIGN(Browser::Page page, browser.Get(json::parse(told).at("authorizationUri").get<std::string>()));
  ASSERT_OK_AND_ASSIGN(page, ClickThrough(browser, std::move(page), "ada"));
  EXPECT_THAT(page.body, HasSubstr("Back to the terminal"));
  EXPECT_THAT((*login)->WaitForExit(), IsOkAndHolds(0)) << (*login)->errors();

  const Finished sessions = Bulkhead({"sessions", "list", "--json", "--server", url});
  ASSERT_EQ(sessions.exit_code, 0) << sessions.errors;
  EXPECT_EQ(json::parse(sessions.output).at("sessions").at(0).at("method"), "providers/corp");

  server.Signal(SIGTERM);
  ASSERT_OK(server.WaitForExit());
  const auto shows_nothing = AllOf(Not(HasSubstr(kClientSecret)), Not(HasSubstr(kClientsSecret)));
  EXPECT_THAT(server.output(), shows_nothing);
  EXPECT_THAT(server.errors(), shows_nothing);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.File("data"))) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(ReadAll(entry.path()), shows_nothing) << entry.path();
    }
  }
}

TEST_F(ListsTest, ASecretThatIsNotThereKeepsTheServerFromStarting) {
  Covers({"CF-2", "CF-6"});
  const std::string file = Write("http://127.0.0.1:1");
  ChildProcess::Options options = Command({"serve", "--config", file, "--data", "data", "--listen", "127.0.0.1:0"});
  options.environment.erase("REPORTS_SECRET");
  ASSERT_OK_AND_ASSIGN(const Finished refused, RunToEnd(std::move(options)));
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("SECRET_NOT_FOUND"), HasSubstr("env:REPORTS_SECRET")));

  options = Command({"serve", "--config", file, "--data", "data", "--listen", "127.0.0.1:0"});
  options.environment["REPORTS_SECRET"] = "short";
  ASSERT_OK_AND_ASSIGN(const Finished weak, RunToEnd(std::move(options)));
  EXPECT_NE(weak.exit_code, 0);
  EXPECT_THAT(weak.errors, AllOf(HasSubstr("service_accounts.reports.secret"), Not(HasSubstr("short"))));

  // A file of breached passwords that is none is told before anybody chooses one by it.
  std::ofstream(folder_.File("list.txt")) << "password\n";
  const Finished malformed = Bulkhead({"serve", "--config", file, "--data", "data", "--listen", "127.0.0.1:0", "--set",
                                       "auth.breached_passwords=list.txt"});
  EXPECT_EQ(malformed.exit_code, 2);
  EXPECT_THAT(malformed.errors, AllOf(HasSubstr("BREACHED_PASSWORDS_INVALID"), HasSubstr("list.txt")));
}

}  // namespace
}  // namespace bulkhead::testing
