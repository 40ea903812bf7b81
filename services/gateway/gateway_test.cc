#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "services/common/status/error.h"
#include "services/common/time/simulated_clock.h"
#include "services/gateway/frame_codec.h"
#include "services/gateway/http_message.h"
#include "services/gateway/router.h"
#include "services/gateway/routes.h"
#include "services/gateway/ticket_store.h"
#include "services/gateway/transcoder.h"
#include "testing/base/matchers.h"

namespace bulkhead::gateway {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// --- Router ---

Router TestRouter() {
  return Router({{"GET", "/v1/runs"},
                 {"GET", "/v1/runs/{run}"},
                 {"POST", "/v1/runs/{run}:cancel"},
                 {"POST", "/v1/runs/{run}/approvals/{approval}:resolve"},
                 {"GET", "/v1/files/{path=**}"},
                 {"PUT", "/v1/files/{path=**}"}});
}

TEST(RouterTest, VariablesAreDecoded) {
  ASSERT_OK_AND_ASSIGN(Router::Match match, TestRouter().Find("POST", "/v1/runs/run-a/approvals/a%2Db:resolve"));
  EXPECT_EQ(match.index, 3u);
  EXPECT_THAT(match.variables, UnorderedElementsAre(Pair("run", "run-a"), Pair("approval", "a-b")));
}

TEST(RouterTest, RestOfThePathIsOneVariable) {
  ASSERT_OK_AND_ASSIGN(Router::Match match, TestRouter().Find("PUT", "/v1/files/reports/a%20b:c.csv"));
  EXPECT_EQ(match.index, 5u);
  EXPECT_THAT(match.variables, ElementsAre(Pair("path", "reports/a b:c.csv")));
}

TEST(RouterTest, WrongMethodNamesTheRightOnes) {
  absl::Status status = TestRouter().Find("DELETE", "/v1/files/a").status();
  EXPECT_THAT(status, HasReason("METHOD_NOT_ALLOWED"));
  EXPECT_EQ(ErrorResponse(status).status, 405);
  EXPECT_EQ(ErrorResponse(status).headers["Allow"], "GET, PUT");
}

TEST(RouterTest, WhatIsNoRouteIsNotFound) {
  for (const char* path :
       {"/", "/v1", "/v1/runs/", "/v1/runs/a/b", "/v1/runs/a%2Fb", "/v1/runs/a:other", "/v1/files"}) {
    EXPECT_THAT(TestRouter().Find("GET", path), HasReason(absl::StatusCode::kNotFound, "ROUTE_NOT_FOUND")) << path;
  }
}

TEST(RouterTest, BadEncodingIsRefused) {
  for (const char* path : {"/v1/runs/%", "/v1/runs/%4", "/v1/runs/%zz", "/v1/files/a%00b"}) {
    EXPECT_THAT(TestRouter().Find("GET", path), HasReason(absl::StatusCode::kInvalidArgument, "TARGET_INVALID"))
        << path;
  }
}

// --- The table and its messages ---

TEST(RoutesTest, EveryRouteNamesAnRpcThatExists) {
  ASSERT_OK_AND_ASSIGN(std::vector<RpcShape> shapes, ResolveRoutes());
  ASSERT_EQ(shapes.size(), Routes().size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    EXPECT_EQ(Routes()[i].rpc.empty(), shapes[i].request == nullptr) << Routes()[i].path;
  }
}

// The request message that the route for `method` and `path` makes.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> RequestFor(std::string_view method, std::string_view path,
                                                                      RequestSources sources) {
  const std::vector<RpcShape> shapes = *ResolveRoutes();
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (Routes()[i].method == method && Routes()[i].path == path) {
      return MakeRequest(Routes()[i], shapes[i], sources);
    }
  }
  return absl::NotFoundError(path);
}

TEST(TranscoderTest, ThePathWinsOverTheBody) {
  const std::map<std::string, std::string> variables = {{"me", "ada"}, {"run", "run-a"}};
  ASSERT_OK_AND_ASSIGN(auto message, RequestFor("POST", "/v1/runs/{run}:cancel",
                                                {.body = R"({"name":"users/bob/runs/run-b","comment":"enough"})",
                                                 .variables = &variables}));
  agent::v1::CancelRunRequest want;
  want.set_name("users/ada/runs/run-a");
  want.set_comment("enough");
  EXPECT_THAT(*message, ::bulkhead::testing::EqualsProto(want));
}

TEST(TranscoderTest, QueryBecomesFields) {
  const std::map<std::string, std::string> query = {
      {"pageSize", "5"}, {"page_token", "t"}, {"states", "RUN_STATE_FAILED"}};
  ASSERT_OK_AND_ASSIGN(auto message, RequestFor("GET", "/v1/runs", {.query = &query}));
  agent::v1::ListRunsRequest want;
  want.set_page_size(5);
  want.set_page_token("t");
  want.add_states(agent::v1::RUN_STATE_FAILED);
  EXPECT_THAT(*message, ::bulkhead::testing::EqualsProto(want));
}

TEST(TranscoderTest, WhatDoesNotFitIsRefused) {
  for (const std::map<std::string, std::string>& query : std::vector<std::map<std::string, std::string>>{
           {{"pageSize", "many"}}, {{"nonsense", "1"}}, {{"states", "RUN_STATE_WRONG"}}}) {
    EXPECT_THAT(RequestFor("GET", "/v1/runs", {.query = &query}), HasReason("QUERY_INVALID"));
  }
  for (const char* body : {"{", "[]", R"({"nonsense":1})", R"({"agent":1})"}) {
    EXPECT_THAT(RequestFor("POST", "/v1/runs", {.body = body}), HasReason("JSON_INVALID")) << body;
  }
}

// --- Targets and errors ---

TEST(HttpMessageTest, TargetIsSplitAndDecoded) {
  HttpRequest request;
  ASSERT_OK(ParseTarget("/v1/tools?query=table+load&x=%26", &request));
  EXPECT_EQ(request.path, "/v1/tools");
  EXPECT_THAT(request.query, UnorderedElementsAre(Pair("query", "table load"), Pair("x", "&")));

  for (const char* target : {"", "*", "http://other/", "/?a=%", "/?a=1&a=2"}) {
    HttpRequest bad;
    EXPECT_THAT(ParseTarget(target, &bad), HasReason("TARGET_INVALID")) << target;
  }
}

TEST(HttpMessageTest, ErrorCarriesItsReasonAndWhenToRetry) {
  const HttpResponse response = ErrorResponse(MakeError(absl::StatusCode::kResourceExhausted, "slowly",
                                                        {.domain = "bulkhead.agent",
                                                         .reason = "RUN_QUOTA_EXCEEDED",
                                                         .metadata = {{"limit", "4"}},
                                                         .retry_after = absl::Milliseconds(1500)}));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.at("Retry-After"), "2");
  const nlohmann::json error = nlohmann::json::parse(response.body).at("error");
  EXPECT_EQ(error.at("code"), 429);
  EXPECT_EQ(error.at("status"), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(error.at("details").at(0).at("reason"), "RUN_QUOTA_EXCEEDED");
  EXPECT_EQ(error.at("details").at(0).at("metadata").at("limit"), "4");
  EXPECT_EQ(error.at("details").at(1).at("retryDelay"), "1.5s");
}

// --- Tickets ---

class TicketTest : public ::testing::Test {
 protected:
  std::shared_ptr<const RawToken> token_ = std::make_shared<const RawToken>(std::string("secret"));
  SimulatedClock clock_{absl::UnixEpoch()};
  TicketStore tickets_{{.lifetime = absl::Seconds(30), .max_per_user = 2}, &clock_};
};

TEST_F(TicketTest, TicketWorksOnce) {
  ASSERT_OK_AND_ASSIGN(std::string ticket, tickets_.Issue("ada", token_));
  EXPECT_THAT(tickets_.Redeem(ticket), ::bulkhead::testing::IsOkAndHolds(token_));
  EXPECT_THAT(tickets_.Redeem(ticket), HasReason(absl::StatusCode::kUnauthenticated, "TICKET_INVALID"));
}

TEST_F(TicketTest, TicketExpires) {
  ASSERT_OK_AND_ASSIGN(std::string ticket, tickets_.Issue("ada", token_));
  clock_.Advance(absl::Seconds(30));
  EXPECT_THAT(tickets_.Redeem(ticket), HasReason("TICKET_INVALID"));
}

TEST_F(TicketTest, UnusedTicketsAreLimitedByUser) {
  ASSERT_OK(tickets_.Issue("ada", token_));
  ASSERT_OK(tickets_.Issue("ada", token_));
  EXPECT_THAT(tickets_.Issue("ada", token_), HasReason(absl::StatusCode::kResourceExhausted, "TOO_MANY_TICKETS"));
  EXPECT_OK(tickets_.Issue("bob", token_));
  clock_.Advance(absl::Seconds(30));
  EXPECT_OK(tickets_.Issue("ada", token_));
}

// --- Frames ---

TEST(FrameCodecTest, ClientsPreferenceDecides) {
  EXPECT_EQ(ChooseFormat("other, bulkhead.v1.proto, bulkhead.v1.json"), FrameFormat::kProto);
  EXPECT_EQ(ChooseFormat("bulkhead.v1.json"), FrameFormat::kJson);
  EXPECT_EQ(ChooseFormat("bulkhead.v2.json"), std::nullopt);
  EXPECT_EQ(ChooseFormat(""), std::nullopt);
}

TEST(FrameCodecTest, SameFrameInBothFormats) {
  notifier::v1::ClientFrame want;
  want.set_id("a");
  want.mutable_subscribe()->set_stream("users/ada/runs/run-a");
  want.mutable_subscribe()->set_after(7);

  notifier::v1::ClientFrame json;
  ASSERT_OK(DecodeFrame(FrameFormat::kJson, /*is_text=*/true,
                        R"({"id":"a","subscribe":{"stream":"users/ada/runs/run-a","after":7}})", &json));
  notifier::v1::ClientFrame proto;
  ASSERT_OK(DecodeFrame(FrameFormat::kProto, /*is_text=*/false, want.SerializeAsString(), &proto));

  EXPECT_THAT(json, ::bulkhead::testing::EqualsProto(want));
  EXPECT_THAT(proto, ::bulkhead::testing::EqualsProto(want));
}

TEST(FrameCodecTest, WhatIsNoFrameIsRefused) {
  notifier::v1::ClientFrame frame;
  EXPECT_THAT(DecodeFrame(FrameFormat::kJson, /*is_text=*/false, "{}", &frame), HasReason("FRAME_INVALID"));
  EXPECT_THAT(DecodeFrame(FrameFormat::kProto, /*is_text=*/true, "", &frame), HasReason("FRAME_INVALID"));
  EXPECT_THAT(DecodeFrame(FrameFormat::kJson, /*is_text=*/true, "{", &frame), HasReason("FRAME_INVALID"));
  EXPECT_THAT(DecodeFrame(FrameFormat::kJson, /*is_text=*/true, R"({"shout":{}})", &frame), HasReason("FRAME_INVALID"));
  EXPECT_THAT(DecodeFrame(FrameFormat::kProto, /*is_text=*/false, "\xff", &frame), HasReason("FRAME_INVALID"));
}

TEST(FrameCodecTest, ServerFrameHasAVersionAndNumbers) {
  notifier::v1::ServerFrame frame;
  frame.mutable_event()->set_sequence(12);
  EXPECT_EQ(nlohmann::json::parse(EncodeFrame(FrameFormat::kJson, frame)),
            nlohmann::json::parse(R"({"version":1,"event":{"sequence":12}})"));
  notifier::v1::ServerFrame back;
  ASSERT_TRUE(back.ParseFromString(EncodeFrame(FrameFormat::kProto, frame)));
  EXPECT_EQ(back.version(), 1u);
}

}  // namespace
}  // namespace bulkhead::gateway
