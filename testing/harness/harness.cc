#include "testing/harness/harness.h"

#include <cstdlib>
#include <utility>

#include "absl/log/absl_check.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/audit_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/macros.h"
#include "testing/harness/calls.h"

namespace bulkhead::testing {
namespace {

constexpr char kAdminLogin[] = "harness-admin";
constexpr char kPassword[] = "violet otters mend the quay";
constexpr absl::Duration kShutdownLimit = absl::Seconds(20);
// The least that is allowed: tests sign in a lot.
constexpr uint32_t kScryptLogN = 4;

absl::Time DefaultStart() { return absl::FromCivil(absl::CivilSecond(2026, 3, 1, 12, 0, 0), absl::UTCTimeZone()); }

bool WantsTcp() {
  const char* transport = std::getenv("BULKHEAD_TEST_TRANSPORT");
  return transport != nullptr && std::string_view(transport) == "tcp";
}

}  // namespace

struct Harness::Settings {
  std::vector<std::string> logins;
  std::vector<std::shared_ptr<tool::Tool>> tools;
  std::vector<agent::AgentFactory> agents;
  std::vector<std::function<void(common::v1::PlatformConfig&)>> changes;
  std::function<absl::Status(int64_t)> before_commit;
  absl::Time start = DefaultStart();
  bool system_clock = false;
  bool random_ids = false;
  Transport transport = WantsTcp() ? Transport::kLoopbackTcp : Transport::kInProcess;
};

HarnessBuilder::HarnessBuilder() : settings_(std::make_unique<Harness::Settings>()) {}
HarnessBuilder::~HarnessBuilder() = default;

HarnessBuilder& HarnessBuilder::WithUsers(std::vector<std::string> logins) {
  settings_->logins = std::move(logins);
  return *this;
}

HarnessBuilder& HarnessBuilder::WithTool(std::shared_ptr<tool::Tool> tool) {
  settings_->tools.push_back(std::move(tool));
  return *this;
}

HarnessBuilder& HarnessBuilder::WithAgent(agent::AgentFactory agent) {
  settings_->agents.push_back(std::move(agent));
  return *this;
}

HarnessBuilder& HarnessBuilder::Configure(std::function<void(common::v1::PlatformConfig&)> change) {
  settings_->changes.push_back(std::move(change));
  return *this;
}

HarnessBuilder& HarnessBuilder::BeforeCommit(std::function<absl::Status(int64_t)> hook) {
  settings_->before_commit = std::move(hook);
  return *this;
}

HarnessBuilder& HarnessBuilder::StartAt(absl::Time time) {
  settings_->start = time;
  return *this;
}

HarnessBuilder& HarnessBuilder::OnSystemClock() {
  settings_->system_clock = true;
  return *this;
}

HarnessBuilder& HarnessBuilder::WithRandomIds() {
  settings_->random_ids = true;
  return *this;
}

HarnessBuilder& HarnessBuilder::OverTcp() {
  settings_->transport = Transport::kLoopbackTcp;
  return *this;
}

absl::StatusOr<std::unique_ptr<Harness>> HarnessBuilder::Build() {
  ABSL_CHECK(settings_ != nullptr) << "Build was called before";
  auto harness = std::unique_ptr<Harness>(new Harness(std::move(settings_)));
  RETURN_IF_ERROR(harness->Start());
  for (const std::string& login : harness->settings_->logins) {
    ASSIGN_OR_RETURN(harness->users_[login], harness->MakeUser(login));
  }
  return harness;
}

HarnessBuilder Harness::Builder() { return HarnessBuilder(); }

Harness::Harness(std::unique_ptr<Settings> settings) : settings_(std::move(settings)) {
  if (settings_->system_clock) {
    system_clock_ = CreateSystemClock();
    clock_ = system_clock_.get();
  } else {
    simulated_clock_ = std::make_unique<SimulatedClock>(settings_->start);
    clock_ = simulated_clock_.get();
  }
  // One generator over all restarts: an id is never given twice.
  ids_ = settings_->random_ids ? CreateRandomIds() : CreateSequentialIds();
}

Harness::~Harness() {
  if (platform_ == nullptr) {
    return;
  }
  channels_.clear();
  const absl::Status ended = platform_->Shutdown(kShutdownLimit);
  EXPECT_TRUE(ended.ok()) << "the platform was still at work when the test ended: " << ended;
  const size_t active = platform_->executor().active();
  EXPECT_EQ(active, 0u) << "coroutines have not ended";
  EXPECT_EQ(platform_->live_agent_instances(), 0) << "instances of agents are left";
  platform_.reset();
  // A crash leaves its timers behind, as it should.
  if (simulated_clock_ != nullptr && !crashed_) {
    EXPECT_EQ(simulated_clock_->pending_timers(), 0u) << "timers were left behind";
  }
}

absl::StatusOr<std::unique_ptr<User>> Harness::MakeUser(const std::string& login) {
  auto user = std::unique_ptr<User>(new User(this, login, kPassword));
  RETURN_IF_ERROR(user->Register());
  RETURN_IF_ERROR(user->SignIn());
  return user;
}

User& Harness::As(std::string_view login) {
  const auto user = users_.find(login);
  ABSL_CHECK(user != users_.end()) << login << " is not among WithUsers";
  return *user->second;
}

User& Harness::AsAdmin() {
  std::unique_ptr<User>& admin = users_[kAdminLogin];
  if (admin == nullptr) {
    absl::StatusOr<std::unique_ptr<User>> made = MakeUser(kAdminLogin);
    ABSL_CHECK(made.ok()) << made.status();
    admin = *std::move(made);
  }
  return *admin;
}

absl::StatusOr<std::vector<auth::v1::AuditRecord>> Harness::AuditOf(std::string_view login) {
  using auth::v1::AuditService;
  auth::v1::ListAuditRecordsRequest request;
  request.set_user(As(login).name());
  request.set_page_size(1000);
  std::vector<auth::v1::AuditRecord> records;
  do {
    ASSIGN_OR_RETURN(const auth::v1::ListAuditRecordsResponse page,
                     Call<AuditService>(AsAdmin(), &AuditService::Stub::ListAuditRecords, request));
    records.insert(records.end(), page.records().begin(), page.records().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return records;
}

std::vector<std::string> Harness::EventsOf(std::string_view login) {
  std::vector<std::string> types;
  const absl::StatusOr<std::vector<agent::v1::Run>> runs = As(login).ListRuns();
  EXPECT_TRUE(runs.ok()) << runs.status();
  if (runs.ok()) {
    for (const agent::v1::Run& run : *runs) {
      const absl::StatusOr<std::vector<std::string>> of_run = As(login).EventTypesOf(run.name());
      if (of_run.ok()) {
        types.insert(types.end(), of_run->begin(), of_run->end());
      }
    }
  }
  return types;
}

void Harness::Advance(absl::Duration by) {
  ABSL_CHECK(simulated_clock_ != nullptr) << "the machine's clock cannot be moved";
  simulated_clock_->Advance(by);
}

absl::Status Harness::Restart() {
  channels_.clear();
  const absl::Status ended = platform_->Shutdown(kShutdownLimit);
  platform_.reset();
  RETURN_IF_ERROR(ended);
  return Start();
}

absl::Status Harness::RestartWith(const std::function<void(HarnessBuilder&)>& change) {
  HarnessBuilder builder;
  builder.settings_ = std::move(settings_);
  change(builder);
  settings_ = std::move(builder.settings_);
  return Restart();
}

void Harness::Crash() {
  crashed_ = true;
  channels_.clear();
  platform_.reset();
}

absl::Status Harness::Start() {
  ABSL_CHECK(platform_ == nullptr) << "the platform runs";
  common::v1::PlatformConfig config;
  config.set_environment(common::v1::ENVIRONMENT_TEST);
  config.mutable_auth()->set_open_registration(true);
  config.mutable_auth()->set_scrypt_log_n(kScryptLogN);
  config.mutable_gateway()->set_listen("127.0.0.1:0");
  for (const auto& change : settings_->changes) {
    change(config);
  }
  Platform::Options options;
  options.data_dir = data_dir_.path();
  options.admin_login = kAdminLogin;
  options.transport = settings_->transport;
  options.durable = false;
  options.clock = clock_;
  options.ids = ids_.get();
  options.extra_tools = settings_->tools;
  options.extra_agents = settings_->agents;
  options.before_commit = settings_->before_commit;
  options.client_interceptors = [this] { return faults_.MakeInterceptors(); };
  ASSIGN_OR_RETURN(platform_, Platform::Create(std::move(options), config));
  channels_["bulkhead.agent."] = platform_->agent_channel();
  channels_["bulkhead.auth."] = platform_->auth_channel();
  channels_["bulkhead.notifier."] = platform_->notifier_channel();
  channels_["bulkhead.tool."] = platform_->tool_channel();
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> Harness::ChannelTo(std::string_view service) const {
  for (const auto& [prefix, channel] : channels_) {
    if (absl::StartsWith(service, prefix)) {
      return channel;
    }
  }
  ABSL_CHECK(false) << "no service of a running platform: " << service;
  return nullptr;
}

}  // namespace bulkhead::testing
