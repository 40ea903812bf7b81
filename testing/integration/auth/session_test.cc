// Sessions, guessing, and the audit log.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/audit_service.grpc.pb.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using agent::v1::RunService;
using auth::v1::AuditService;
using auth::v1::SessionService;
using auth::v1::UserService;

absl::Status SignInAs(Harness& platform, const std::string& login, const std::string& password) {
  auth::v1::SignInRequest request;
  request.set_login(login);
  request.set_password(password);
  return CallWithToken<SessionService>(platform, "", &SessionService::Stub::SignIn, request).status();
}

absl::StatusOr<auth::v1::Tokens> Refresh(Harness& platform, const std::string& refresh_token) {
  auth::v1::RefreshSessionRequest request;
  request.set_refresh_token(refresh_token);
  return CallWithToken<SessionService>(platform, "", &SessionService::Stub::RefreshSession, request);
}

absl::Status Revoke(const User& user, const std::string& session) {
  auth::v1::RevokeSessionRequest request;
  request.set_name(session);
  return Call<SessionService>(user, &SessionService::Stub::RevokeSession, request).status();
}

// "session.sign_in", or "session.sign_in CREDENTIALS_INVALID" when it was refused.
std::vector<std::string> Decisions(Harness& platform, std::string_view login) {
  absl::StatusOr<std::vector<auth::v1::AuditRecord>> records = platform.AuditOf(login);
  EXPECT_OK(records);
  std::vector<std::string> lines;
  for (const auth::v1::AuditRecord& record : *records) {
    lines.push_back(absl::StrCat(record.action(), record.allowed() ? "" : " ", record.reason()));
  }
  return lines;
}

TEST(SessionTest, RevokedSessionCanNeitherRefreshNorStartARun) {
  Covers({"AU-3", "AU-9"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  const std::string stolen_token(ada.token().Reveal());
  const std::string stolen_refresh_token = ada.refresh_token();
  const std::string session = ada.session();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(Revoke(ada, session));
  EXPECT_OK(Revoke(ada, session)) << "revoking is idempotent";

  EXPECT_THAT(Refresh(*platform, stolen_refresh_token),
              HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  // The access token has minutes to live yet, but a run needs a token of its own.
  agent::v1::CreateRunRequest run;
  run.set_agent("agents/chain");
  ASSERT_OK_AND_ASSIGN(*run.mutable_input(), ToStruct({{"tools", {"count"}}}));
  EXPECT_THAT(CallWithToken<RunService>(*platform, stolen_token, &RunService::Stub::CreateRun, run),
              HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  EXPECT_THAT(ada.ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_EQ(tool->runs(), 0);
  // Her other session goes on.
  ASSERT_OK_AND_ASSIGN(const std::string own, ada.StartRun("chain", {{"tools", {"count"}}}));
  EXPECT_OK(ada.WaitForRun(own));
  EXPECT_EQ(tool->runs(), 1);
}

TEST(SessionTest, ReusedRefreshTokenEndsTheSessionForBothWhoHaveIt) {
  Covers({"AU-3", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  const std::string first = ada.refresh_token();
  ASSERT_OK(ada.Refresh());
  EXPECT_NE(ada.refresh_token(), first);

  EXPECT_THAT(Refresh(*platform, first), HasReason(absl::StatusCode::kUnauthenticated, "REFRESH_TOKEN_REUSED"));
  EXPECT_THAT(ada.Refresh(), HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  auth::v1::GetUserRequest me;
  me.set_name("users/me");
  EXPECT_THAT(Call<UserService>(ada, &UserService::Stub::GetUser, me), HasReason("SESSION_REVOKED"));
  EXPECT_OK(platform->As("bob").Refresh());
  EXPECT_THAT(Decisions(*platform, "ada"),
              ElementsAre("user.create", "session.sign_in", "session.refresh", "session.refresh REFRESH_TOKEN_REUSED",
                          "session.refresh SESSION_REVOKED"));
}

TEST(SessionTest, SessionsAreListedAndEndedByTheirUserOnly) {
  Covers({"AU-3", "AU-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  const std::string older = ada.session();
  platform->Advance(absl::Minutes(1));
  ASSERT_OK(ada.SignIn());

  auth::v1::ListSessionsRequest one;
  one.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListSessionsResponse newest,
                       Call<SessionService>(ada, &SessionService::Stub::ListSessions, one));
  ASSERT_THAT(newest.sessions(), SizeIs(1));
  EXPECT_EQ(newest.sessions(0).name(), ada.session());
  one.set_page_token(newest.next_page_token());
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListSessionsResponse next,
                       Call<SessionService>(ada, &SessionService::Stub::ListSessions, one));
  ASSERT_THAT(next.sessions(), SizeIs(1));
  EXPECT_EQ(next.sessions(0).name(), older);
  // Her page token opens nothing of his.
  EXPECT_THAT(Call<SessionService>(bob, &SessionService::Stub::ListSessions, one), HasReason("PAGE_TOKEN_INVALID"));
  EXPECT_THAT(Revoke(bob, ada.session()), HasReason(absl::StatusCode::kNotFound, "SESSION_NOT_FOUND"));
  EXPECT_OK(ada.Refresh());

  auth::v1::RevokeAllSessionsRequest others;
  others.set_keep_current(true);
  ASSERT_OK(Call<SessionService>(ada, &SessionService::Stub::RevokeAllSessions, others));
  EXPECT_OK(ada.Refresh());
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListSessionsResponse all,
                       Call<SessionService>(ada, &SessionService::Stub::ListSessions, {}));
  ASSERT_THAT(all.sessions(), SizeIs(2));
  EXPECT_FALSE(all.sessions(0).has_revoke_time());
  EXPECT_TRUE(all.sessions(1).has_revoke_time());
}

TEST(SessionTest, GuessingIsSlowedDownAndTellsNothingAboutLogins) {
  Covers({"AU-7", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  // The same answers, word for word, for a login that exists and one that does not.
  absl::Status known, unknown;
  int attempts = 0;
  do {
    ASSERT_LT(attempts, 100) << "guessing is never slowed down";
    ++attempts;
    known = SignInAs(*platform, "ada", "a wrong password");
    unknown = SignInAs(*platform, "nobody", "a wrong password");
    EXPECT_EQ(known.code(), unknown.code());
    EXPECT_EQ(known.message(), unknown.message());
  } while (ReasonOf(known) == "CREDENTIALS_INVALID");

  EXPECT_THAT(known, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED"));
  EXPECT_THAT(SignInAs(*platform, "ada", ada.password()), HasReason("SIGN_IN_THROTTLED"))
      << "the right password tells itself";
  const absl::Duration pause = ErrorInfoOf(known)->retry_after.value_or(absl::ZeroDuration());
  EXPECT_GT(pause, absl::ZeroDuration());
  // Who has a session keeps it, and the pause ends by itself.
  EXPECT_OK(ada.Refresh());
  platform->Advance(pause);
  EXPECT_OK(ada.SignIn());
  EXPECT_OK(SignInAs(*platform, "ada", ada.password()));
  EXPECT_THAT(Decisions(*platform, "ada"), Contains("session.sign_in CREDENTIALS_INVALID"));
}

TEST(SessionTest, ARestartForgetsNoFailedAttempt) {
  Covers({"AU-7"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  absl::Status last;
  for (int i = 0; i < 100 && ReasonOf(last) != "SIGN_IN_THROTTLED"; ++i) {
    last = SignInAs(*platform, "ada", "a wrong password");
  }
  ASSERT_THAT(last, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED"));

  ASSERT_OK(platform->Restart());
  const std::string password = platform->As("ada").password();
  EXPECT_THAT(SignInAs(*platform, "ada", password), HasReason("SIGN_IN_THROTTLED"));
  platform->Advance(ErrorInfoOf(last)->retry_after.value_or(absl::ZeroDuration()));
  EXPECT_OK(SignInAs(*platform, "ada", password));
}

TEST(SessionTest, AddressThatGuessesIsSlowedDownWhateverLoginItTries) {
  Covers({"AU-7"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  // As the gateway asks for a client at `address`.
  auto sign_in_from = [&](const std::string& address, const std::string& login) {
    grpc::ClientContext context;
    AuthorizeWith(context, "");
    context.AddMetadata("x-client-address", address);
    auth::v1::SignInRequest request;
    request.set_login(login);
    request.set_password(login == ada.login() ? ada.password() : "a wrong password");
    auth::v1::Tokens tokens;
    return FromGrpcStatus(StubFor<SessionService>(ada)->SignIn(&context, request, &tokens));
  };
  absl::Status last;
  for (int i = 0; i < 200 && ReasonOf(last) != "SIGN_IN_THROTTLED"; ++i) {
    last = sign_in_from("192.0.2.7", absl::StrCat("login", i));
  }
  EXPECT_THAT(last, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED"));
  EXPECT_THAT(sign_in_from("192.0.2.7", "ada"), HasReason("SIGN_IN_THROTTLED"));
  EXPECT_OK(sign_in_from("192.0.2.8", "ada")) << "others are slowed down too";
}

TEST(SessionTest, SessionTellsProgramAndAddressItBeganFrom) {
  Covers({"AU-3", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  // Through the gateway: a socket on this machine, seen by the gateway and sent on to auth.
  ASSERT_OK(ada.Http("POST", "/v1/sessions:signIn", {{"login", ada.login()}, {"password", ada.password()}}));
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListSessionsResponse sessions,
                       Call<SessionService>(ada, &SessionService::Stub::ListSessions, {}));
  ASSERT_THAT(sessions.sessions(), SizeIs(2));
  EXPECT_EQ(sessions.sessions(0).address(), "127.0.0.1");
  EXPECT_FALSE(sessions.sessions(0).client().empty());
}

TEST(SessionTest, NewPasswordEndsEveryOtherSession) {
  Covers({"AU-3", "AU-7"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  const std::string other = ada.refresh_token();
  ASSERT_OK(ada.SignIn());
  auth::v1::ChangePasswordRequest change;
  change.set_current_password("a wrong password");
  change.set_new_password("a new and better password");
  EXPECT_THAT(Call<UserService>(ada, &UserService::Stub::ChangePassword, change),
              HasReason(absl::StatusCode::kUnauthenticated, "CREDENTIALS_INVALID"));
  EXPECT_OK(SignInAs(*platform, "ada", ada.password()));

  change.set_current_password(ada.password());
  ASSERT_OK(Call<UserService>(ada, &UserService::Stub::ChangePassword, change));
  EXPECT_THAT(Refresh(*platform, other), HasReason("SESSION_REVOKED"));
  EXPECT_OK(ada.Refresh());
  EXPECT_THAT(SignInAs(*platform, "ada", ada.password()), HasReason("CREDENTIALS_INVALID"));
  EXPECT_OK(SignInAs(*platform, "ada", "a new and better password"));
}

TEST(SessionTest, EveryDecisionIsOnRecordAndTheRecordHolds) {
  Covers({"AU-8", "AU-4"});
  auto tool = std::make_shared<CountingTool>("count");
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count"}}}));
  ASSERT_OK(ada.WaitForRun(run));
  EXPECT_THAT(SignInAs(*platform, "ada", "a wrong password"), HasReason("CREDENTIALS_INVALID"));

  ASSERT_OK_AND_ASSIGN(const std::vector<auth::v1::AuditRecord> records, platform->AuditOf("ada"));
  ASSERT_THAT(Decisions(*platform, "ada"),
              ElementsAre("user.create", "session.sign_in", "token.exchange", "session.sign_in CREDENTIALS_INVALID"));
  EXPECT_EQ(records[2].resource(), run);
  EXPECT_EQ(records[2].user(), ada.name());
  EXPECT_EQ(records[2].actor(), "services/agent");
  EXPECT_FALSE(records[2].request_id().empty());

  // Nobody reads it who may not, and it outlives a restart unchanged.
  EXPECT_THAT(Call<AuditService>(ada, &AuditService::Stub::ListAuditRecords, {}),
              HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  ASSERT_OK(platform->Restart());
  ASSERT_OK_AND_ASSIGN(const auth::v1::VerifyAuditLogResponse verified,
                       Call<AuditService>(platform->AsAdmin(), &AuditService::Stub::VerifyAuditLog, {}));
  EXPECT_TRUE(verified.intact()) << verified.problem();
  EXPECT_GE(verified.records(), records.size());
}

}  // namespace
}  // namespace bulkhead::testing
