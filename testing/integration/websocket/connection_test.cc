// Who gets a WebSocket, what it takes from its client, and how it ends.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "services/gateway/client/gateway_client.h"
#include "services/gateway/client/web_socket.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/resource_name.h"
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

using gateway::ClientWebSocket;
using notifier::v1::ServerFrame;
using ::testing::HasSubstr;

absl::Status TryToConnect(ClientWebSocket::Options options) {
  return ClientWebSocket::Connect(std::move(options)).status();
}

TEST(ConnectionTest, HandshakeThatIsNotInOrderIsRefused) {
  Covers({"WS-4", "AU-1"});
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder()
                           .WithUsers({"ada"})
                           .Configure([](common::v1::PlatformConfig& config) {
                             config.mutable_gateway()->add_allowed_origins("https://console.example.org");
                           })
                           .Build());
  const std::string url = platform->url();
  const RawToken& token = platform->As("ada").token();

  EXPECT_THAT(TryToConnect({.base_url = url}), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING"));
  EXPECT_THAT(TryToConnect({.base_url = url, .token = RawToken(std::string("forged"))}),
              HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_MALFORMED"));
  EXPECT_THAT(TryToConnect({.base_url = url, .subprotocol = "", .token = token.Copy()}),
              HasReason(absl::StatusCode::kInvalidArgument, "SUBPROTOCOL_UNSUPPORTED"));
  EXPECT_THAT(TryToConnect({.base_url = url, .subprotocol = "bulkhead.v2.json", .token = token.Copy()}),
              HasReason(absl::StatusCode::kInvalidArgument, "SUBPROTOCOL_UNSUPPORTED"));
  EXPECT_THAT(TryToConnect({.base_url = url, .token = token.Copy(), .origin = "https://evil.example.org"}),
              HasReason(absl::StatusCode::kPermissionDenied, "ORIGIN_REFUSED"));

  EXPECT_OK(TryToConnect({.base_url = url, .token = token.Copy()}));
  EXPECT_OK(TryToConnect({.base_url = url, .token = token.Copy(), .origin = url}));
  EXPECT_OK(TryToConnect({.base_url = url, .token = token.Copy(), .origin = "https://console.example.org"}));
}

TEST(ConnectionTest, TicketOpensOneSocketWithinItsTime) {
  Covers({"WS-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  const std::string url = platform->url();
  ASSERT_OK_AND_ASSIGN(nlohmann::json answer, ada.Http("POST", "/v1/ws-tickets", nullptr));
  const std::string ticket = answer.at("ticket");

  EXPECT_THAT(TryToConnect({.base_url = url, .ticket = ticket}), HasReason("ORIGIN_REFUSED"));
  EXPECT_OK(TryToConnect({.base_url = url, .ticket = ticket, .origin = url}));
  EXPECT_THAT(TryToConnect({.base_url = url, .ticket = ticket, .origin = url}),
              HasReason(absl::StatusCode::kUnauthenticated, "TICKET_INVALID"));

  ASSERT_OK_AND_ASSIGN(nlohmann::json late, ada.Http("POST", "/v1/ws-tickets", nullptr));
  platform->Advance(absl::Seconds(31));
  EXPECT_THAT(TryToConnect({.base_url = url, .ticket = late.at("ticket"), .origin = url}), HasReason("TICKET_INVALID"));
}

TEST(ConnectionTest, UnreadableFrameEndsTheConnectionWithACode) {
  Covers({"WS-4", "WS-3"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  for (const bool text : {true, false}) {
    // JSON that is none; and binary where text was agreed.
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, platform->As("ada")));
    ASSERT_OK(socket->Ping());
    ASSERT_OK(socket->raw().Send("{", text));
    ASSERT_OK_AND_ASSIGN(ServerFrame error, socket->Next());
    EXPECT_EQ(error.error().error().reason(), "FRAME_INVALID");
    EXPECT_EQ(socket->WaitForClose(), 4400);
  }
}

TEST(ConnectionTest, WrongCommandIsAnsweredAndTheConnectionStays) {
  Covers({"WS-3", "WS-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  const std::string run = absl::StrCat(ada.name(), "/runs/run-to-come");

  EXPECT_THAT(socket->Ask({}), HasReason(absl::StatusCode::kInvalidArgument, "FRAME_INVALID"));
  EXPECT_THAT(socket->Unsubscribe(run), HasReason(absl::StatusCode::kNotFound, "NOT_SUBSCRIBED"));
  EXPECT_THAT(socket->Subscribe(run, 5), HasReason(absl::StatusCode::kOutOfRange, "CURSOR_AHEAD"));
  EXPECT_OK(socket->Subscribe(run));
  EXPECT_THAT(socket->Subscribe(run), HasReason(absl::StatusCode::kAlreadyExists, "ALREADY_SUBSCRIBED"));
  EXPECT_OK(socket->Unsubscribe(run));
  EXPECT_OK(socket->Subscribe(run));
  EXPECT_OK(socket->Ping());
}

TEST(ConnectionTest, NothingComesAfterTheAnswerToUnsubscribe) {
  Covers({"WS-2", "WS-4"});
  auto tool = std::make_shared<HoldingTool>("wait");
  std::shared_ptr<Hold> held = tool->HoldCall();
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(tool).WithAgent(ToolChainAgent()).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::string run, ada.StartRun("chain", {{"tools", {"wait"}}}));
  ASSERT_OK(socket->Subscribe(run));
  ASSERT_OK(socket->NextEvents(4));
  ASSERT_OK(held->Wait());

  ASSERT_OK(socket->Unsubscribe(run));
  held->Resume();
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK(socket->Subscribe(run, 5));

  // The first event that comes is the one after the new cursor, not one of the old subscription.
  ASSERT_OK_AND_ASSIGN(std::vector<notifier::v1::Event> events, socket->EventsToTheEnd());
  EXPECT_THAT(NumbersOf(events), ::testing::ElementsAre(6));
}

TEST(ConnectionTest, ConnectionsOfAUserAreLimited) {
  Covers({"WS-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada", "bob"})
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_gateway()->set_max_connections_per_user(2);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> first, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> second, EventSocket::Open(*platform, ada));
  EXPECT_THAT(EventSocket::Open(*platform, ada),
              HasReason(absl::StatusCode::kResourceExhausted, "TOO_MANY_CONNECTIONS"));
  EXPECT_OK(EventSocket::Open(*platform, platform->As("bob")));

  first->raw().Close(1000);
  EXPECT_OK(
      WaitFor([&] { return EventSocket::Open(*platform, ada).ok(); }, "the closed socket to give its place back"));
}

TEST(ConnectionTest, EventStreamTakesAPlaceToo) {
  Covers({"WS-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_gateway()->set_max_connections_per_user(1);
                                          })
                                          .WithAgent(ToolChainAgent())
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", Tools({})));
  ASSERT_OK(ada.WaitForRun(run));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<gateway::GatewayClient> client, ada.NewGatewayClient());
  const gateway::RawRequest events{.path = absl::StrCat("/v1/runs/", IdOf(run), "/events"),
                                   .headers = {{"Accept", "text/event-stream"}}};
  ASSERT_OK_AND_ASSIGN(const gateway::RawResponse refused, client->Send(events, ada.token()));
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body, HasSubstr("TOO_MANY_CONNECTIONS"));

  socket->raw().Close(1000);
  EXPECT_OK(WaitFor(
      [&] {
        const absl::StatusOr<gateway::RawResponse> stream = client->Send(events, ada.token());
        return stream.ok() && stream->status == 200;
      },
      "the closed socket to give its place back"));
}

TEST(ConnectionTest, SilentClientIsClosed) {
  Covers({"WS-4"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_gateway()->set_max_connections_per_user(1);
                                            config.mutable_gateway()->mutable_heartbeat()->set_seconds(1);
                                            config.mutable_gateway()->mutable_idle_timeout()->set_seconds(3);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> silent, EventSocket::Open(*platform, ada));

  // It answers no ping, because nobody reads it. That it is given up shows by its place being free.
  ASSERT_OK(WaitFor(
      [&] {
        platform->Advance(absl::Seconds(1));
        return EventSocket::Open(*platform, ada).ok();
      },
      "the silent socket to be closed"));
  EXPECT_EQ(silent->WaitForClose(), 4408);
}

TEST(ConnectionTest, SocketEndsWithItsToken) {
  Covers({"WS-4", "AU-1"});
  // Nobody reads while the time passes: without pings to answer it is the token alone that ends.
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder()
                                          .WithUsers({"ada"})
                                          .Configure([](common::v1::PlatformConfig& config) {
                                            config.mutable_gateway()->mutable_heartbeat()->set_seconds(3600);
                                            config.mutable_gateway()->mutable_idle_timeout()->set_seconds(86400);
                                          })
                                          .Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> socket, EventSocket::Open(*platform, ada));
  ASSERT_OK(socket->Ping());

  platform->Advance(absl::Hours(2));

  EXPECT_EQ(socket->WaitForClose(), 4401);
  EXPECT_THAT(EventSocket::Open(*platform, ada), HasReason("TOKEN_EXPIRED"));
  ASSERT_OK(ada.Refresh());
  EXPECT_OK(EventSocket::Open(*platform, ada));
}

TEST(ConnectionTest, RevokedSessionLosesItsSocketsAndNoOther) {
  Covers({"WS-9", "AU-9"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> old_session, EventSocket::Open(*platform, ada));
  const std::string revoked = ada.session().substr(ada.session().rfind('/') + 1);
  ASSERT_OK(ada.SignIn());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> new_session, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> bobs, EventSocket::Open(*platform, platform->As("bob")));

  ASSERT_OK(ada.Http("DELETE", absl::StrCat("/v1/users/me/sessions/", revoked), nullptr));

  EXPECT_EQ(old_session->WaitForClose(), 4401);
  EXPECT_OK(new_session->Ping());
  EXPECT_OK(bobs->Ping());
}

TEST(ConnectionTest, SessionRevokedElsewhereLosesItsSocketsWithinASecond) {
  Covers({"WS-9", "AU-9"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> adas, EventSocket::Open(*platform, ada));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<EventSocket> bobs, EventSocket::Open(*platform, platform->As("bob")));

  // Not through the gateway, which has to find out.
  auth::v1::RevokeSessionRequest revoke;
  revoke.set_name(ada.session());
  ASSERT_OK(Call<auth::v1::SessionService>(ada, &auth::v1::SessionService::Stub::RevokeSession, revoke));
  platform->Advance(absl::Seconds(1));

  EXPECT_EQ(adas->WaitForClose(), 4401);
  EXPECT_OK(bobs->Ping());
}

}  // namespace
}  // namespace bulkhead::testing
