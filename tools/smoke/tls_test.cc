// BoringSSL (ours, prefixed) and OpenSSL (gRPC's) at work in one process.
#include <grpcpp/security/credentials.h>

#include "absl/strings/str_cat.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tools/smoke/boringssl_primitives.h"
#include "tools/smoke/echo_service.h"

namespace bulkhead::smoke {
namespace {

TEST(TlsTest, GrpcOverTlsWorksBesideBoringSsl) {
  const KeyAndCertificate pem = MakeSelfSigned();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(CheckPrimitives(), "");
    EchoServiceImpl service;
    grpc::ServerBuilder builder;
    int port = 0;
    grpc::SslServerCredentialsOptions server_options;
    server_options.pem_key_cert_pairs.push_back({pem.key_pem, pem.certificate_pem});
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(server_options), &port);
    builder.RegisterService(&service);
    auto server = builder.BuildAndStart();
    ASSERT_NE(server, nullptr);

    grpc::SslCredentialsOptions client_options;
    client_options.pem_root_certs = pem.certificate_pem;
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    auto stub = v1::EchoService::NewStub(
        grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), grpc::SslCredentials(client_options), arguments));
    grpc::ClientContext context;
    v1::EchoRequest request;
    request.mutable_note()->set_text("sealed");
    v1::EchoResponse response;
    const grpc::Status status = stub->Echo(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.note().text(), "sealed");
    EXPECT_EQ(CheckPrimitives(), "");
    server->Shutdown();
  }
}

}  // namespace
}  // namespace bulkhead::smoke
