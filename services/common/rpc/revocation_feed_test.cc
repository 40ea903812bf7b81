#include "services/common/rpc/revocation_feed.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/revocation_service.grpc.pb.h"
#include "bulkhead/auth/v1/revocation_service.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"

namespace bulkhead::rpc {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::WaitFor;
using ::testing::ElementsAre;
using Message = auth::v1::WatchRevocationsResponse;

constexpr absl::Duration kGuard = absl::Seconds(30);
constexpr absl::Duration kSilence = absl::Seconds(15);

class Tokens : public auth::v1::TokenService::CallbackService {
 public:
  grpc::ServerUnaryReactor* IssueServiceToken(grpc::CallbackServerContext* context,
                                              const auth::v1::IssueServiceTokenRequest*,
                                              auth::v1::IssuedToken* response) override {
    response->set_token("token");
    response->mutable_expires_in()->set_seconds(3600);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// An auth service whose streams say what the test has put in for them, and then fall silent: they neither end nor say that they live.
class SilentRevocations : public auth::v1::RevocationService::CallbackService {
 public:
  explicit SilentRevocations(std::vector<std::vector<Message>> streams) : streams_(std::move(streams)) {}

  grpc::ServerWriteReactor<Message>* WatchRevocations(grpc::CallbackServerContext*,
                                                      const auth::v1::WatchRevocationsRequest* request) override {
    absl::MutexLock lock(mutex_);
    const size_t stream = cursors_.size();
    cursors_.push_back(request->after_sequence());
    return new Stream(stream < streams_.size() ? streams_[stream] : std::vector<Message>());
  }

  // What each stream was asked to begin after.
  std::vector<uint64_t> cursors() {
    absl::MutexLock lock(mutex_);
    return cursors_;
  }

 private:
  class Stream : public grpc::ServerWriteReactor<Message> {
   public:
    explicit Stream(std::vector<Message> messages) : messages_(std::move(messages)) { Next(); }
    void OnWriteDone(bool ok) override {
      if (ok) {
        Next();
      }
    }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    void Next() {
      if (written_ < messages_.size()) {
        StartWrite(&messages_[written_++]);
      }
    }
    const std::vector<Message> messages_;
    size_t written_ = 0;
  };

  const std::vector<std::vector<Message>> streams_;
  absl::Mutex mutex_;
  std::vector<uint64_t> cursors_ ABSL_GUARDED_BY(mutex_);
};

Message Revoked(uint64_t sequence, const std::string& session) {
  Message message;
  message.mutable_revocation()->set_sequence(sequence);
  message.mutable_revocation()->set_session(session);
  message.mutable_revocation()->set_reason("SESSION_REVOKED");
  message.mutable_revocation()->mutable_expire_time()->set_seconds(2'000'000'000);
  return message;
}

Message CaughtUp(uint64_t sequence) {
  Message message;
  message.mutable_caught_up()->set_sequence(sequence);
  return message;
}

class RevocationFeedTest : public ::testing::Test {
 protected:
  void Serve(std::vector<std::vector<Message>> streams) {
    revocations_ = std::make_unique<SilentRevocations>(std::move(streams));
    grpc::ServerBuilder builder;
    builder.RegisterService(&tokens_);
    builder.RegisterService(revocations_.get());
    server_ = builder.BuildAndStart();
    feed_ = RevocationFeed::Create({.service = "tool", .secret = Secret("secret"), .silence = kSilence},
                                   server_->InProcessChannel({}), &clock_, &real_clock_, executor_.get());
  }

  ~RevocationFeedTest() override {
    feed_->Shutdown();
    EXPECT_OK(executor_->Drain(kGuard));
    server_->Shutdown();
    EXPECT_EQ(real_clock_.pending_timers(), 0u);
  }

  bool IsRevoked(const std::string& session) {
    TokenClaims claims;
    claims.subject = "user-ada";
    claims.session = session;
    return !feed_->set().Check(claims).ok();
  }

  SimulatedClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  SimulatedClock real_clock_{absl::FromUnixSeconds(1'800'000'000)};
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
  Tokens tokens_;
  std::unique_ptr<SilentRevocations> revocations_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<RevocationFeed> feed_;
};

TEST_F(RevocationFeedTest, AStreamWithoutHeartbeatsIsReplacedAndGoesOnWhereItStood) {
  Serve({{Revoked(7, "users/user-ada/sessions/session-1"), CaughtUp(7)},
         {Revoked(8, "users/user-ada/sessions/session-2"), CaughtUp(8)}});
  ASSERT_OK(BlockOn(*executor_, feed_->Start(kGuard)));
  EXPECT_TRUE(IsRevoked("session-1"));
  EXPECT_FALSE(IsRevoked("session-2"));
  real_clock_.Advance(kSilence - absl::Seconds(1));
  EXPECT_EQ(feed_->staleness(), kSilence - absl::Seconds(1)) << "nothing was heard, and it says so";
  EXPECT_THAT(revocations_->cursors(), ElementsAre(0)) << "silence of that length is no break yet";

  // Then the pause before the next attempt.
  ASSERT_OK(WaitFor(
      [&] {
        real_clock_.Advance(absl::Seconds(1));
        return IsRevoked("session-2");
      },
      "what the second stream says"));
  ASSERT_GE(revocations_->cursors().size(), 2u);
  EXPECT_EQ(revocations_->cursors()[1], 7u);
  EXPECT_TRUE(IsRevoked("session-1")) << "what was known goes on to count";
}

TEST_F(RevocationFeedTest, StartSaysSoWhenAuthSaysNothing) {
  Serve({});
  std::atomic<bool> ended = false;
  std::thread time([&] {
    EXPECT_OK(WaitFor(
        [&] {
          real_clock_.Advance(absl::Seconds(1));
          return ended.load();
        },
        "the end of Start"));
  });
  EXPECT_THAT(BlockOn(*executor_, feed_->Start(absl::Seconds(10))),
              HasReason(absl::StatusCode::kDeadlineExceeded, "REVOCATIONS_UNKNOWN"));
  ended = true;
  time.join();
}

}  // namespace
}  // namespace bulkhead::rpc
