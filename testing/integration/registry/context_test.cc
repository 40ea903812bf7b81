// The boundaries between users: ids that are no identity, ids of others, and many users at once.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/runtime/awaitable.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using agent::v1::RunService;
using auth::v1::UserService;
using tool::v1::FileService;

// Calls the tool "count" with its input, and answers with the tool's output.
agent::AgentFactory CallingAgent() {
  return ScriptedAgent(
      "caller", [](agent::RunContext& run, const nlohmann::json& input) -> Awaitable<absl::StatusOr<agent::Answer>> {
        CO_ASSIGN_OR_RETURN(nlohmann::json output, co_await run.CallTool("count", input));
        co_return agent::Answer{.summary = output["echo"].dump()};
      });
}

TEST(ContextTest, NamesThatAreNoIdentityAreRefusedByEveryService) {
  Covers({"RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  const auto refused = AnyOf(StatusIs(absl::StatusCode::kInvalidArgument), StatusIs(absl::StatusCode::kNotFound));
  for (const char* user : {"", "default", "none", "null", "undefined", "test", "0", "../ada", "*"}) {
    const std::string owner = absl::StrCat("users/", user);
    EXPECT_THAT(ada.GetRun(absl::StrCat(owner, "/runs/run-000001")), refused) << owner;
    EXPECT_THAT(ada.EventsOf(absl::StrCat(owner, "/runs/run-000001")), refused) << owner;
    tool::v1::GetFileRequest file;
    file.set_name(absl::StrCat(owner, "/files/notes.txt"));
    EXPECT_THAT(Call<FileService>(ada, &FileService::Stub::GetFile, file), refused) << owner;
    auth::v1::GetUserRequest get;
    get.set_name(owner);
    EXPECT_THAT(Call<UserService>(ada, &UserService::Stub::GetUser, get), refused) << owner;
  }
  for (const char* run : {"", "default", "none", "temp", "../run-000001", "%00"}) {
    EXPECT_THAT(ada.GetRun(absl::StrCat(ada.name(), "/runs/", run)), refused) << run;
    EXPECT_THAT(ada.CancelRun(absl::StrCat(ada.name(), "/runs/", run)), refused) << run;
  }
}

TEST(ContextTest, RequestThatNamesAPlaceholderIsRefusedBeforeItsHandler) {
  Covers({"RF-3", "AU-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  auto list_with = [&ada](const std::string& key, const std::string& value) {
    grpc::ClientContext context;
    ada.Authorize(context);
    context.AddMetadata(key, value);
    agent::v1::ListRunsResponse response;
    return FromGrpcStatus(StubFor<RunService>(ada)->ListRuns(&context, {}, &response));
  };
  EXPECT_OK(list_with("x-request-id", "req-of-ada"));
  for (const char* key : {"x-request-id", "x-parent-request-id", "x-thread"}) {
    EXPECT_THAT(list_with(key, "default"), HasReason(absl::StatusCode::kInvalidArgument, "ID_PLACEHOLDER")) << key;
    EXPECT_THAT(list_with(key, "Not an id!"), HasReason(absl::StatusCode::kInvalidArgument, "ID_MALFORMED")) << key;
  }
}

TEST(ContextTest, SameRequestIdOfTwoUsersMakesTwoRuns) {
  Covers({"RF-2", "RF-3"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(CallingAgent()).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  const StartRunOptions options{.request_id = "request-1"};
  ASSERT_OK_AND_ASSIGN(const std::string hers, ada.StartRun("caller", {{"who", "ada"}}, options));
  ASSERT_OK_AND_ASSIGN(const std::string his, bob.StartRun("caller", {{"who", "bob"}}, options));
  EXPECT_THAT(ada.StartRun("caller", {{"who", "ada"}}, options), IsOkAndHolds(hers));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, bob.WaitForRun(his));
  EXPECT_EQ(ended.answer().summary(), R"({"who":"bob"})");
  ASSERT_OK(ada.WaitForRun(hers));
  EXPECT_EQ(tool->runs(), 2);
}

TEST(ContextTest, InterleavedUsersGetWhatEachGetsAlone) {
  Covers({"RF-4", "AE-8", "WS-8"});
  const std::vector<std::string> logins = {"ada", "bob", "cyd", "dan"};
  constexpr int kRunsEach = 3;
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers(logins).WithTool(tool).WithAgent(CallingAgent()).Build());
  std::map<std::string, std::vector<std::string>> runs;
  for (int i = 0; i < kRunsEach; ++i) {
    for (const std::string& login : logins) {
      ASSERT_OK_AND_ASSIGN(std::string run, platform->As(login).StartRun("caller", {{"number", i}, {"who", login}}));
      runs[login].push_back(std::move(run));
    }
  }
  for (const std::string& login : logins) {
    User& user = platform->As(login);
    for (int i = 0; i < kRunsEach; ++i) {
      ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, user.WaitForRun(runs[login][i]));
      EXPECT_EQ(ended.answer().summary(), nlohmann::json({{"number", i}, {"who", login}}).dump());
      EXPECT_THAT(user.EventTypesOf(runs[login][i]),
                  IsOkAndHolds(ElementsAre("run_queued", "agent_started", "tool_executing", "tool_completed",
                                           "agent_completed")));
    }
    EXPECT_THAT(user.ListRuns(), IsOkAndHolds(SizeIs(kRunsEach)));
  }
  for (const SeenCall& call : tool->calls()) {
    const User& owner = platform->As(call.input["who"].get<std::string>());
    EXPECT_EQ(call.user, owner.id());
  }
  EXPECT_EQ(tool->runs(), kRunsEach * static_cast<int>(logins.size()));
}

TEST(ContextTest, FilesOfTheSamePathAreEachUsersOwn) {
  Covers({"RF-2", "RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK(ada.UploadFile("notes.txt", "of ada"));
  ASSERT_OK(bob.UploadFile("notes.txt", "of bob"));
  EXPECT_THAT(ada.ReadFile("notes.txt"), IsOkAndHolds("of ada"));
  EXPECT_THAT(bob.ReadFile("notes.txt"), IsOkAndHolds("of bob"));
  tool::v1::GetFileRequest get;
  get.set_name(absl::StrCat(ada.name(), "/files/notes.txt"));
  EXPECT_THAT(Call<FileService>(bob, &FileService::Stub::GetFile, get),
              HasReason(absl::StatusCode::kNotFound, "FILE_NOT_FOUND"));
  tool::v1::DeleteFileRequest remove;
  remove.set_name(get.name());
  EXPECT_THAT(Call<FileService>(bob, &FileService::Stub::DeleteFile, remove),
              HasReason(absl::StatusCode::kNotFound, "FILE_NOT_FOUND"));
  EXPECT_THAT(ada.ReadFile("notes.txt"), IsOkAndHolds("of ada"));
}

TEST(ContextTest, EndedRunsLeaveNothingBehind) {
  Covers({"RF-5", "AE-4"});
  auto tool = std::make_shared<HoldingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(CallingAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string finished, ada.StartRun("caller", {{"n", 1}}));
  ASSERT_OK(ada.WaitForRun(finished));
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string cancelled, ada.StartRun("caller", {{"n", 2}}));
  ASSERT_OK(hold->Wait());
  agent::v1::DeleteRunRequest remove;
  remove.set_name(cancelled);
  EXPECT_THAT(Call<RunService>(ada, &RunService::Stub::DeleteRun, remove),
              HasReason(absl::StatusCode::kFailedPrecondition, "RUN_NOT_ENDED"));
  ASSERT_OK(ada.CancelRun(cancelled));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(cancelled));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_CANCELLED);

  for (const std::string& run : {finished, cancelled}) {
    remove.set_name(run);
    EXPECT_OK(Call<RunService>(ada, &RunService::Stub::DeleteRun, remove)) << run;
    EXPECT_THAT(ada.GetRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  }
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(IsEmpty()));
  // The harness, when it ends, finds no coroutine, call or timer left.
}

}  // namespace
}  // namespace bulkhead::testing
