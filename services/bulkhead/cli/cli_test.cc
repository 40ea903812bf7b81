// The program as its users meet it: as a process, by its output and exit codes.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/cli_fixture.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"
#include "testing/harness/child_process.h"

namespace bulkhead::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using testing::Finished;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(CliTest, UsageIsExplainedAndWrongUsageIsCode2) {
  EXPECT_EQ(Run({"version"}).exit_code, 0);
  EXPECT_THAT(Run({"--help"}).output, HasSubstr("analyze"));
  EXPECT_EQ(Run({}).exit_code, 2);
  EXPECT_EQ(Run({"run", "analyst", "--input", "[1]", "--server", "http://127.0.0.1:1"}).exit_code, 2);
  const Finished unknown = Run({"serve", "--data", "data", "--set", "agent.max_runing=8"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.errors, HasSubstr("agent.max_runing"));
}

TEST_F(CliTest, UnknownCommandIsNamedWithTheNearestOnesAndHelp) {
  const Finished nonsense = Run({"nonsense"});
  EXPECT_EQ(nonsense.exit_code, 2);
  EXPECT_THAT(nonsense.errors, HasSubstr("there is no command 'nonsense'"));
  EXPECT_THAT(nonsense.errors, Not(HasSubstr("did you mean")));
  EXPECT_THAT(nonsense.errors, HasSubstr("bulkhead --help"));
  EXPECT_EQ(nonsense.output, "");
  EXPECT_THAT(Run({"analyse", "t.csv"}).errors, HasSubstr("'analyse': did you mean 'analyze'?"));
  EXPECT_THAT(Run({"ru"}).errors, HasSubstr("did you mean 'run' or 'runs'?"));
}

TEST_F(CliTest, UnknownCommandIsNamedWhereItStands) {
  const Finished nested = Run({"runs", "nonsense"});
  EXPECT_EQ(nested.exit_code, 2);
  EXPECT_THAT(nested.errors, HasSubstr("there is no command 'runs nonsense'"));
  EXPECT_THAT(nested.errors, HasSubstr("bulkhead runs --help"));
  EXPECT_THAT(Run({"runs", "lsit"}).errors, HasSubstr("did you mean 'runs list'?"));
  // The word before a command is not one after it.
  EXPECT_THAT(Run({"nonsense", "runs"}).errors, HasSubstr("there is no command 'nonsense'"));
  const Finished required = Run({"config", "chek", "--json"});
  EXPECT_EQ(required.exit_code, 2);
  EXPECT_EQ(required.output, "");
  const json error = json::parse(required.errors).at("error");
  EXPECT_EQ(error.at("reason"), "COMMAND_UNKNOWN");
  EXPECT_EQ(error.at("metadata"), json({{"word", "chek"}}));
}

TEST_F(CliTest, LineThatIsNotUnderstoodIsToldAsJsonWhereJsonIsWanted) {
  for (const std::vector<std::string>& line :
       std::vector<std::vector<std::string>>{{"--json", "runs", "show"},
                                             {"runs", "list", "--nonsense", "--json"},
                                             {"runs", "list", "--limit", "x", "--json"}}) {
    const Finished finished = Run(line);
    EXPECT_EQ(finished.exit_code, 2) << finished.errors;
    EXPECT_EQ(finished.output, "");
    const json told = json::parse(finished.errors, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(told.is_object()) << finished.errors;
    EXPECT_EQ(told.at("error").at("reason"), "COMMAND_LINE_INVALID");
    EXPECT_EQ(told.at("error").at("code"), "INVALID_ARGUMENT");
  }
}

TEST_F(CliTest, WordTooManyForACommandIsNoCommand) {
  const Finished finished = Run({"runs", "list", "nonsense"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.errors, HasSubstr("nonsense"));
  EXPECT_THAT(finished.errors, Not(HasSubstr("there is no command")));
}

TEST_F(CliTest, ConfigurationIsCheckedAndExplained) {
  EXPECT_EQ(Run({"config", "check", "--set", "agent.max_running=8"}).exit_code, 0);
  EXPECT_EQ(Run({"config", "check", "--set", "agent.max_running=0"}).exit_code, 2);
  const Finished explained = Run({"config", "explain", "--json", "--set", "agent.max_running=8"});
  ASSERT_EQ(explained.exit_code, 0) << explained.errors;
  bool found = false;
  const json explanation = json::parse(explained.output);
  for (const json& field : explanation.at("fields")) {
    if (field.at("path") == "agent.max_running") {
      found = true;
      EXPECT_EQ(field.at("value"), "8");
      EXPECT_THAT(field.at("place").get<std::string>(), HasSubstr("--set"));
    }
  }
  EXPECT_TRUE(found);
}

TEST_F(CliTest, WithoutServerOrSignInTheCodeTellsWhich) {
  EXPECT_EQ(Run({"runs", "--server", "http://127.0.0.1:1"}).exit_code, 4);
  EXPECT_EQ(Run({"login", "--login", "ada", "--password-stdin", "--server", "http://127.0.0.1:1"}, "x\n").exit_code, 3);
  const Finished missing = Run({"analyze", "nowhere.csv", "--json"});
  EXPECT_EQ(missing.exit_code, 5);
  EXPECT_EQ(json::parse(missing.errors).at("error").at("reason"), "LOCAL_FILE_UNREADABLE");
}

TEST_F(ServerTest, WhoSaysNoServerIsToldWhereHeIsSignedIn) {
  ASSERT_EQ(Login().exit_code, 0);
  const Finished finished = Run({"runs"});
  EXPECT_EQ(finished.exit_code, 4);
  EXPECT_THAT(finished.errors, AllOf(HasSubstr("NOT_SIGNED_IN"), HasSubstr("one where you are signed in: " + url_)));
}

TEST_F(ServerTest, OneUserWorksAtAServer) {
  const Finished login = Login();
  ASSERT_EQ(login.exit_code, 0) << login.errors;
  struct stat credentials;
  ASSERT_EQ(stat(home_.File(".config/bulkhead/credentials.json").c_str(), &credentials), 0);
  EXPECT_EQ(credentials.st_mode & 0777, 0600u);
  EXPECT_EQ(At({"login", "--login", "ada", "--password-stdin"}, "wrong horse battery\n").exit_code, 4);

  std::ofstream(home_.File("t.csv")) << "a,b\n1,x\n2,y\n3,x\n";
  EXPECT_EQ(At({"files", "put", "t.csv"}).exit_code, 0);
  EXPECT_THAT(At({"files", "list"}).output, HasSubstr("t.csv"));
  const Finished loaded = At({"tools", "invoke", "table.load", "--input", R"({"file": "t.csv"})", "--json"});
  ASSERT_EQ(loaded.exit_code, 0) << loaded.errors;
  EXPECT_EQ(json::parse(loaded.output).at("output").at("rows"), 3);
  EXPECT_EQ(At({"tools", "show", "no.such.tool"}).exit_code, 5);
  EXPECT_THAT(At({"tools", "list"}).output, HasSubstr("table.load"));

  const Finished run = At({"run", "analyst", "--input", R"({"file": "t.csv"})", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  std::string last;
  for (const std::string_view line : absl::StrSplit(run.output, '\n', absl::SkipEmpty())) {
    ASSERT_TRUE(json::accept(line)) << line;
    last = line;
  }
  const std::string name = json::parse(last).at("name");
  EXPECT_EQ(json::parse(last).at("state"), "RUN_STATE_SUCCEEDED");
  EXPECT_THAT(At({"runs", "list"}).output, HasSubstr("succeeded"));
  EXPECT_EQ(At({"runs", "show", name}).exit_code, 0);
  EXPECT_THAT(At({"watch", name}).output, HasSubstr("agent_completed"));
  EXPECT_EQ(At({"cancel", name}).exit_code, 1);  // It has ended.
  EXPECT_EQ(At({"runs", "show", "run-no-such"}).exit_code, 5);
  EXPECT_EQ(At({"run", "no-such-agent", "--input", "{}"}).exit_code, 5);
}

TEST_F(ServerTest, StopsCleanlyAndComesBackWithItsData) {
  ASSERT_EQ(Login().exit_code, 0);
  const Finished second = Run({"serve", "--data", "data", "--listen", "127.0.0.1:0"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.errors, HasSubstr("DATA_DIR_IN_USE"));

  server_->Signal(SIGTERM);
  ASSERT_OK_AND_ASSIGN(const int exit_code, server_->WaitForExit());
  EXPECT_EQ(exit_code, 0) << server_->errors();

  SetUp();
  EXPECT_EQ(At({"login", "--login", "ada", "--password-stdin"}, "correct horse battery\n").exit_code, 0);
}

class ClosedServerTest : public ServerTest {
 protected:
  ClosedServerTest() : ServerTest({"--set", "auth.open_registration=false", "--admin", "root", "--log-calls"}) {}
};

TEST_F(ClosedServerTest, OnlyTheAdministratorRegisters) {
  const Finished refused = Login("bob");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.errors, HasSubstr("REGISTRATION_CLOSED"));
  EXPECT_EQ(Login("root").exit_code, 0);
  EXPECT_EQ(At({"users", "list"}).exit_code, 0);
}

TEST_F(ClosedServerTest, CallsAreLoggedWithoutSecrets) {
  ASSERT_EQ(Login("root").exit_code, 0);
  EXPECT_EQ(At({"login", "--login", "root", "--password-stdin"}, "wrong horse battery\n").exit_code, 4);
  ASSERT_OK(testing::WaitFor(
      [&] { return absl::StrContains(server_->errors(), "code=UNAUTHENTICATED reason=CREDENTIALS_INVALID"); },
      "the refused sign-in in the log"));
  EXPECT_THAT(server_->errors(), AllOf(HasSubstr("bulkhead.auth.v1.SessionService/SignIn"),
                                       HasSubstr("code=OK reason=- duration="), Not(HasSubstr("horse battery"))));
}

TEST_F(CliTest, OddFilesAreAnalysedOrRefusedWithTheirLine) {
  Finished finished = Analyze("empty.csv", "");
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("TABLE_FILE_EMPTY"));

  finished = Analyze("ragged.csv", "a,b\n1,2\n3\n");
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("TABLE_ROW_RAGGED"));
  EXPECT_THAT(finished.errors, HasSubstr("line 3"));

  finished = Analyze("latin.csv", "name\nM\xfcller\n");
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("line 2"));

  // A byte-order mark, quotes and newlines in fields, thousands separators, dates, missing values, duplicate headers.
  finished = Analyze("odd.csv",
                     "\xef\xbb\xbf"
                     "Name,Sales,Day,name\n\"A "
                     "\"\"quoted\"\"\nname\",\"1,200\",2024-01-31,x\nB,,2024-02-29,y\nC,\"3,400\",2024-03-01,x\n");
  ASSERT_EQ(finished.exit_code, 0) << finished.errors;
  EXPECT_THAT(Report(), HasSubstr("Sales"));
  EXPECT_THAT(Report(), Not(HasSubstr("\xef\xbb\xbf")));

  std::string wide;
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 500; ++column) {
      absl::StrAppend(&wide, column == 0 ? "" : ",", row == 0 ? "c" : "", column + row);
    }
    wide += "\n";
  }
  finished = Analyze("wide.csv", wide);
  EXPECT_EQ(finished.exit_code, 0) << finished.errors;
  // Not printed when it fails: it is long.
  EXPECT_TRUE(Report().find("500 columns") != std::string::npos);
}

TEST_F(CliTest, TheDemonstrationShowsTwoUsersAndLeavesTheirReports) {
  const Finished finished = Run({"demo"});

  ASSERT_EQ(finished.exit_code, 0) << finished.output << finished.errors;
  for (const char* user : {"ada", "bob"}) {
    EXPECT_THAT(finished.output, HasSubstr(absl::StrCat("bulkhead-demo/", user, "/report.md")));
    EXPECT_GT(ReadText(home_.File(absl::StrCat("bulkhead-demo/", user, "/report.md"))).size(), 1000u);
  }
  EXPECT_THAT(finished.output, HasSubstr("agent_completed"));
  // What was temporary is gone.
  for (const auto& entry : fs::directory_iterator(home_.path())) {
    EXPECT_EQ(entry.path().filename().string(), "bulkhead-demo");
  }
}

}  // namespace
}  // namespace bulkhead::cli
