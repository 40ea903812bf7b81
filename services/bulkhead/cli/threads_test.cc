// Threads, and what can be done to a run, as the program's users meet them.
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/cli_fixture.h"
#include "testing/base/matchers.h"
#include "testing/base/resource_name.h"
#include "testing/harness/child_process.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;
using testing::Finished;
using testing::IdOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

json LastLine(const Finished& finished) {
  const std::vector<std::string> lines = absl::StrSplit(finished.output, '\n', absl::SkipEmpty());
  return lines.empty() ? json() : json::parse(lines.back(), nullptr, /*allow_exceptions=*/false);
}

std::string ReasonIn(const Finished& finished) {
  const json error = json::parse(finished.errors, nullptr, /*allow_exceptions=*/false);
  return error.is_object() ? error.at("error").value("reason", "") : finished.errors;
}

TEST_F(ServerTest, ThreadsAreKeptAndRunsStartInThem) {
  ASSERT_EQ(Login().exit_code, 0);
  const Finished made = At({"threads", "create", "--title", "Sales", "--busy", "queue", "--request-id", "r", "--json"});
  ASSERT_EQ(made.exit_code, 0) << made.errors;
  const std::string thread = LastLine(made).at("name");
  EXPECT_EQ(LastLine(At({"threads", "create", "--request-id", "r", "--json"})).at("name"), thread);
  EXPECT_THAT(At({"threads"}).output, HasSubstr("Sales"));
  EXPECT_EQ(At({"threads", "create", "--busy", "shout"}).exit_code, 2);
  EXPECT_EQ(At({"threads", "update", thread}).exit_code, 2) << "nothing to change";
  const Finished updated = At({"threads", "update", thread, "--busy", "replace", "--json"});
  ASSERT_EQ(updated.exit_code, 0) << updated.errors;
  EXPECT_EQ(LastLine(updated).at("busyPolicy"), "BUSY_POLICY_CANCEL_AND_REPLACE");
  EXPECT_EQ(LastLine(updated).at("title"), "Sales");

  std::ofstream(home_.File("t.csv")) << "a,b\n1,x\n2,y\n3,x\n";
  ASSERT_EQ(At({"files", "put", "t.csv"}).exit_code, 0);
  const std::string id = IdOf(thread);
  const Finished run =
      At({"run", "analyst", "--input", R"({"file": "t.csv"})", "--thread", id, "--busy", "refuse", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_EQ(LastLine(run).at("thread"), thread);
  ASSERT_EQ(At({"run", "analyst", "--input", R"({"file": "t.csv"})"}).exit_code, 0);
  EXPECT_THAT(LastLine(At({"runs", "list", "--thread", id, "--json"})).at("runs"), SizeIs(1));
  const json shown = LastLine(At({"threads", "show", id, "--json"}));
  EXPECT_EQ(shown.at("thread").at("name"), thread);
  EXPECT_EQ(shown.at("runs").at(0).at("name"), LastLine(run).at("name"));
  EXPECT_EQ(At({"run", "analyst", "--input", R"({"file": "t.csv"})", "--thread", "thread-no-such"}).exit_code, 5);

  EXPECT_EQ(At({"threads", "delete", id}).exit_code, 0);
  EXPECT_EQ(At({"threads", "show", id}).exit_code, 5);
  EXPECT_EQ(At({"runs", "show", LastLine(run).at("name").get<std::string>()}).exit_code, 0) << "its runs stay";
}

TEST_F(ServerTest, EndedRunIsRepeatedAndDeletedAndNothingElse) {
  ASSERT_EQ(Login().exit_code, 0);
  std::ofstream(home_.File("t.csv")) << "a,b\n1,x\n2,y\n3,x\n";
  ASSERT_EQ(At({"files", "put", "t.csv"}).exit_code, 0);
  const Finished run = At({"run", "analyst", "--input", R"({"file": "t.csv"})", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const std::string name = LastLine(run).at("name");

  for (const auto& [verb, reason] : {std::pair("interrupt", "RUN_ENDED"), std::pair("resume", "RUN_NOT_INTERRUPTED")}) {
    const Finished refused = At({"runs", verb, name, "--json"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_EQ(ReasonIn(refused), reason);
  }
  const Finished retried = At({"runs", "retry", name, "--request-id", "again", "--json"});
  ASSERT_EQ(retried.exit_code, 0) << retried.errors;
  EXPECT_EQ(LastLine(retried).at("state"), "RUN_STATE_SUCCEEDED");
  EXPECT_NE(LastLine(retried).at("name"), name);
  const Finished repeated = At({"runs", "retry", name, "--request-id", "again", "--detach", "--json"});
  EXPECT_EQ(LastLine(repeated).at("name"), LastLine(retried).at("name"));

  EXPECT_EQ(At({"runs", "delete", name}).exit_code, 0);
  EXPECT_EQ(At({"runs", "show", name}).exit_code, 5);
  EXPECT_EQ(At({"runs", "delete", name}).exit_code, 5);
  EXPECT_EQ(At({"runs", "retry", name}).exit_code, 5);
}

}  // namespace
}  // namespace bulkhead::cli
