// What runs ask, and what their users answer, at the terminal.
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/cli_fixture.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"
#include "testing/harness/child_process.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;
using testing::Finished;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ApprovalsTest : public ServerTest {
 protected:
  // Signs in and makes the agent `asker`, whose calls of file.write are asked for, as many as there are texts.
  void Begin() {
    ASSERT_EQ(Login().exit_code, 0);
    std::ofstream(home_.File("asker.json")) << R"json(
        {"name": "agents/asker", "description": "Asks before it writes.", "plan": {
            "nodes": [{"id": "write", "tool": "tools/file.write", "forEach": "input.texts", "parallelism": 2,
                       "approval": true, "question": "Write it?",
                       "arguments": {"file": "=join('', [item, '.txt'])", "text": "=item"}}],
            "result": "length(write)"}})json";
    const Finished made = At({"agents", "create", "asker.json"});
    ASSERT_EQ(made.exit_code, 0) << made.errors;
  }

  // The name of a run that asks about these, when it does.
  std::string Ask(const json& texts) {
    const Finished started = At({"run", "asker", "--input", json({{"texts", texts}}).dump(), "--detach", "--json"});
    EXPECT_EQ(started.exit_code, 0) << started.errors;
    const std::string run = json::parse(started.output).at("name");
    EXPECT_OK(testing::WaitFor([&] { return Asked(run).size() == texts.size(); }, "the run's questions"));
    return run;
  }

  json Asked(const std::string& run) {
    return json::parse(At({"approvals", "list", run, "--json"}).output, nullptr, /*allow_exceptions=*/false)
        .value("approvals", json::array());
  }

  json Ended(const std::string& run) {
    At({"watch", run});
    return json::parse(At({"runs", "show", run, "--json"}).output, nullptr, /*allow_exceptions=*/false);
  }
};

TEST_F(ApprovalsTest, QuestionIsShownWithItsCallAndAllowedByItsRun) {
  Begin();
  const std::string run = Ask({"hello"});
  const Finished shown = At({"approvals"});
  EXPECT_THAT(shown.output, HasSubstr("Write it?"));
  EXPECT_THAT(shown.output, HasSubstr(R"(file.write {"file":"hello.txt","text":"hello"})"));
  const Finished allowed = At({"approvals", "allow", run});
  ASSERT_EQ(allowed.exit_code, 0) << allowed.errors;
  EXPECT_THAT(allowed.output, HasSubstr("Allowed: Write it?"));
  EXPECT_THAT(Ended(run).dump(), HasSubstr("RUN_STATE_SUCCEEDED"));
  EXPECT_THAT(At({"files", "list"}).output, HasSubstr("hello.txt"));
  EXPECT_THAT(At({"approvals"}).output, IsEmpty());
}

TEST_F(ApprovalsTest, OneOfTwoIsAnsweredByItsNameWithOtherArguments) {
  Begin();
  const std::string run = Ask({"one", "two"});
  const json asked = Asked(run);
  const Finished which = At({"approvals", "allow", run, "--json"});
  EXPECT_EQ(which.exit_code, 2);
  EXPECT_THAT(which.errors, HasSubstr(asked.at(1).at("name").get<std::string>())) << "it says which there are";
  EXPECT_EQ(At({"approvals", "allow", asked.at(0).at("name"), "--arguments", "[1]"}).exit_code, 2);
  EXPECT_THAT(Asked(run), SizeIs(2)) << "nothing was decided";

  ASSERT_EQ(At({"approvals", "allow", asked.at(0).at("name"), "--arguments", R"({"file": "other.txt", "text": "x"})"})
                .exit_code,
            0);
  ASSERT_EQ(At({"approvals", "allow", run}).exit_code, 0) << "one is left";
  EXPECT_THAT(Ended(run).dump(), HasSubstr("RUN_STATE_SUCCEEDED"));
  EXPECT_THAT(At({"files", "list"}).output, HasSubstr("other.txt"));
}

TEST_F(ApprovalsTest, DeniedCallIsNotMadeAndNobodyAnswersTwice) {
  Begin();
  const std::string run = Ask({"never"});
  const std::string approval = Asked(run).at(0).at("name");
  ASSERT_EQ(At({"approvals", "deny", run, "--comment", "not today"}).exit_code, 0);
  EXPECT_THAT(Ended(run).dump(), HasSubstr("RUN_STATE_FAILED"));
  EXPECT_THAT(At({"files", "list"}).output, ::testing::Not(HasSubstr("never.txt")));
  for (const std::string& what : {run, approval, absl::StrCat(run, "/approvals/approval-none")}) {
    const Finished again = At({"approvals", "allow", what, "--json"});
    EXPECT_EQ(again.exit_code, 5) << what;
    EXPECT_THAT(again.errors, HasSubstr("NOTHING_ASKED")) << what;
  }
  EXPECT_EQ(At({"approvals", "allow", "run-no-such"}).exit_code, 5);
}

}  // namespace
}  // namespace bulkhead::cli
