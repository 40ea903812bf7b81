// The commands of agents, at a server: definitions as JSON and as textproto, from a check to a run.
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/cli_fixture.h"
#include "testing/base/requirements.h"
#include "testing/harness/child_process.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::Covers;
using testing::Finished;
using ::testing::HasSubstr;
using ::testing::Not;

class AgentsCommandTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    ASSERT_EQ(Login().exit_code, 0);
  }

  void Write(const std::string& name, const std::string& text) const { std::ofstream(home_.File(name)) << text; }

  json Json(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Finished finished = At(arguments);
    EXPECT_EQ(finished.exit_code, 0) << finished.errors;
    return json::parse(finished.output, nullptr, /*allow_exceptions=*/false);
  }
};

TEST_F(AgentsCommandTest, DefinitionGoesFromItsFileToARunOfIt) {
  Covers({"RF-1"});
  // The example of docs/plans.md.
  const std::string example = ReadText("docs/examples/largest_groups.json");
  Write("plan.json", example);
  Write("sales.csv", "region,amount\nNorth,5\nSouth,7\nNorth,9\n");
  EXPECT_EQ(At({"agents", "check", "plan.json"}).exit_code, 0);
  EXPECT_THAT(At({"agents"}).output, Not(HasSubstr("largest-groups")));
  EXPECT_THAT(At({"agents", "create", "plan.json"}).output, HasSubstr("largest-groups, version 1"));
  EXPECT_EQ(At({"agents", "create", "plan.json"}).exit_code, 1);
  EXPECT_EQ(At({"agents", "check", "plan.json"}).exit_code, 0) << "as the next version";
  EXPECT_THAT(At({"agents", "list"}).output, AllOf(HasSubstr("analyst"), HasSubstr("largest-groups")));
  EXPECT_EQ(Json({"agents", "show", "largest-groups"}).at("plan"), json::parse(example).at("plan"));

  json changed = json::parse(example);
  changed["description"] = "Better.";
  changed["plan"]["nodes"].erase(4);
  changed["plan"]["result"] = "groups.rows";
  Write("plan.json", changed.dump());
  EXPECT_THAT(At({"agents", "update", "plan.json"}).output, HasSubstr("version 2"));
  ASSERT_EQ(At({"files", "put", "sales.csv"}).exit_code, 0);
  const Finished run =
      At({"run", "largest-groups", "--input", R"({"file": "sales.csv", "column": "region"})", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr(R"("data":{"value":[["North",2],["South",1]]})"));
  EXPECT_EQ(At({"agents", "delete", "largest-groups"}).exit_code, 0);
  EXPECT_EQ(At({"agents", "show", "largest-groups"}).exit_code, 5);
}

TEST_F(AgentsCommandTest, TextprotoIsTakenToo) {
  Covers({"RF-1"});
  Write("list.textproto", R"text(# A plan of one node.
      name: "agents/lister"
      description: "Lists the tables."
      plan { nodes { id: "list" tool: "tools/table.list" } result: "length(list.tables)" })text");
  EXPECT_THAT(At({"agents", "create", "list.textproto"}).output, HasSubstr("lister, version 1"));
  const Finished run = At({"run", "lister", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  Write("bad.textproto", "name: \"agents/x\"\nplan { nodes { idd: \"list\" } }");
  const Finished bad = At({"agents", "check", "bad.textproto"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.errors, AllOf(HasSubstr("INPUT_INVALID"), HasSubstr("line 2")));
}

TEST_F(AgentsCommandTest, EveryProblemIsPrintedWithItsPlace) {
  Covers({"RF-1"});
  Write("bad.json", R"({"name": "agents/bad", "description": "Bad.", "plan": {"nodes": [
      {"id": "a", "tool": "tools/nobody.knows", "arguments": {"x": "=b.c"}}]}})");
  const Finished bad = At({"agents", "check", "bad.json"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.errors, AllOf(HasSubstr("plan.nodes[0].arguments/x: 'b' is neither input nor a node"),
                                HasSubstr("AGENT_INVALID")));
  EXPECT_EQ(At({"agents", "create", "nowhere.json"}).exit_code, 2);
}

}  // namespace
}  // namespace bulkhead::cli
