// Uploads that do not end well: what has arrived of them counts against the user's quota only for as long as somebody
// can go on with it.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "bulkhead/tool/v1/file_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::testing::IsEmpty;
using tool::v1::FileService;

constexpr uint64_t kQuota = 2 << 20;
// The gateway makes four pieces of a body as large as the quota, and holds one back: two arrive of this.
constexpr uint64_t kMostOfIt = kQuota / 8 * 7;
constexpr char kUploadFile[] = "bulkhead.tool.v1.FileService/UploadFile";
constexpr char kDiscardUpload[] = "bulkhead.tool.v1.FileService/DiscardUpload";

absl::Status Broken() {
  return MakeError(absl::StatusCode::kUnavailable, "broken on purpose",
                   {.domain = "bulkhead.testing", .reason = "BROKEN_ON_PURPOSE"});
}

class UploadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(platform_, Harness::Builder()
                                        .WithUsers({"ada"})
                                        .Configure([](common::v1::PlatformConfig& config) {
                                          config.mutable_tool()->set_max_workspace_bytes(kQuota);
                                        })
                                        .Build());
  }

  User& ada() { return platform_->As("ada"); }

  // OK when not one byte of the quota is used, but for what this has put there before.
  absl::Status QuotaIsFree() { return ada().UploadFile("all.bin", std::string(kQuota, 'q')).status(); }

  // PUT of `path` through the gateway, by a client that reads from `local_`.
  absl::Status Put(std::string_view path, uint64_t size, absl::FunctionRef<void(uint64_t)> on_sent = [](uint64_t) {}) {
    absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> client = ada().NewGatewayClient();
    if (!client.ok()) {
      return client.status();
    }
    std::ofstream(local_, std::ios::binary) << std::string(size, 'x');
    return (*client)
        ->UploadFile(path, local_, ada().token(), [&on_sent](uint64_t sent, uint64_t) { on_sent(sent); })
        .status();
  }

  // A piece of an upload that the caller has named.
  absl::StatusOr<tool::v1::UploadFileResponse> Send(uint64_t offset, std::string_view data, bool finish = false) {
    tool::v1::UploadFileRequest request;
    request.set_name(absl::StrCat(ada().name(), "/files/mine.bin"));
    request.set_upload_id("an-id-of-mine");
    request.set_offset(offset);
    request.set_data(data);
    request.set_finish(finish);
    return Call<FileService>(ada(), &FileService::Stub::UploadFile, request);
  }

  TempDir folder_;
  const std::string local_ = folder_.File("local.bin");
  std::unique_ptr<Harness> platform_;
};

TEST_F(UploadTest, ClientThatGoesAwayHalfWayLeavesTheQuotaAsItWas) {
  const absl::Status put = Put("big.bin", kQuota, [this](uint64_t sent) {
    if (sent >= kMostOfIt) {
      std::filesystem::resize_file(local_, 0);
    }
  });
  EXPECT_THAT(put, HasReason("LOCAL_FILE_UNREADABLE"));
  ASSERT_OK(WaitFor([this] { return platform_->faults().CallsOf(kUploadFile) >= 2; }, "two pieces"));

  EXPECT_OK(WaitFor([this] { return QuotaIsFree().ok(); }, "the quota"));
  EXPECT_THAT(ada().ListFiles(), IsOkAndHolds(std::vector<std::string>{"all.bin"}));
}

TEST_F(UploadTest, UploadThatAShutdownCutsOffLeavesTheQuotaAsItWas) {
  absl::Notification sent;
  absl::Notification restarted;
  absl::Status put;
  std::unique_ptr<BlockingPool> client = BlockingPool::Create(1);
  client->Post([&] {
    put = Put("big.bin", kQuota, [&](uint64_t bytes) {
      if (bytes == kMostOfIt) {
        sent.Notify();
        restarted.WaitForNotification();
      }
    });
  });
  EXPECT_TRUE(sent.WaitForNotificationWithTimeout(kWaitGuard));
  EXPECT_OK(WaitFor([this] { return platform_->faults().CallsOf(kUploadFile) >= 2; }, "two pieces"));

  EXPECT_OK(platform_->Restart());

  restarted.Notify();
  client.reset();  // Waits for it.
  EXPECT_FALSE(put.ok());
  EXPECT_OK(QuotaIsFree());
}

TEST_F(UploadTest, HttpUploadThatDoesNotFitLeavesRoomForASmallerOne) {
  EXPECT_THAT(Put("big.bin", kQuota + 1), HasReason(absl::StatusCode::kResourceExhausted, "WORKSPACE_FULL"));
  EXPECT_THAT(ada().ListFiles(), IsOkAndHolds(IsEmpty()));

  EXPECT_OK(Put("small.bin", kQuota));
}

TEST_F(UploadTest, HttpUploadToATakenPathLeavesTheQuotaAsItWas) {
  ASSERT_OK(ada().UploadFile("folder/empty.txt", ""));
  EXPECT_THAT(Put("folder", kQuota), HasReason("FILE_PATH_TAKEN"));
  EXPECT_OK(QuotaIsFree());
}

TEST_F(UploadTest, PieceThatTheGatewayCannotDeliverLeavesTheQuotaAsItWas) {
  platform_->faults().FailCall(kUploadFile, Broken(), /*nth=*/3);
  EXPECT_THAT(Put("big.bin", kQuota), HasReason("BROKEN_ON_PURPOSE"));
  EXPECT_OK(QuotaIsFree());
}

TEST_F(UploadTest, PieceWhoseAnswerIsLostLeavesTheQuotaAsItWas) {
  platform_->faults().LoseResponse(kUploadFile, Broken(), /*nth=*/1);
  EXPECT_THAT(Put("big.bin", kQuota), HasReason("BROKEN_ON_PURPOSE"));
  EXPECT_OK(QuotaIsFree());
}

TEST_F(UploadTest, HttpUploadThatNobodyCouldDiscardIsGoneWithinAnHour) {
  platform_->faults().FailCall(kUploadFile, Broken(), /*nth=*/3);
  platform_->faults().FailCall(kDiscardUpload, Broken());
  EXPECT_THAT(Put("big.bin", kQuota), HasReason("BROKEN_ON_PURPOSE"));
  EXPECT_THAT(QuotaIsFree(), HasReason("WORKSPACE_FULL"));

  platform_->Advance(absl::Hours(1));
  ASSERT_OK(ada().SignIn());
  EXPECT_OK(QuotaIsFree());
}

TEST_F(UploadTest, UploadThatDoesNotFitLeavesRoomForASmallerOne) {
  ASSERT_OK(Send(0, std::string(1 << 20, 'x')));
  ASSERT_OK(Send(1 << 20, std::string(1 << 19, 'x')));
  EXPECT_THAT(Send(3 << 19, std::string(1 << 20, 'x')),
              HasReason(absl::StatusCode::kResourceExhausted, "WORKSPACE_FULL"));
  EXPECT_OK(QuotaIsFree());
}

TEST_F(UploadTest, UploadOfTheCallersOwnIdGoesOnAfterABreak) {
  ASSERT_OK(Send(0, "the first "));
  platform_->faults().FailCall(kUploadFile, Broken());
  EXPECT_THAT(Send(10, "and the last"), HasReason("BROKEN_ON_PURPOSE"));
  ASSERT_OK(platform_->Restart());
  platform_->Advance(absl::Hours(23));
  ASSERT_OK(ada().SignIn());

  const absl::Status ahead = Send(100, "too far").status();
  ASSERT_THAT(ahead, HasReason("UPLOAD_OFFSET_WRONG"));
  EXPECT_EQ(ErrorInfoOf(ahead)->metadata.at("expected"), "10");
  ASSERT_OK(Send(10, "and the last", /*finish=*/true));
  EXPECT_THAT(ada().ReadFile("mine.bin"), IsOkAndHolds(std::string("the first and the last")));
}

TEST_F(UploadTest, UploadThatNobodyGoesOnWithForADayIsGone) {
  ASSERT_OK(Send(0, "the first "));
  EXPECT_THAT(QuotaIsFree(), HasReason("WORKSPACE_FULL"));

  platform_->Advance(absl::Hours(24));
  ASSERT_OK(ada().SignIn());

  EXPECT_OK(QuotaIsFree());
  EXPECT_THAT(Send(10, "and the last"), HasReason("UPLOAD_OFFSET_WRONG"));
}

}  // namespace
}  // namespace bulkhead::testing
