#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/client.h"
#include "services/common/rpc/metadata.h"
#include "services/common/rpc/remote_key_source.h"
#include "services/common/rpc/server.h"
#include "services/common/rpc/service_token_source.h"
#include "services/common/rpc/testing/echo.grpc.pb.h"
#include "services/common/rpc/testing/echo.pb.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/time/real_time.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"

namespace bulkhead::rpc {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using testing::CountRequest;
using testing::EchoRequest;
using testing::EchoResponse;
using testing::EchoService;

constexpr absl::Duration kGuard = absl::Seconds(30);
constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// The service under test: each method does what the test puts in.
class TestEchoService : public Service {
 public:
  explicit TestEchoService(const ServerDependencies& dependencies)
      : Service("bulkhead.rpc.testing.EchoService", dependencies) {
    for (const char* method : {"Echo", "Ping", "Undeclared"}) {
      Unary(method, &TestEchoService::Counted);
    }
    Stream("Count", &TestEchoService::Counting);
  }

  using OnUnary = std::function<Awaitable<absl::StatusOr<EchoResponse>>(const CallContext&, const EchoRequest&)>;
  using OnStream =
      std::function<Awaitable<absl::Status>(const CallContext&, const CountRequest&, StreamWriter<EchoResponse>&)>;

  OnUnary unary = [](const CallContext& call, const EchoRequest& request) { return Answer(call, request); };
  OnStream stream = [](const CallContext&, const CountRequest& request, StreamWriter<EchoResponse>& writer) {
    return CountUp(request, writer);
  };
  std::atomic<int> handled = 0;

 private:
  Awaitable<absl::StatusOr<EchoResponse>> Counted(const CallContext& call, const EchoRequest& request) {
    ++handled;
    return unary(call, request);
  }
  Awaitable<absl::Status> Counting(const CallContext& call, const CountRequest& request,
                                   StreamWriter<EchoResponse>& writer) {
    return stream(call, request, writer);
  }
  static Awaitable<absl::StatusOr<EchoResponse>> Answer(const CallContext& call, const EchoRequest& request) {
    EchoResponse response;
    response.set_text(request.text());
    response.set_request_id(call.request_id);
    response.set_traceparent(call.traceparent);
    response.set_client(call.client);
    if (call.user.has_value()) {
      response.set_user(call.user->user());
      response.set_parent_request_id(call.user->request().parent_request_id);
    }
    co_return response;
  }
  static Awaitable<absl::Status> CountUp(const CountRequest& request, StreamWriter<EchoResponse>& writer) {
    for (int i = 0; i < request.count(); ++i) {
      EchoResponse message;
      message.set_text(absl::StrCat(i));
      co_await writer.Write(std::move(message));
    }
    co_return absl::OkStatus();
  }
};

// As much of auth as this folder's clients use.
class TestTokenService : public auth::v1::TokenService::CallbackService {
 public:
  void AddKey(const std::string& id, const crypto::SigningKey& key) {
    auth::v1::Jwk* jwk = keys_.add_keys();
    jwk->set_kid(id);
    jwk->set_kty("OKP");
    jwk->set_crv("Ed25519");
    jwk->set_x(absl::WebSafeBase64Escape(key.public_parameters().first));
  }
  grpc::ServerUnaryReactor* GetKeySet(grpc::CallbackServerContext* context, const auth::v1::GetKeySetRequest*,
                                      auth::v1::KeySet* response) override {
    ++key_fetches;
    *response = keys_;
    return Succeed(context);
  }
  grpc::ServerUnaryReactor* IssueServiceToken(grpc::CallbackServerContext* context,
                                              const auth::v1::IssueServiceTokenRequest* request,
                                              auth::v1::IssuedToken* response) override {
    response->set_token(absl::StrCat(request->service(), "-token-", ++tokens_issued));
    response->mutable_expires_in()->set_seconds(100);
    return Succeed(context);
  }

  std::atomic<int> key_fetches = 0;
  std::atomic<int> tokens_issued = 0;

 private:
  static grpc::ServerUnaryReactor* Succeed(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  auth::v1::KeySet keys_;
};

// Each test runs over both transports.
class RpcTest : public ::testing::TestWithParam<bool> {
 protected:
  RpcTest() {
    auth_.AddKey("key-1", *key_);
    auth_server_ = Serve(&auth_);
    keys_ = RemoteKeySource::Create({}, Connect(*auth_server_), &clock_, executor_.get());
    EXPECT_OK(BlockOn(*executor_, keys_->Start()));
    verifier_ = TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, keys_.get(), &clock_).value();
    echo_ = std::make_unique<TestEchoService>(ServerDependencies{
        .executor = executor_.get(), .verifier = verifier_.get(), .ids = ids_.get(), .key_refresher = keys_.get()});
    echo_server_ = Serve(echo_.get());
    stub_ = EchoService::NewStub(Connect(*echo_server_));
  }

  ~RpcTest() override {
    keys_->Shutdown();
    echo_server_->server->Shutdown();
    auth_server_->server->Shutdown();
    EXPECT_OK(executor_->Drain(kGuard));  // Nothing is left running.
    EXPECT_EQ(clock_.pending_timers(), 0u);
  }

  struct Server {
    std::unique_ptr<grpc::Server> server;
    int port = 0;
  };
  std::unique_ptr<Server> Serve(grpc::Service* service) {
    auto served = std::make_unique<Server>();
    grpc::ServerBuilder builder;
    if (GetParam()) {
      builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &served->port);
    }
    builder.RegisterService(service);
    served->server = builder.BuildAndStart();
    return served;
  }
  static std::shared_ptr<grpc::Channel> Connect(const Server& server) {
    return GetParam() ? grpc::CreateChannel(absl::StrCat("127.0.0.1:", server.port), grpc::InsecureChannelCredentials())
                      : server.server->InProcessChannel({});
  }

  RawToken Token(std::vector<std::string> permissions, const std::string& key_id = "key-1",
                 const crypto::SigningKey* key = nullptr) {
    TokenClaims claims{.issuer = "bulkhead",
                       .audience = "bulkhead",
                       .subject = "user-ada",
                       .session = "session-1",
                       .token_id = "token-1",
                       .permissions = std::move(permissions),
                       .issued_at = clock_.Now(),
                       .not_before = clock_.Now(),
                       .expires_at = clock_.Now() + absl::Hours(1)};
    return RawToken(SignToken(claims, key_id, key == nullptr ? *key_ : *key));
  }
  static CallContext With(RawToken token) { return {.token = std::make_shared<const RawToken>(std::move(token))}; }
  CallContext Allowed() { return With(Token({"echo:*:say", "echo:*:count"})); }

  absl::StatusOr<EchoResponse> Echo(CallContext call, const std::string& name = "e1", CallPolicy policy = {}) {
    policy.method = "Echo";
    EchoRequest request;
    request.set_name(name);
    request.set_text("hello");
    return BlockOn(*executor_, CallUnary<EchoResponse>(std::move(call), policy, request,
                                                       [this](auto* context, auto* request, auto* response, auto done) {
                                                         stub_->async()->Echo(context, request, response,
                                                                              std::move(done));
                                                       }));
  }

  template <typename OnMessage>
  absl::Status Count(CallContext call, int count, OnMessage on_message) {
    CountRequest request;
    request.mutable_echo()->set_name("e1");
    request.set_count(count);
    return BlockOn(*executor_, CallStream<EchoResponse>(
                                   std::move(call), {.method = "Count"}, request,
                                   [this](auto* context, auto* request, auto* reactor) {
                                     stub_->async()->Count(context, request, reactor);
                                   },
                                   std::move(on_message)));
  }

  // Waits in a handler until the call is given up, and says so.
  Awaitable<void> AwaitStop(std::stop_token stop) {
    EXPECT_THAT(co_await SleepUntil(&clock_, absl::InfiniteFuture(), stop), HasReason("WAIT_CANCELLED"));
    stopped_.Notify();
  }
  void HoldCalls() {
    echo_->unary = [this](const CallContext& call, const EchoRequest&) -> Awaitable<absl::StatusOr<EchoResponse>> {
      started_.Notify();
      co_await AwaitStop(call.stop);
      co_return EchoResponse();
    };
  }

  SimulatedClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  std::unique_ptr<IdGenerator> ids_ = CreateSequentialIds();
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
  std::unique_ptr<crypto::SigningKey> key_ = crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa).value();
  TestTokenService auth_;
  std::unique_ptr<Server> auth_server_;
  std::unique_ptr<RemoteKeySource> keys_;
  std::unique_ptr<TokenVerifier> verifier_;
  std::unique_ptr<TestEchoService> echo_;
  std::unique_ptr<Server> echo_server_;
  std::unique_ptr<EchoService::Stub> stub_;
  absl::Notification started_;
  absl::Notification stopped_;
};

INSTANTIATE_TEST_SUITE_P(Transports, RpcTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Tcp" : "InProcess"; });

TEST_P(RpcTest, CallWithoutTokenIsRefusedBeforeTheHandlerRuns) {
  EXPECT_THAT(Echo({}), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING"));
  EXPECT_EQ(echo_->handled, 0);
}

TEST_P(RpcTest, PermissionIsBuiltFromTheRequest) {
  EXPECT_OK(Echo(With(Token({"echo:e1:say"})), "users/user-ada/echoes/e1"));
  EXPECT_EQ(echo_->handled, 1);
  absl::Status denied = Echo(With(Token({"echo:e1:say"})), "users/user-ada/echoes/e2").status();
  EXPECT_THAT(denied, HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING"));
  EXPECT_EQ(ErrorInfoOf(denied)->metadata.at("permission"), "echo:e2:say");
  // A name cannot smuggle in a part of the permission.
  EXPECT_THAT(Echo(With(Token({"echo:e1:say"})), "e1:say"), HasReason("PERMISSION_MISSING"));
  EXPECT_EQ(echo_->handled, 1);
}

TEST_P(RpcTest, AnonymousMethodNeedsNoTokenAndUndeclaredServesNobody) {
  const EchoRequest request;
  EXPECT_OK(
      BlockOn(*executor_, CallUnary<EchoResponse>({}, {.method = "Ping"}, request,
                                                  [this](auto* context, auto* request, auto* response, auto done) {
                                                    stub_->async()->Ping(context, request, response, std::move(done));
                                                  })));
  EXPECT_THAT(BlockOn(*executor_,
                      CallUnary<EchoResponse>(Allowed(), {.method = "Undeclared"}, request,
                                              [this](auto* context, auto* request, auto* response, auto done) {
                                                stub_->async()->Undeclared(context, request, response, std::move(done));
                                              })),
              HasReason(absl::StatusCode::kInternal, "METHOD_UNDECLARED"));
  EXPECT_EQ(echo_->handled, 1);
}

TEST_P(RpcTest, IdentityTraceAndParentTravel) {
  CallContext call = Allowed();
  call.request_id = "req-edge";
  call.traceparent = kTrace;
  call.client = "cli/1.0\n";
  ASSERT_OK_AND_ASSIGN(EchoResponse response, Echo(call));
  EXPECT_EQ(response.user(), "user-ada");
  EXPECT_EQ(response.parent_request_id(), "req-edge");
  EXPECT_NE(response.request_id(), "req-edge");
  EXPECT_OK(ValidateId("request", response.request_id()));
  EXPECT_EQ(response.traceparent(), kTrace);
  EXPECT_EQ(response.client(), "cli/1.0?");
}

TEST_P(RpcTest, ErrorsKeepTheirReasonAndUnexpectedOnesGetOne) {
  absl::Status error;
  echo_->unary = [&error](const CallContext&, const EchoRequest&) -> Awaitable<absl::StatusOr<EchoResponse>> {
    if (error.ok()) {
      throw std::runtime_error("the password is swordfish");
    }
    co_return error;
  };
  error = MakeError(absl::StatusCode::kNotFound, "no tool 'x'",
                    {.domain = "bulkhead.tool", .reason = "TOOL_NOT_FOUND", .metadata = {{"tool", "x"}}});
  absl::Status seen = Echo(Allowed()).status();
  EXPECT_THAT(seen, HasReason(absl::StatusCode::kNotFound, "TOOL_NOT_FOUND"));
  EXPECT_EQ(seen.message(), "no tool 'x'");
  EXPECT_EQ(ErrorInfoOf(seen)->metadata.at("tool"), "x");

  error = absl::NotFoundError("swordfish");
  seen = Echo(Allowed()).status();
  EXPECT_THAT(seen, HasReason(absl::StatusCode::kInternal, "UNSPECIFIED_ERROR"));
  EXPECT_THAT(seen.message(), ::testing::Not(::testing::HasSubstr("swordfish")));

  error = absl::OkStatus();
  seen = Echo(Allowed()).status();
  EXPECT_THAT(seen, HasReason(absl::StatusCode::kInternal, "HANDLER_THREW"));
  EXPECT_THAT(seen.message(), ::testing::Not(::testing::HasSubstr("swordfish")));
}

TEST_P(RpcTest, DeadlineEndsTheCallAndReachesTheHandler) {
  HoldCalls();
  absl::Status status = Echo(Allowed(), "e1", {.timeout = absl::Milliseconds(200)}).status();
  EXPECT_THAT(status, HasReason(absl::StatusCode::kDeadlineExceeded, "RPC_DEADLINE_EXCEEDED"));
  EXPECT_THAT(status.message(), ::testing::StartsWith("Echo: "));
  EXPECT_TRUE(stopped_.WaitForNotificationWithTimeout(kGuard));
}

TEST_P(RpcTest, CancellationReachesTheHandler) {
  HoldCalls();
  std::stop_source stop;
  CallContext call = Allowed();
  call.stop = stop.get_token();
  std::thread canceller([&] {
    started_.WaitForNotification();
    stop.request_stop();
  });
  EXPECT_THAT(Echo(call), HasReason(absl::StatusCode::kCancelled, "RPC_CANCELLED"));
  EXPECT_TRUE(stopped_.WaitForNotificationWithTimeout(kGuard));
  canceller.join();
  EXPECT_THAT(Echo(call), HasReason("RPC_CANCELLED"));  // Nothing is sent for a caller who has given up.
  EXPECT_EQ(echo_->handled, 1);
}

TEST_P(RpcTest, UnavailableIsRetriedOnTheClockAndNothingElseIs) {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  echo_->unary = [this, &code](const CallContext&, const EchoRequest&) -> Awaitable<absl::StatusOr<EchoResponse>> {
    if (echo_->handled < 3) {
      co_return MakeError(code, "not yet", {.domain = "bulkhead.test", .reason = "NOT_YET"});
    }
    co_return EchoResponse();
  };
  std::atomic<bool> ended = false;
  size_t idle = clock_.pending_timers();
  std::thread time([&] {
    while (!ended) {
      if (clock_.pending_timers() > idle) {
        clock_.Advance(absl::Milliseconds(50));
      }
      std::this_thread::yield();
    }
  });
  EXPECT_OK(Echo(Allowed(), "e1", {.attempts = 3, .clock = &clock_}));
  EXPECT_EQ(echo_->handled, 3);
  echo_->handled = 0;
  EXPECT_THAT(Echo(Allowed(), "e1", {.attempts = 2, .clock = &clock_}), HasReason("NOT_YET"));
  EXPECT_EQ(echo_->handled, 2);
  echo_->handled = 0;
  code = absl::StatusCode::kAborted;
  EXPECT_THAT(Echo(Allowed(), "e1", {.attempts = 3, .clock = &clock_}), HasReason("NOT_YET"));
  EXPECT_EQ(echo_->handled, 1);
  ended = true;
  time.join();
}

TEST_P(RpcTest, StreamArrivesInOrderAndItsErrorLast) {
  std::vector<std::string> texts;
  auto collect = [&texts](const EchoResponse& message) {
    texts.push_back(message.text());
    return absl::OkStatus();
  };
  EXPECT_OK(Count(Allowed(), 3, collect));
  EXPECT_THAT(texts, ::testing::ElementsAre("0", "1", "2"));
  EXPECT_THAT(Count({}, 3, collect), HasReason("TOKEN_MISSING"));

  texts.clear();
  echo_->stream = [](const CallContext&, const CountRequest&,
                     StreamWriter<EchoResponse>& writer) -> Awaitable<absl::Status> {
    co_await writer.Write(EchoResponse());
    co_return MakeError(absl::StatusCode::kUnavailable, "log gone", {.domain = "bulkhead.test", .reason = "LOG_GONE"});
  };
  EXPECT_THAT(Count(Allowed(), 1, collect), HasReason("LOG_GONE"));
  EXPECT_EQ(texts.size(), 1u);
}

TEST_P(RpcTest, SlowReaderSlowsTheWriter) {
  constexpr int kMessages = 100;
  std::atomic<int> written = 0;
  echo_->stream = [&written](const CallContext&, const CountRequest& request,
                             StreamWriter<EchoResponse>& writer) -> Awaitable<absl::Status> {
    for (int i = 0; i < request.count(); ++i) {
      EchoResponse message;
      message.set_text(std::string(1 << 20, 'x'));
      EXPECT_TRUE(co_await writer.Write(std::move(message)));
      ++written;
    }
    co_return absl::OkStatus();
  };
  int read = 0;
  int ahead = 0;
  EXPECT_OK(Count(Allowed(), kMessages, [&](const EchoResponse&) -> Awaitable<absl::Status> {
    for (int i = 0; i < 1000; ++i) {
      std::this_thread::yield();
    }
    ahead = std::max(ahead, written - ++read);
    co_return absl::OkStatus();
  }));
  EXPECT_EQ(read, kMessages);
  EXPECT_LT(ahead, kMessages / 2);
}

TEST_P(RpcTest, ReaderThatGivesUpStopsTheWriter) {
  echo_->stream = [this](const CallContext& call, const CountRequest&,
                         StreamWriter<EchoResponse>& writer) -> Awaitable<absl::Status> {
    while (co_await writer.Write(EchoResponse())) {
    }
    EXPECT_TRUE(call.stop.stop_requested());
    stopped_.Notify();
    co_return absl::OkStatus();
  };
  int read = 0;
  absl::Status status = Count(Allowed(), 1, [&read](const EchoResponse&) {
    return ++read < 5 ? absl::OkStatus()
                      : MakeError(absl::StatusCode::kResourceExhausted, "enough",
                                  {.domain = "bulkhead.test", .reason = "ENOUGH"});
  });
  EXPECT_THAT(status, HasReason("ENOUGH"));
  EXPECT_EQ(read, 5);
  EXPECT_TRUE(stopped_.WaitForNotificationWithTimeout(kGuard));
}

TEST_P(RpcTest, NewKeyIsFetchedOnceForManyUnknownTokens) {
  auto second = crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa).value();
  EXPECT_EQ(auth_.key_fetches, 1);
  auth_.AddKey("key-2", *second);
  EXPECT_OK(Echo(With(Token({"echo:*:say"}, "key-2", second.get()))));
  EXPECT_EQ(auth_.key_fetches, 2);
  // Made-up keys: one look, and then no more for a while.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Echo(With(Token({"echo:*:say"}, absl::StrCat("made-up-", i)))),
                HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_KEY_UNKNOWN"));
  }
  EXPECT_EQ(auth_.key_fetches, 3);
}

TEST_P(RpcTest, ServiceTokenIsSharedAndRenewedInTime) {
  auto source = ServiceTokenSource::Create({.service = "agent", .secret = Secret("s")}, Connect(*auth_server_), &clock_,
                                           executor_.get());
  auto token = [&] {
    absl::StatusOr<CallContext> context = BlockOn(*executor_, source->ServiceContext());
    EXPECT_OK(context);
    return std::string(context->token->Reveal());
  };
  EXPECT_EQ(token(), "agent-token-1");
  clock_.Advance(absl::Seconds(79));
  EXPECT_EQ(token(), "agent-token-1");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(token(), "agent-token-2");
}

// Answers one method more in the way of Echo.
class MisnamedService : public Service {
 public:
  explicit MisnamedService(const char* method) : Service("bulkhead.rpc.testing.EchoService", {}) {
    Unary("Echo", &MisnamedService::Answer);
    Unary(method, &MisnamedService::Answer);
  }

 private:
  Awaitable<absl::StatusOr<EchoResponse>> Answer(const CallContext&, const EchoRequest&) { co_return EchoResponse(); }
};

TEST(ServiceDeathTest, AdapterThatIsNotItsContractsEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(MisnamedService("Shout"), "/bulkhead.rpc.testing.EchoService/Shout is no method of this program");
  EXPECT_DEATH(MisnamedService("Count"), "EchoService/Count is declared as rpc Count");
  EXPECT_DEATH(MisnamedService("Echo"), "EchoService/Echo has two handlers");
}

TEST(MetadataTest, OnlyWellFormedTraceparentsPass) {
  EXPECT_TRUE(IsTraceparent(kTrace));
  EXPECT_TRUE(IsTraceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later"));
  for (std::string_view bad : {"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
                               "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                               "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                               "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                               "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}) {
    EXPECT_FALSE(IsTraceparent(bad)) << bad;
  }
}

TEST(MetadataTest, ForwardedAddressIsBelievedFromThisMachineOnly) {
  EXPECT_EQ(OriginOf("inproc:", ""), "");
  EXPECT_EQ(OriginOf("ipv4:192.0.2.7:4711", ""), "192.0.2.7");
  EXPECT_EQ(OriginOf("ipv6:%5B2001:db8::1%5D:4711", ""), "2001:db8::1");
  EXPECT_EQ(OriginOf("inproc:", "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(OriginOf("ipv4:127.0.0.1:4711", "2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(OriginOf("ipv6:[::1]:4711", "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(OriginOf("ipv4:198.51.100.9:4711", "192.0.2.7"), "198.51.100.9") << "a stranger says who he is";
  EXPECT_EQ(OriginOf("inproc:", "<script>"), "");
}

}  // namespace
}  // namespace bulkhead::rpc
