// gRPC in one process and over TCP, with the generated code of a proto below a stripped import prefix.
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/smoke/v1/echo_service.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tools/smoke/echo_service.h"

namespace bulkhead::smoke {
namespace {

TEST(RpcTest, EchoesOverTcp) {
  EchoServiceImpl service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  auto stub = v1::EchoService::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::EchoRequest request;
  request.mutable_note()->set_text("hello");
  (*request.mutable_note()->mutable_labels())["a"] = "b";
  v1::EchoResponse response;
  const grpc::Status status = stub->Echo(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.note().text(), "hello");
  EXPECT_EQ(response.note().labels().at("a"), "b");
  server->Shutdown();
}

TEST(RpcTest, StreamsInProcess) {
  EchoServiceImpl service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  auto stub = v1::EchoService::NewStub(server->InProcessChannel({}));
  grpc::ClientContext context;
  v1::EchoRequest request;
  request.mutable_note()->set_text("again");
  auto reader = stub->StreamEchoes(&context, request);
  v1::EchoResponse response;
  int seen = 0;
  while (reader->Read(&response)) {
    EXPECT_EQ(response.note().text(), "again");
    ++seen;
  }
  EXPECT_EQ(seen, 3);
  EXPECT_TRUE(reader->Finish().ok());
  server->Shutdown();
}

TEST(RpcTest, ProtobufUtilitiesLink) {
  google::rpc::ErrorInfo info;
  info.set_reason("TOKEN_EXPIRED");
  google::rpc::Status status;
  ASSERT_TRUE(status.add_details()->PackFrom(info));
  std::string json;
  ASSERT_TRUE(google::protobuf::util::MessageToJsonString(info, &json).ok());
  EXPECT_THAT(json, testing::HasSubstr("TOKEN_EXPIRED"));
  google::rpc::ErrorInfo back;
  EXPECT_TRUE(status.details(0).UnpackTo(&back));
  EXPECT_EQ(back.reason(), "TOKEN_EXPIRED");
}

}  // namespace
}  // namespace bulkhead::smoke
