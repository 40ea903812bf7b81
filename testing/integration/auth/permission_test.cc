// Permissions and ownership: checked by every service, before anything happens.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/role_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
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

using ::testing::IsEmpty;
using ::testing::SizeIs;

using agent::v1::RunService;
using auth::v1::RoleService;
using auth::v1::TokenService;
using auth::v1::UserService;
using notifier::v1::EventService;

// Makes a role of exactly `permissions` and gives it to `user` alone, who signs in again to have
// it.
absl::Status Restrict(Harness& platform, User& user, std::vector<std::string> permissions) {
  auth::v1::CreateRoleRequest create;
  create.mutable_role()->set_name(absl::StrCat("roles/only-", user.login()));
  create.mutable_role()->mutable_permissions()->Assign(permissions.begin(), permissions.end());
  RETURN_IF_ERROR(Call<RoleService>(platform.AsAdmin(), &RoleService::Stub::CreateRole, create).status());
  auth::v1::UpdateUserRequest update;
  update.mutable_user()->set_name(user.name());
  update.mutable_user()->add_roles(create.role().name());
  update.mutable_update_mask()->add_paths("roles");
  RETURN_IF_ERROR(Call<UserService>(platform.AsAdmin(), &UserService::Stub::UpdateUser, update).status());
  return user.SignIn();
}

TEST(PermissionTest, AnotherUsersRunIsNotFoundByAnyMethod) {
  Covers({"AU-5", "WS-8", "RF-3"});
  auto tool = std::make_shared<HoldingTool>("hold");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  const std::shared_ptr<Hold> hold = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"hold"}}}));
  ASSERT_OK(hold->Wait());

  agent::v1::DeleteRunRequest remove;
  remove.set_name(run);
  agent::v1::ListApprovalsRequest approvals;
  approvals.set_parent(run);
  EXPECT_THAT(bob.GetRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  EXPECT_THAT(bob.CancelRun(run), HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  EXPECT_THAT(Call<RunService>(bob, &RunService::Stub::DeleteRun, remove),
              HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  EXPECT_THAT(Call<RunService>(bob, &RunService::Stub::ListApprovals, approvals),
              HasReason(absl::StatusCode::kNotFound, "RUN_NOT_FOUND"));
  EXPECT_THAT(bob.EventsOf(run), HasReason(absl::StatusCode::kNotFound, "STREAM_NOT_FOUND"));
  // Word for word as for a run that nobody has.
  const std::string nobodys = absl::StrCat(ada.name(), "/runs/run-999999");
  EXPECT_EQ(bob.GetRun(run).status().code(), bob.GetRun(nobodys).status().code());
  EXPECT_THAT(bob.ListRuns(), IsOkAndHolds(IsEmpty()));

  hold->Resume();
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_SUCCEEDED);
}

TEST(PermissionTest, UserWithoutPermissionIsRefusedAndNothingHappensDownstream) {
  Covers({"AU-5", "TD-7"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& bob = platform->As("bob");
  ASSERT_OK(Restrict(*platform, bob, {"run:own:read", "event:own:read", "tool:own:read"}));

  EXPECT_THAT(bob.InvokeTool("count", nlohmann::json::object()),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_THAT(bob.StartRun("chain", {{"tools", {"count"}}}),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_THAT(bob.UploadFile("notes.txt", "hello"),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_EQ(tool->runs(), 0);
  EXPECT_THAT(bob.ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(platform->EventsOf("bob"), IsEmpty());
  EXPECT_OK(bob.ListTools());
}

TEST(PermissionTest, RunMayNotCallWhatItsUserMayNotCall) {
  Covers({"AU-4", "AU-5", "AE-5"});
  auto open = std::make_shared<CountingTool>("open");
  auto closed = std::make_shared<CountingTool>("closed");
  ASSERT_OK_AND_ASSIGN(
      auto platform,
      Harness::Builder().WithUsers({"bob"}).WithTool(open).WithTool(closed).WithAgent(ToolChainAgent()).Build());
  User& bob = platform->As("bob");
  ASSERT_OK(Restrict(
      *platform, bob,
      {"run:own:read", "run:own:create", "event:own:read", "tool:own:read", "agent:own:read", "tool:open:invoke"}));

  ASSERT_OK_AND_ASSIGN(const std::string run, bob.StartRun("chain", {{"tools", {"open", "closed"}}}));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, bob.WaitForRun(run));
  EXPECT_EQ(ended.state(), agent::v1::RUN_STATE_FAILED);
  EXPECT_EQ(open->runs(), 1);
  EXPECT_EQ(closed->runs(), 0);
}

TEST(PermissionTest, ContextOfTheUserReachesTheTool) {
  Covers({"AU-4", "TD-2"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count"}}}));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK(bob.InvokeTool("count", nlohmann::json::object()));

  const std::vector<SeenCall> calls = tool->calls();
  ASSERT_THAT(calls, SizeIs(2));
  EXPECT_EQ(calls[0].user, ada.id());
  EXPECT_EQ(absl::StrCat(ada.name(), "/runs/", calls[0].run), run);
  EXPECT_EQ(calls[1].user, bob.id());
  EXPECT_EQ(calls[1].run, "") << "called outside of a run";
}

TEST(PermissionTest, UserCannotDoWhatServicesDo) {
  Covers({"AU-5", "WS-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  const std::string adas_run = absl::StrCat(ada.name(), "/runs/run-000042");

  auth::v1::ExchangeTokenRequest exchange;
  exchange.set_subject_token(ada.token().Reveal());
  exchange.set_run(adas_run);
  exchange.mutable_lifetime()->set_seconds(60);
  EXPECT_THAT(Call<TokenService>(bob, &TokenService::Stub::ExchangeToken, exchange),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  // An administrator may everything, but is no service.
  EXPECT_THAT(Call<TokenService>(platform->AsAdmin(), &TokenService::Stub::ExchangeToken, exchange),
              HasReason(absl::StatusCode::kPermissionDenied, "SERVICE_ONLY"));
  auth::v1::IssueServiceTokenRequest service;
  service.set_service("agent");
  service.set_secret("guessed");
  EXPECT_THAT(Call<TokenService>(bob, &TokenService::Stub::IssueServiceToken, service),
              HasReason(absl::StatusCode::kUnauthenticated, "SERVICE_CREDENTIALS_INVALID"));
  notifier::v1::PublishEventsRequest publish;
  notifier::v1::Event& event = *publish.add_events();
  event.set_stream(adas_run);
  event.set_sequence(1);
  EXPECT_THAT(Call<EventService>(bob, &EventService::Stub::PublishEvents, publish),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_THAT(ada.EventsOf(adas_run), IsOkAndHolds(IsEmpty()));
}

TEST(PermissionTest, DisabledUserIsOutAtOnceWhereItMatters) {
  Covers({"AU-9", "AU-5"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& bob = platform->As("bob");
  auth::v1::UpdateUserRequest disable;
  disable.mutable_user()->set_name(bob.name());
  disable.mutable_user()->set_disabled(true);
  disable.mutable_update_mask()->add_paths("disabled");
  EXPECT_THAT(Call<UserService>(platform->As("ada"), &UserService::Stub::UpdateUser, disable),
              HasReason("PERMISSION_MISSING"));
  ASSERT_OK(Call<UserService>(platform->AsAdmin(), &UserService::Stub::UpdateUser, disable));

  EXPECT_THAT(bob.StartRun("chain", {{"tools", {"count"}}}),
              HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  EXPECT_THAT(bob.Refresh(), HasReason("SESSION_REVOKED"));
  EXPECT_THAT(bob.SignIn(), HasReason("CREDENTIALS_INVALID"));
  EXPECT_EQ(tool->runs(), 0);
}

TEST(PermissionTest, UsersSeeThemselvesOnlyAndAskWhatTheyMay) {
  Covers({"AU-5", "RF-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  auth::v1::GetUserRequest get;
  get.set_name(ada.name());
  EXPECT_THAT(Call<UserService>(bob, &UserService::Stub::GetUser, get),
              HasReason(absl::StatusCode::kNotFound, "USER_NOT_FOUND"));
  EXPECT_OK(Call<UserService>(platform->AsAdmin(), &UserService::Stub::GetUser, get));
  EXPECT_THAT(Call<UserService>(bob, &UserService::Stub::ListUsers, {}), HasReason("PERMISSION_MISSING"));

  auth::v1::CheckPermissionRequest check;
  check.set_permission("tool:table.load:invoke");
  ASSERT_OK_AND_ASSIGN(const auth::v1::CheckPermissionResponse granted,
                       Call<RoleService>(bob, &RoleService::Stub::CheckPermission, check));
  EXPECT_TRUE(granted.granted());
  EXPECT_EQ(granted.explanation(), "role `member` grants `tool:*:invoke`");
  check.set_resource(absl::StrCat(ada.name(), "/runs/run-000001"));
  EXPECT_THAT(Call<RoleService>(bob, &RoleService::Stub::CheckPermission, check),
              HasReason(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND"));
}

}  // namespace
}  // namespace bulkhead::testing
