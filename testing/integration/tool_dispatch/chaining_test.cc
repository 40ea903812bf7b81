// Tools that are found, work together, and tell of their progress; and users who do not meet.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using agent::v1::RUN_STATE_SUCCEEDED;
using tool::v1::FileService;
using tool::v1::ToolService;

constexpr char kAnyObject[] = R"({"type": "object"})";

std::vector<std::string> NamesOf(const std::vector<tool::v1::Tool>& tools) {
  std::vector<std::string> names;
  for (const tool::v1::Tool& tool : tools) {
    names.push_back(tool.name());
  }
  return names;
}

TEST(ToolDiscoveryTest, ListPagesThroughAllToolsOnceInOrder) {
  Covers({"TD-1"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  std::vector<std::string> names;
  tool::v1::ListToolsRequest request;
  request.set_page_size(2);
  do {
    ASSERT_OK_AND_ASSIGN(const tool::v1::ListToolsResponse page,
                         Call<ToolService>(ada, &ToolService::Stub::ListTools, request));
    EXPECT_LE(page.tools_size(), 2);
    for (const tool::v1::Tool& tool : page.tools()) {
      names.push_back(tool.name());
      EXPECT_EQ(tool.input_schema().fields().at("type").string_value(), "object") << tool.name();
      EXPECT_NE(tool.repeat_policy(), tool::v1::REPEAT_POLICY_UNSPECIFIED) << tool.name();
      EXPECT_FALSE(tool.description().empty()) << tool.name();
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("tools/chart.render", "tools/file.list", "tools/file.read", "tools/file.write",
                                 "tools/table.drop", "tools/table.list", "tools/table.load", "tools/table.profile",
                                 "tools/table.query"));

  ASSERT_OK_AND_ASSIGN(const std::vector<tool::v1::Tool> found, ada.ListTools("CSV types"));
  EXPECT_THAT(NamesOf(found), ElementsAre("tools/table.load"));
  // A token is of one list: another query, or another user, cannot go on with it.
  request.set_page_token("");
  ASSERT_OK_AND_ASSIGN(const tool::v1::ListToolsResponse first,
                       Call<ToolService>(ada, &ToolService::Stub::ListTools, request));
  request.set_page_token(first.next_page_token());
  EXPECT_THAT(Call<ToolService>(platform->As("bob"), &ToolService::Stub::ListTools, request),
              HasReason("PAGE_TOKEN_INVALID"));
}

TEST(ToolDiscoveryTest, NewerVersionTakesOverAndToolOfOneUserIsInvisibleToOthers) {
  Covers({"TD-1", "RF-2"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  auto versioned = [](std::string version, std::string owner = "") {
    return std::make_shared<CountingTool>(tool::ToolSpec{.name = owner.empty() ? "shared" : "private",
                                                         .version = std::move(version),
                                                         .description = "Counts.",
                                                         .input_schema = kAnyObject,
                                                         .output_schema = kAnyObject,
                                                         .owner = owner});
  };
  auto old_one = versioned("1.9.0");
  auto new_one = versioned("1.10.0");
  auto private_one = versioned("1.0.0", platform->As("ada").id());
  ASSERT_OK(platform->RestartWith(
      [&](HarnessBuilder& builder) { builder.WithTool(new_one).WithTool(old_one).WithTool(private_one); }));
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");

  tool::v1::GetToolRequest get;
  get.set_name("tools/shared");
  ASSERT_OK_AND_ASSIGN(tool::v1::Tool tool, Call<ToolService>(ada, &ToolService::Stub::GetTool, get));
  EXPECT_EQ(tool.version(), "1.10.0");
  get.set_name("tools/shared@1.9.0");
  EXPECT_OK(Call<ToolService>(ada, &ToolService::Stub::GetTool, get));
  EXPECT_OK(ada.InvokeTool("shared", json::object()));
  EXPECT_EQ(new_one->runs(), 1);
  EXPECT_EQ(old_one->runs(), 0);

  EXPECT_OK(ada.InvokeTool("private", json::object()));
  EXPECT_THAT(bob.InvokeTool("private", json::object()), HasReason(absl::StatusCode::kNotFound, "TOOL_NOT_FOUND"));
  EXPECT_EQ(private_one->runs(), 1);
  ASSERT_OK_AND_ASSIGN(const std::vector<tool::v1::Tool> bobs, bob.ListTools());
  EXPECT_THAT(NamesOf(bobs), Not(Contains("tools/private")));
}

TEST(ToolChainTest, OutputOfOneToolFeedsTheNextInOneRun) {
  Covers({"TD-5", "TD-3", "AE-3"});
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithAgent(ScriptedAgent(
              "pipeline",
              [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<agent::Answer>> {
                json load = {{"file", input.at("file")}};
                CO_ASSIGN_OR_RETURN(const json table, co_await run.CallTool("table.load", load));
                json profile_of = {{"table", table.at("table")}, {"column", table.at("columns")[1].at("name")}};
                CO_ASSIGN_OR_RETURN(const json profile, co_await run.CallTool("table.profile", profile_of));
                json chart_of = {{"kind", "histogram"},
                                 {"file", "charts/amount.svg"},
                                 {"bins", profile.at("columns")[0].at("histogram")}};
                CO_ASSIGN_OR_RETURN(const json chart, co_await run.CallTool("chart.render", chart_of));
                agent::Answer answer{
                    .summary = "Done.",
                    .artifacts = {},
                    .data = {{"max", profile.at("columns")[0].at("max")}, {"chart", chart.at("file")}}};
                co_return answer;
              }))
          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("in/sales.csv", "region,amount\nNorth,10\nSouth,\"1,200\"\nNorth,20\n"));
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("pipeline", {{"file", "in/sales.csv"}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  ASSERT_EQ(ended.state(), RUN_STATE_SUCCEEDED) << ended.error().message();

  EXPECT_THAT(ada.ListFiles(), IsOkAndHolds(Contains(HasSubstr("charts/amount.svg"))));
  EXPECT_THAT(ada.ReadFile("charts/amount.svg"), IsOkAndHolds(HasSubstr("</svg>")));
  // The event of the step names the file that it made.
  ASSERT_OK_AND_ASSIGN(const notifier::v1::Event charted, ada.WaitForEvent(run, "tool_completed", 3));
  EXPECT_THAT(charted.tool_completed().artifacts(), ElementsAre(absl::StrCat(ada.name(), "/files/charts/amount.svg")));
}

TEST(ToolChainTest, ParallelCallsEachHaveTheirOwnResultOrError) {
  Covers({"TD-5", "AE-5"});
  auto good = std::make_shared<CountingTool>("good");
  auto bad = std::make_shared<FailingTool>(
      "bad", MakeError(absl::StatusCode::kFailedPrecondition, "no", {.domain = "example.bad", .reason = "BROKEN"}));
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder()
          .WithUsers({"ada"})
          .WithTool(good)
          .WithTool(bad)
          .WithAgent(ScriptedAgent(
              "fan",
              [](agent::RunContext& run, const json&) -> Awaitable<absl::StatusOr<agent::Answer>> {
                const std::vector<std::string> tools = {"good", "bad", "good", "nosuch", "good"};
                auto call = [&run](const std::string& tool) { return run.CallTool(tool, json{{"name", tool}}); };
                const std::vector<absl::StatusOr<json>> results = co_await run.AllSettled(tools, call);
                json data = json::array();
                for (const absl::StatusOr<json>& result : results) {
                  data.push_back(result.ok() ? result->at("echo").at("name").get<std::string>()
                                             : ReasonOf(result.status()));
                }
                agent::Answer answer{.summary = data.dump(), .artifacts = {}, .data = {{"results", data}}};
                co_return answer;
              }))
          .Build());
  ASSERT_OK_AND_ASSIGN(const std::string run, platform->As("ada").StartRun("fan", json::object()));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, platform->As("ada").WaitForRun(run));
  ASSERT_EQ(ended.state(), RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.answer().summary(), R"(["good","BROKEN","good","TOOL_NOT_FOUND","good"])");
  EXPECT_EQ(good->runs(), 3);
}

TEST(ToolChainTest, FilesAndTablesOfOneUserAreNotThereForAnother) {
  Covers({"TD-3", "TD-7", "RF-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  for (const auto& [login, value] : {std::pair("ada", "1"), std::pair("bob", "2")}) {
    User& user = platform->As(login);
    ASSERT_OK(user.UploadFile("data.csv", absl::StrCat("owner,n\n", login, ",", value, "\n")));
    ASSERT_OK(user.InvokeTool("table.load", {{"file", "data.csv"}}));
  }
  ASSERT_OK(platform->As("ada").UploadFile("secret.txt", "ada's"));
  User& bob = platform->As("bob");

  ASSERT_OK_AND_ASSIGN(const json rows, bob.InvokeTool("table.query", {{"sql", "SELECT owner, n FROM data"}}));
  EXPECT_EQ(rows.at("rows"), json::parse(R"([["bob", 2]])"));
  EXPECT_THAT(bob.InvokeTool("file.read", {{"file", "secret.txt"}}),
              HasReason(absl::StatusCode::kNotFound, "FILE_NOT_FOUND"));
  EXPECT_THAT(bob.InvokeTool("file.read", {{"file", absl::StrCat("../", platform->As("ada").id(), "/secret.txt")}}),
              HasReason(absl::StatusCode::kInvalidArgument, "FILE_PATH_INVALID"));
  tool::v1::GetFileRequest get;
  get.set_name(absl::StrCat(platform->As("ada").name(), "/files/secret.txt"));
  EXPECT_THAT(Call<FileService>(bob, &FileService::Stub::GetFile, get),
              HasReason(absl::StatusCode::kNotFound, "FILE_NOT_FOUND"));
  EXPECT_THAT(bob.InvokeTool("table.query", {{"sql", "ATTACH 'x' AS y"}}),
              HasReason(absl::StatusCode::kPermissionDenied, "QUERY_NOT_READ_ONLY"));
}

TEST(ToolChainTest, LoadErrorNamesTheLineInTheRunsOwnError) {
  Covers({"TD-4", "AE-5"});
  ASSERT_OK_AND_ASSIGN(
      auto platform, Harness::Builder()
                         .WithUsers({"ada"})
                         .WithAgent(ScriptedAgent(
                             "load",
                             [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<agent::Answer>> {
                               json load = {{"file", input.at("file")}};
                               CO_ASSIGN_OR_RETURN(const json table, co_await run.CallTool("table.load", load));
                               agent::Answer answer{.summary = table.dump()};
                               co_return answer;
                             }))
                         .Build());
  User& ada = platform->As("ada");
  ASSERT_OK(ada.UploadFile("ragged.csv", "a,b\n1,2\n3\n"));
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("load", {{"file", "ragged.csv"}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.error().reason(), "TABLE_ROW_RAGGED");
  EXPECT_EQ(ended.error().metadata().at("line"), "3");
}

TEST(ToolProgressTest, ProgressOfALongToolReachesTheEventStream) {
  Covers({"TD-9", "WS-1"});
  // Reports until the test has seen one report: whoever subscribes in the middle misses what was
  // before, as progress is transient.
  auto seen = std::make_shared<absl::Notification>();
  std::shared_ptr<tool::Tool> reporter = tool::MakeTool(
      {.name = "report", .description = "Takes its time.", .input_schema = kAnyObject, .output_schema = kAnyObject},
      [seen](tool::ToolCall& call) -> absl::StatusOr<json> {
        while (!seen->WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
          RETURN_IF_ERROR(call.CheckStopped());
          call.ReportProgress(-1, "counting sheep");
        }
        return json::object();
      });
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(reporter).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"report"}}}));
  const absl::StatusOr<notifier::v1::Event> progress = ada.WaitForEvent(run, "tool_progress");
  seen->Notify();
  ASSERT_OK(progress);
  EXPECT_EQ(progress->tool_progress().tool(), "tools/report");
  EXPECT_EQ(progress->tool_progress().message(), "counting sheep");
  EXPECT_EQ(progress->sequence(), 0u) << "transient events have no number";
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), RUN_STATE_SUCCEEDED);
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(Not(Contains("tool_progress"))));
}

}  // namespace
}  // namespace bulkhead::testing
