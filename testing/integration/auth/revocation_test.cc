// What is revoked stops working: sockets, streams, runs, tool calls, approvals, in every service, within a second.
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/auth/v1/revocation_service.grpc.pb.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"
#include "testing/faults/hold.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"
#include "testing/integration/websocket/event_socket.h"

namespace bulkhead::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

using agent::v1::RunService;
using auth::v1::RevocationService;
using auth::v1::SessionService;
using auth::v1::TokenService;
using auth::v1::UserService;
using notifier::v1::EventService;
using tool::v1::ToolService;

constexpr char kWatch[] = "bulkhead.auth.v1.RevocationService/WatchRevocations";
// What a revocation may take to be everywhere. Real time, as no other passes here.
constexpr absl::Duration kPromptly = absl::Seconds(1);

absl::Status Revoke(const User& user, const std::string& session) {
  auth::v1::RevokeSessionRequest request;
  request.set_name(session);
  return Call<SessionService>(user, &SessionService::Stub::RevokeSession, request).status();
}

absl::Status SetDisabled(Harness& platform, const User& user, bool disabled) {
  auth::v1::UpdateUserRequest request;
  request.mutable_user()->set_name(user.name());
  request.mutable_user()->set_disabled(disabled);
  request.mutable_update_mask()->add_paths("disabled");
  return Call<UserService>(platform.AsAdmin(), &UserService::Stub::UpdateUser, request).status();
}

std::string KeyIdOf(const RawToken& token) {
  std::string header;
  const std::string_view compact = token.Reveal();
  EXPECT_TRUE(absl::WebSafeBase64Unescape(compact.substr(0, compact.find('.')), &header));
  return nlohmann::json::parse(header).at("kid");
}

// The administrator makes a new key, gets a token of it, and withdraws the one before.
absl::Status ReplaceKey(Harness& platform, const std::string& compromised) {
  User& admin = platform.AsAdmin();
  RETURN_IF_ERROR(Call<TokenService>(admin, &TokenService::Stub::RotateKeys, {}).status());
  RETURN_IF_ERROR(admin.Refresh());
  auth::v1::RevokeKeyRequest request;
  request.set_kid(compromised);
  return Call<TokenService>(admin, &TokenService::Stub::RevokeKey, request).status();
}

// What each service answers to a harmless question under `token`.
std::vector<std::pair<std::string, std::string>> AskEveryService(Harness& platform, const User& user,
                                                                 std::string_view token) {
  notifier::v1::ListEventsRequest events;
  events.set_stream(absl::StrCat(user.name(), "/runs/run-none"));
  auth::v1::GetUserRequest me;
  me.set_name("users/me");
  const RawToken raw{std::string(token)};
  absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> client =
      gateway::GatewayClient::Create({.base_url = platform.url()});
  return {{"agent", ReasonOf(CallWithToken<RunService>(platform, token, &RunService::Stub::ListRuns, {}).status())},
          {"auth", ReasonOf(CallWithToken<UserService>(platform, token, &UserService::Stub::GetUser, me).status())},
          {"gateway", ReasonOf((*client)->Request("POST", "/v1/ws-tickets", nullptr, raw).status())},
          {"notifier",
           ReasonOf(CallWithToken<EventService>(platform, token, &EventService::Stub::ListEvents, events).status())},
          {"tool", ReasonOf(CallWithToken<ToolService>(platform, token, &ToolService::Stub::ListTools, {}).status())}};
}

// That every service refuses `token` for `reason`, promptly.
void ExpectRefusedEverywhere(Harness& platform, const User& user, std::string_view token, std::string_view reason) {
  std::vector<std::pair<std::string, std::string>> answers;
  EXPECT_OK(WaitFor(
      [&] {
        answers = AskEveryService(platform, user, token);
        for (const auto& [service, answer] : answers) {
          if (answer != reason) {
            return false;
          }
        }
        return true;
      },
      "every service to refuse the token",
      [&] {
        std::string seen;
        for (const auto& [service, answer] : answers) {
          absl::StrAppend(&seen, service, ": ", answer.empty() ? "taken" : answer, " ");
        }
        return seen;
      },
      kPromptly));
}

// That the run has ended as one does whose token was revoked.
void ExpectRevoked(User& user, const std::string& run, std::string_view by, std::string_view reason) {
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, user.WaitForRun(run));
  EXPECT_EQ(agent::v1::RunState_Name(ended.state()), "RUN_STATE_CANCELLED");
  EXPECT_EQ(ended.error().reason(), "RUN_CANCELLED");
  EXPECT_EQ(ended.error().metadata().at("cause"), reason);
  ASSERT_OK_AND_ASSIGN(const std::vector<notifier::v1::Event> events, user.EventsOf(run));
  ASSERT_THAT(events, Not(IsEmpty()));
  EXPECT_EQ(events.back().type(), "agent_cancelled");
  EXPECT_EQ(events.back().agent_cancelled().cancelled_by(), by);
  EXPECT_EQ(events.back().agent_cancelled().reason(), reason);
}

// The run that asks.
std::string RunOf(const agent::v1::Approval& approval) {
  return approval.name().substr(0, approval.name().find("/approvals/"));
}

// Asks whether to call "count", and does.
agent::AgentFactory AskingAgent() {
  return ScriptedAgent("asking",
                       [](agent::RunContext& run, const nlohmann::json&) -> Awaitable<absl::StatusOr<agent::Answer>> {
                         CO_ASSIGN_OR_RETURN(agent::ApprovalDecision decision,
                                             co_await run.RequestApproval({.question = "Count?", .tool = "count"}));
                         if (decision.allowed) {
                           CO_RETURN_IF_ERROR((co_await run.CallTool("count", nlohmann::json::object())).status());
                         }
                         co_return agent::Answer{.summary = "asked"};
                       });
}

// A platform where each call of "count" can be held; "chain" calls it, "asking" asks first.
class RevocationTest : public ::testing::Test {
 protected:
  std::unique_ptr<Harness> Build(const std::function<void(HarnessBuilder&)>& change = nullptr) {
    HarnessBuilder builder;
    builder.WithUsers({"ada", "bob"}).WithTool(tool_).WithAgent(ToolChainAgent()).WithAgent(AskingAgent());
    if (change) {
      change(builder);
    }
    absl::StatusOr<std::unique_ptr<Harness>> platform = builder.Build();
    EXPECT_OK(platform);
    return platform.ok() ? *std::move(platform) : nullptr;
  }

  // A run in the middle of its first tool call, which is held for as long as nobody stops or resumes it.
  absl::StatusOr<std::string> StartHeldRun(User& user) {
    const std::shared_ptr<Hold> hold = tool_->HoldCall();
    ASSIGN_OR_RETURN(const std::string run, user.StartRun("chain", input_));
    RETURN_IF_ERROR(hold->Wait());
    return run;
  }

  // A run that waits for the answer to its question.
  static absl::StatusOr<agent::v1::Approval> StartAskingRun(User& user) {
    ASSIGN_OR_RETURN(const std::string run, user.StartRun("asking", nlohmann::json::object()));
    return user.WaitForApproval(run);
  }

  const std::shared_ptr<HoldingTool> tool_ = std::make_shared<HoldingTool>("count");
  const nlohmann::json input_ = {{"tools", {"count"}}};
};

TEST_F(RevocationTest, SocketsAndEventStreamsOfTheSessionCloseWithinASecondAndNoOthers) {
  Covers({"AU-9", "WS-9", "WS-8"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  std::shared_ptr<Hold> hold = tool_->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string run, platform->As("bob").StartRun("chain", input_));
  ASSERT_OK(hold->Wait());
  std::shared_ptr<Hold> adas_hold = tool_->HoldCall();
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> old_socket, EventSocket::Open(*platform, ada));
  const std::string old_session = ada.session();
  const RawToken old_token = ada.token().Copy();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK_AND_ASSIGN(const std::string adas_run, ada.StartRun("chain", input_));
  ASSERT_OK(adas_hold->Wait());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> new_socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> bobs, EventSocket::Open(*platform, platform->As("bob")));
  ASSERT_OK(old_socket->Subscribe(adas_run));
  ASSERT_OK(new_socket->Subscribe(adas_run));

  // Server-sent events under the old session's token, of a run that goes on.
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<gateway::GatewayClient> client, ada.NewGatewayClient());
  const int followed = platform->faults().CallsOf("bulkhead.notifier.v1.EventService/Subscribe");
  std::future<absl::StatusOr<gateway::RawResponse>> stream = std::async(std::launch::async, [&] {
    return client->Send({.path = absl::StrCat("/v1/runs/", adas_run.substr(adas_run.rfind('/') + 1), "/events"),
                         .headers = {{"accept", "text/event-stream"}}},
                        old_token);
  });
  ASSERT_OK(
      WaitFor([&] { return platform->faults().CallsOf("bulkhead.notifier.v1.EventService/Subscribe") > followed; },
              "the event stream to be followed"));

  const absl::Time revoked_at = RealNow();
  ASSERT_OK(Revoke(ada, old_session));
  EXPECT_EQ(old_socket->WaitForClose(), 4401);
  ASSERT_OK_AND_ASSIGN(const gateway::RawResponse streamed, stream.get());
  EXPECT_LT(RealNow() - revoked_at, kPromptly);
  EXPECT_THAT(streamed.body, Not(::testing::HasSubstr("agent_completed")));

  EXPECT_OK(new_socket->Ping());
  EXPECT_OK(bobs->Ping());
  hold->Resume();
  adas_hold->Resume();
  EXPECT_OK(platform->As("bob").WaitForRun(run));
  EXPECT_OK(new_socket->EventsToTheEnd());
}

TEST_F(RevocationTest, RunOfTheSessionIsCancelledInTheMiddleOfItsToolCall) {
  Covers({"AU-9", "AE-9", "WS-1"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  std::shared_ptr<Hold> hold = tool_->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"count", "count"}}}));
  ASSERT_OK(hold->Wait());
  const std::string session = ada.session();
  ASSERT_OK(ada.SignIn());

  const absl::Time revoked_at = RealNow();
  ASSERT_OK(Revoke(ada, session));
  ExpectRevoked(ada, run, "session", "SESSION_REVOKED");
  EXPECT_LT(RealNow() - revoked_at, kPromptly);
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(ElementsAre("run_queued", "agent_started", "agent_thinking",
                                                              "tool_executing", "tool_completed", "agent_cancelled")));
  // The second call never came. That the first one saw its stop shows at the end: the tool is held for ever otherwise.
  EXPECT_EQ(tool_->runs(), 1);
}

TEST_F(RevocationTest, LateResultOfACallThatWasStoppedIsDiscarded) {
  Covers({"AU-9", "TD-4"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  tool_->IgnoreStop();
  std::shared_ptr<Hold> hold = tool_->HoldCall();
  std::future<absl::Status> call =
      std::async(std::launch::async, [&] { return ada.Invoke("count", {{"n", 1}}, "request-1").status(); });
  ASSERT_OK(hold->Wait());

  const absl::Time revoked_at = RealNow();
  ASSERT_OK(Revoke(ada, ada.session()));
  EXPECT_THAT(call.get(), HasReason(absl::StatusCode::kUnauthenticated, "SESSION_REVOKED"));
  EXPECT_LT(RealNow() - revoked_at, kPromptly);

  // It comes to its end all the same, and nobody is told what it found.
  hold->Resume();
  ASSERT_OK(ada.SignIn());
  absl::StatusOr<tool::v1::Invocation> again;
  ASSERT_OK(WaitFor(
      [&] {
        again = ada.Invoke("count", {{"n", 1}}, "request-1");
        return ReasonOf(again.status()) != "TOOL_CALL_IN_PROGRESS";
      },
      "the end of the tool"));
  ASSERT_OK(again);
  EXPECT_FALSE(again->repeated_result());
  EXPECT_EQ(tool_->runs(), 2);
}

TEST_F(RevocationTest, PendingApprovalCannotBeResolvedAnyMore) {
  Covers({"AU-9", "AE-10"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval approval, StartAskingRun(ada));
  const std::string run = RunOf(approval);
  const std::string session = ada.session();
  ASSERT_OK(ada.SignIn());

  const absl::Time revoked_at = RealNow();
  ASSERT_OK(Revoke(ada, session));
  ExpectRevoked(ada, run, "session", "SESSION_REVOKED");
  EXPECT_LT(RealNow() - revoked_at, kPromptly);
  EXPECT_THAT(ada.Decide(approval, /*allow=*/true),
              HasReason(absl::StatusCode::kFailedPrecondition, "APPROVAL_EXPIRED"));
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(Not(Contains("approval_resolved"))));
  EXPECT_EQ(tool_->runs(), 0);
}

TEST_F(RevocationTest, QueuedRunNeverStarts) {
  Covers({"AU-9", "AE-8"});
  const std::unique_ptr<Harness> platform = Build([](HarnessBuilder& builder) {
    builder.Configure([](common::v1::PlatformConfig& config) { config.mutable_agent()->set_max_running_per_user(1); });
  });
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string running, StartHeldRun(ada));
  ASSERT_OK_AND_ASSIGN(const std::string queued, ada.StartRun("chain", input_));
  const std::string session = ada.session();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK_AND_ASSIGN(const std::string own, ada.StartRun("chain", input_));

  ASSERT_OK(Revoke(ada, session));
  ExpectRevoked(ada, running, "session", "SESSION_REVOKED");
  ExpectRevoked(ada, queued, "session", "SESSION_REVOKED");
  EXPECT_THAT(ada.EventTypesOf(queued), IsOkAndHolds(ElementsAre("run_queued", "agent_cancelled")));
  // The one of her other session gets the place.
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(own));
  EXPECT_EQ(agent::v1::RunState_Name(ended.state()), "RUN_STATE_SUCCEEDED");
  EXPECT_EQ(tool_->runs(), 2);
}

TEST_F(RevocationTest, SleepingRunDoesNotSleepOn) {
  Covers({"AU-9"});
  const std::unique_ptr<Harness> platform = Build([](HarnessBuilder& builder) {
    builder.WithAgent(ScriptedAgent(
        "sleeper", [](agent::RunContext& run, const nlohmann::json&) -> Awaitable<absl::StatusOr<agent::Answer>> {
          co_await run.Think("good night");
          CO_RETURN_IF_ERROR(co_await run.Sleep(absl::Minutes(30)));
          co_return agent::Answer{.summary = "slept"};
        }));
  });
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("sleeper", nlohmann::json::object()));
  ASSERT_OK(ada.WaitForEvent(run, "agent_thinking"));
  const std::string session = ada.session();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(Revoke(ada, session));
  ExpectRevoked(ada, run, "session", "SESSION_REVOKED");
}

TEST_F(RevocationTest, DisabledUserLosesAllOfIt) {
  Covers({"AU-9", "AU-3"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  platform->AsAdmin();
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(const std::string running, StartHeldRun(ada));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval approval, StartAskingRun(ada));
  const std::string asking = RunOf(approval);
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval bobs_approval, StartAskingRun(bob));
  const std::string bobs = RunOf(bobs_approval);

  const absl::Time disabled_at = RealNow();
  ASSERT_OK(SetDisabled(*platform, ada, true));
  EXPECT_EQ(socket->WaitForClose(), 4401);
  EXPECT_LT(RealNow() - disabled_at, kPromptly);
  ExpectRefusedEverywhere(*platform, ada, ada.token().Reveal(), "SESSION_REVOKED");
  EXPECT_THAT(ada.Refresh(), HasReason("SESSION_REVOKED"));

  // Her runs stay ended when she is let in again.
  ASSERT_OK(SetDisabled(*platform, ada, false));
  ASSERT_OK(ada.SignIn());
  ExpectRevoked(ada, running, "session", "USER_DISABLED");
  ExpectRevoked(ada, asking, "session", "USER_DISABLED");
  EXPECT_THAT(ada.Decide(approval, true), HasReason("APPROVAL_EXPIRED"));

  ASSERT_OK(bob.Decide(bobs_approval, true));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, bob.WaitForRun(bobs));
  EXPECT_EQ(agent::v1::RunState_Name(ended.state()), "RUN_STATE_SUCCEEDED");
}

TEST_F(RevocationTest, DeletedUserLosesAllOfIt) {
  Covers({"AU-9"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  platform->AsAdmin();
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(const std::string run, StartHeldRun(ada));
  ASSERT_OK(socket->Subscribe(run));

  auth::v1::DeleteUserRequest request;
  request.set_name(ada.name());
  ASSERT_OK(Call<UserService>(platform->AsAdmin(), &UserService::Stub::DeleteUser, request));
  EXPECT_EQ(socket->WaitForClose(), 4401);
  ExpectRefusedEverywhere(*platform, ada, ada.token().Reveal(), "SESSION_REVOKED");
  // Nobody is left who could ask for the run; that it ended shows at the end, as it would hold its tool.
}

TEST_F(RevocationTest, ChangedPasswordEndsTheWorkOfTheOtherSessions) {
  Covers({"AU-9"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval question_of_others, StartAskingRun(ada));
  const std::string others = RunOf(question_of_others);
  ASSERT_OK(ada.SignIn());
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval approval, StartAskingRun(ada));
  const std::string own = RunOf(approval);

  auth::v1::ChangePasswordRequest request;
  request.set_current_password(ada.password());
  request.set_new_password("herons count the tide twice");
  ASSERT_OK(Call<UserService>(ada, &UserService::Stub::ChangePassword, request));
  ExpectRevoked(ada, others, "session", "PASSWORD_CHANGED");
  ASSERT_OK(ada.Decide(approval, true));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, ada.WaitForRun(own));
  EXPECT_EQ(agent::v1::RunState_Name(ended.state()), "RUN_STATE_SUCCEEDED");
}

TEST_F(RevocationTest, ReusedRefreshTokenEndsTheWorkOfItsSession) {
  Covers({"AU-9", "AU-3"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval question_of_run, StartAskingRun(ada));
  const std::string run = RunOf(question_of_run);
  auth::v1::RefreshSessionRequest stolen;
  stolen.set_refresh_token(ada.refresh_token());
  ASSERT_OK(ada.Refresh());
  EXPECT_THAT(CallWithToken<SessionService>(*platform, "", &SessionService::Stub::RefreshSession, stolen),
              HasReason("REFRESH_TOKEN_REUSED"));
  ASSERT_OK(ada.SignIn());
  ExpectRevoked(ada, run, "session", "REFRESH_TOKEN_REUSED");
}

TEST_F(RevocationTest, TokensOfACompromisedKeyAreRefusedEverywhereAtOnce) {
  Covers({"AU-6", "AU-9"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  platform->AsAdmin();
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  const std::string compromised = KeyIdOf(ada.token());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(const std::string run, StartHeldRun(ada));

  const absl::Time revoked_at = RealNow();
  ASSERT_OK(ReplaceKey(*platform, compromised));
  EXPECT_EQ(socket->WaitForClose(), 4401);
  EXPECT_LT(RealNow() - revoked_at, kPromptly);
  for (User* user : {&ada, &bob}) {
    ExpectRefusedEverywhere(*platform, *user, user->token().Reveal(), "TOKEN_KEY_REVOKED");
  }
  // The sessions live: each gets its user a token of the new key. So do the services', or no event would come.
  ASSERT_OK(ada.Refresh());
  ASSERT_OK(bob.SignIn());
  ExpectRevoked(ada, run, "key", "KEY_REVOKED");
  for (User* user : {&ada, &bob}) {
    ASSERT_OK_AND_ASSIGN(const std::string next, user->StartRun("chain", input_));
    ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, user->WaitForRun(next));
    EXPECT_EQ(agent::v1::RunState_Name(ended.state()), "RUN_STATE_SUCCEEDED");
  }
  EXPECT_EQ(tool_->runs(), 3);
}

TEST_F(RevocationTest, RunRevokedWhileItsServiceWasGoingDownIsNotResumed) {
  Covers({"AU-9", "AE-6"});
  std::atomic<bool> storage_dead = false;
  const std::unique_ptr<Harness> platform = Build([&](HarnessBuilder& builder) {
    builder.BeforeCommit([&](int64_t) {
      return storage_dead ? MakeError(absl::StatusCode::kUnavailable, "the disk is gone",
                                      {.domain = "bulkhead.testing", .reason = "DISK_GONE"})
                          : absl::OkStatus();
    });
  });
  ASSERT_NE(platform, nullptr);
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval question_of_run, StartAskingRun(ada));
  const std::string run = RunOf(question_of_run);
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval bobs_approval, StartAskingRun(bob));
  const std::string bobs = RunOf(bobs_approval);
  // From here on the agent service can write nothing down, as if it had died before it heard of the revocation.
  storage_dead = true;
  const std::string session = ada.session();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(Revoke(ada, session));
  platform->Crash();
  storage_dead = false;
  ASSERT_OK(platform->Start());

  ExpectRevoked(ada, run, "session", "SESSION_REVOKED");
  EXPECT_THAT(ada.EventTypesOf(run), IsOkAndHolds(Not(Contains("run_recovered"))));
  // Bob's goes on where it was.
  ASSERT_OK(bob.Decide(bobs_approval, true));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Run ended, bob.WaitForRun(bobs));
  EXPECT_EQ(agent::v1::RunState_Name(ended.state()), "RUN_STATE_SUCCEEDED");
  EXPECT_EQ(tool_->runs(), 1);
}

TEST_F(RevocationTest, WhatWasMissedWhileAuthWasAwayIsCaughtUpWith) {
  Covers({"AU-9", "WS-9"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  platform->AsAdmin();
  User& ada = platform->As("ada");
  const std::string first_key = KeyIdOf(ada.token());
  // Withdrawing the key that signed the services' own tokens breaks their streams; they do not come through again.
  std::vector<std::shared_ptr<Hold>> away;
  for (int i = 1; i <= 4; ++i) {
    away.push_back(platform->faults().HoldCall(kWatch, i));
  }
  ASSERT_OK(ReplaceKey(*platform, first_key));
  for (const std::shared_ptr<Hold>& hold : away) {
    ASSERT_OK(hold->Wait());
  }
  ASSERT_OK(ada.Refresh());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(const agent::v1::Approval question_of_run, StartAskingRun(ada));
  const std::string run = RunOf(question_of_run);
  const std::string session = ada.session();
  const RawToken token = ada.token().Copy();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(Revoke(ada, session));
  // Nobody but auth knows it yet, and what is known goes on to count.
  EXPECT_OK(CallWithToken<ToolService>(*platform, token.Reveal(), &ToolService::Stub::ListTools, {}));
  EXPECT_OK(socket->Ping());
  EXPECT_THAT(AskEveryService(*platform, ada, token.Reveal()), Contains(::testing::Pair("auth", "SESSION_REVOKED")));

  for (const std::shared_ptr<Hold>& hold : away) {
    hold->Resume();
  }
  EXPECT_EQ(socket->WaitForClose(), 4401);
  ExpectRefusedEverywhere(*platform, ada, token.Reveal(), "SESSION_REVOKED");
  ExpectRevoked(ada, run, "session", "SESSION_REVOKED");
}

TEST_F(RevocationTest, WatchersGetWhatCountsThenWhatComesAndNothingOfThePast) {
  Covers({"AU-9", "AU-5"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  User& admin = platform->AsAdmin();
  User& ada = platform->As("ada");
  const std::string first = ada.session();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(Revoke(ada, first));
  ASSERT_OK(Revoke(ada, first)) << "again, which adds nothing";

  {
    grpc::ClientContext context;
    admin.Authorize(context);
    const auto stub = StubFor<RevocationService>(admin);
    const auto reader = stub->WatchRevocations(&context, {});
    auth::v1::WatchRevocationsResponse message;
    ASSERT_TRUE(reader->Read(&message));
    EXPECT_EQ(message.revocation().session(), first);
    EXPECT_EQ(message.revocation().reason(), "SESSION_REVOKED");
    const absl::Duration counts = absl::Seconds(message.revocation().expire_time().seconds()) -
                                  absl::Seconds(message.revocation().time().seconds());
    EXPECT_GE(counts, absl::Hours(7 * 24)) << "as long as a run's token may live";
    const uint64_t cursor = message.revocation().sequence();
    ASSERT_TRUE(reader->Read(&message));
    EXPECT_EQ(message.caught_up().sequence(), cursor);
    ASSERT_OK(Revoke(ada, ada.session()));
    ASSERT_TRUE(reader->Read(&message));
    EXPECT_EQ(message.revocation().session(), ada.session());
    EXPECT_GT(message.revocation().sequence(), cursor);
    context.TryCancel();
    EXPECT_FALSE(reader->Finish().ok());
  }
  // Only who may watch.
  {
    User& bob = platform->As("bob");
    grpc::ClientContext context;
    bob.Authorize(context);
    const auto stub = StubFor<RevocationService>(bob);
    const auto reader = stub->WatchRevocations(&context, {});
    auth::v1::WatchRevocationsResponse message;
    EXPECT_FALSE(reader->Read(&message));
    EXPECT_THAT(FromGrpcStatus(reader->Finish()), HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  }
  // When no token can be left that falls under them, they are forgotten.
  platform->Advance(absl::Hours(8 * 24));
  ASSERT_OK(admin.Refresh());
  grpc::ClientContext context;
  admin.Authorize(context);
  const auto stub = StubFor<RevocationService>(admin);
  const auto reader = stub->WatchRevocations(&context, {});
  auth::v1::WatchRevocationsResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_TRUE(message.has_caught_up()) << message.revocation().session();
  context.TryCancel();
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_F(RevocationTest, GatewayIsReadyWhileItHearsOfRevocations) {
  Covers({"AU-9"});
  const std::unique_ptr<Harness> platform = Build();
  ASSERT_NE(platform, nullptr);
  ASSERT_OK_AND_ASSIGN(const nlohmann::json ready, platform->As("ada").Http("GET", "/readyz", nullptr));
  EXPECT_EQ(ready.at("services").at("revocations"), "ok") << ready;
}

}  // namespace
}  // namespace bulkhead::testing
