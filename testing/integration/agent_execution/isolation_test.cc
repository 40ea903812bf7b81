// Whatever others do at the same time, a user sees exactly what he sees when he is alone.
//
// The users' acts are drawn from a seed; the test prints it, and `--test_arg=--seed=N` takes another one.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/harness.h"
#include "testing/harness/inference_server.h"
#include "testing/integration/agent_execution/belongings.h"
#include "testing/integration/agent_execution/isolation_script.h"
#include "testing/integration/agent_execution/script_agents.h"

namespace bulkhead::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const std::vector<std::string>& Logins() {
  static const auto* const kLogins = new std::vector<std::string>{"ada", "bob", "eve"};
  return *kLogins;
}

// Of a user: fewer than one of his acts takes.
constexpr uint64_t kTokensOfADay = 40;

std::optional<uint64_t>& SeedOfTheCommandLine() {
  static std::optional<uint64_t> seed;
  return seed;
}

// With the model "small" of `model`.
absl::StatusOr<std::unique_ptr<Harness>> World(std::vector<std::string> logins, const InferenceServer& model,
                                               const std::string& key_file) {
  HarnessBuilder builder = Harness::Builder();
  builder.WithUsers(std::move(logins)).WithRandomIds().Configure([&](common::v1::PlatformConfig& config) {
    config.mutable_agent()->set_max_running_per_user(2);
    config.mutable_agent()->set_max_waiting_per_user(2);
    config.mutable_agent()->set_max_model_tokens_per_day(kTokensOfADay);
    common::v1::ModelEndpoint& endpoint = *config.mutable_agent()->add_models();
    endpoint.set_id("small");
    endpoint.set_url(model.url());
    endpoint.set_api_key(absl::StrCat("file:", key_file));
  });
  for (const auto& tool : ScriptTools()) {
    builder.WithTool(tool);
  }
  for (const auto& agent : ScriptAgents()) {
    builder.WithAgent(agent);
  }
  return builder.Build();
}

class WorldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(model_, InferenceServer::Start());
    std::ofstream(folder_.File("key")) << kModelKey << "\n";
  }
  absl::StatusOr<std::unique_ptr<Harness>> MakeWorld(std::vector<std::string> logins) {
    return World(std::move(logins), *model_, folder_.File("key"));
  }

 private:
  TempDir folder_;
  std::unique_ptr<InferenceServer> model_;
};

class IsolationTest : public WorldTest, public ::testing::WithParamInterface<uint64_t> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(WorldTest::SetUp());
    seed_ = SeedOfTheCommandLine().value_or(GetParam());
    std::cout << "seed " << seed_ << std::endl;
    ASSERT_OK_AND_ASSIGN(shared_, MakeWorld(Logins()));
    for (const std::string& login : Logins()) {
      scripts_.push_back(std::make_unique<UserScript>(&shared_->As(login), &belongings_, seed_));
    }
  }

  // Shows where they part, and not hundreds of lines.
  static void ExpectSame(const std::vector<std::string>& shared, const std::vector<std::string>& alone) {
    for (size_t line = 0; line < std::min(shared.size(), alone.size()); ++line) {
      ASSERT_EQ(shared[line], alone[line]) << "line " << line << ", after " << (line == 0 ? "" : shared[line - 1]);
    }
    EXPECT_EQ(shared.size(), alone.size());
  }

  void ExpectAsAlone() {
    std::set<std::string> ids;
    for (size_t i = 0; i < Logins().size(); ++i) {
      SCOPED_TRACE(absl::StrCat(Logins()[i], ", seed ", seed_));
      ASSERT_OK_AND_ASSIGN(auto own, MakeWorld({Logins()[i]}));
      Belongings nothing;
      UserScript alone(&own->As(Logins()[i]), &nothing, seed_);
      while (!alone.done()) {
        alone.Act();
      }
      EXPECT_GT(alone.transcript().lines().size(), 100u) << "he has hardly done anything";
      for (const char* seen : {"over the socket", "THREAD_NOT_FOUND", "MODEL_TOKENS_EXCEEDED"}) {
        EXPECT_THAT(alone.transcript().lines(), Contains(HasSubstr(seen)));
      }
      ExpectSame(scripts_[i]->transcript().lines(), alone.transcript().lines());
      // An id is random all through: it says nothing of those before it, and comes up once in all worlds.
      for (const std::string& id : alone.transcript().ids()) {
        EXPECT_TRUE(ids.insert(id).second) << id;
      }
    }
  }

  uint64_t seed_ = 0;
  std::unique_ptr<Harness> shared_;
  Belongings belongings_;
  std::vector<std::unique_ptr<UserScript>> scripts_;
};

TEST_P(IsolationTest, InterleavedUsersSeeWhatEachSeesAlone) {
  Covers({"RF-2", "RF-3", "RF-4", "AE-1", "AE-8", "WS-5", "WS-8", "AU-5"});
  // Whose turn it is comes from the seed too.
  for (uint64_t turn = 0;; ++turn) {
    std::vector<UserScript*> left;
    for (const auto& script : scripts_) {
      if (!script->done()) {
        left.push_back(script.get());
      }
    }
    if (left.empty()) {
      break;
    }
    left[crypto::Sha256Digest(absl::StrCat("turn ", seed_, " ", turn))[0] % left.size()]->Act();
  }
  ExpectAsAlone();
}

TEST_P(IsolationTest, UsersAtTheSameTimeSeeWhatEachSeesAlone) {
  Covers({"RF-2", "RF-4", "AE-8", "WS-8"});
  std::vector<std::thread> threads;
  for (const auto& script : scripts_) {
    threads.emplace_back([script = script.get()] {
      while (!script->done()) {
        script->Act();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  ExpectAsAlone();
}

INSTANTIATE_TEST_SUITE_P(Seeds, IsolationTest, ::testing::Values(uint64_t{1}, uint64_t{2}),
                         [](const ::testing::TestParamInfo<uint64_t>& info) { return absl::StrCat(info.param); });

using IsolationTokenTest = WorldTest;

TEST_F(IsolationTokenTest, PageTokenDoesNotCountTheRunsOfOthers) {
  Covers({"RF-2", "AE-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, MakeWorld(Logins()));
  User& ada = platform->As("ada");
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::string run, ada.StartRun("chain", {{"tools", {"echo"}}}));
    ASSERT_OK(ada.WaitForRun(run));
  }
  ASSERT_OK_AND_ASSIGN(const nlohmann::json page, ada.Http("GET", "/v1/runs?pageSize=1", nullptr));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json same, ada.Http("GET", "/v1/runs?pageSize=1", nullptr));
  // Two tokens for one place have nothing in common but what the request has said: what is sealed has no pattern.
  std::string token;
  std::string other;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(page.at("nextPageToken").get<std::string>(), &token));
  ASSERT_TRUE(absl::WebSafeBase64Unescape(same.at("nextPageToken").get<std::string>(), &other));
  constexpr size_t kFingerprint = 8;
  EXPECT_EQ(token.substr(0, kFingerprint), other.substr(0, kFingerprint));
  EXPECT_NE(token.substr(kFingerprint), other.substr(kFingerprint));
  EXPECT_EQ(token.size(), other.size());
  // It is another user's to no avail.
  EXPECT_THAT(
      platform->As("bob").Http(
          "GET", absl::StrCat("/v1/runs?pageSize=1&pageToken=", page.at("nextPageToken").get<std::string>()), nullptr),
      HasReason("PAGE_TOKEN_INVALID"));
}

}  // namespace
}  // namespace bulkhead::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    uint64_t seed = 0;
    if (absl::ConsumePrefix(&argument, "--seed=") && absl::SimpleAtoi(argument, &seed)) {
      bulkhead::testing::SeedOfTheCommandLine() = seed;
    }
  }
  return RUN_ALL_TESTS();
}
