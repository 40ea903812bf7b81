// The whole platform in a test: the real services, on a temporary folder, with a clock that stands still until the test
// moves it.
//
//   ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).WithTool(tool).Build());
//   ASSERT_OK_AND_ASSIGN(std::string run, platform->As("ada").StartRun("analyst", {{"file", "sales.csv"}}));
//   ASSERT_OK_AND_ASSIGN(agent::v1::Run ended, platform->As("ada").WaitForRun(run));
//
// A method that has no verb here is called with testing/harness/calls.h.
#ifndef TESTING_HARNESS_HARNESS_H_
#define TESTING_HARNESS_HARNESS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json_fwd.hpp"
#include "services/agent/agent.h"
#include "services/bulkhead/platform.h"
#include "services/common/ids/id_generator.h"
#include "services/common/time/simulated_clock.h"
#include "services/tool/tool.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"
#include "testing/faults/fault_injector.h"
#include "testing/harness/user.h"

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead::testing {

class HarnessBuilder;

// For one thread, but for User's verbs, which several threads may call at once.
class Harness {
 public:
  static HarnessBuilder Builder();

  // Shuts the platform down and fails the test when something was still at work: a coroutine, a call, a timer.
  ~Harness();
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  // A user of WithUsers; the test ends with an error for any other login.
  User& As(std::string_view login);
  // One who may read the audit log, rotate keys, and manage users and roles.
  User& AsAdmin();

  // The audit records about a user, oldest first.
  absl::StatusOr<std::vector<auth::v1::AuditRecord>> AuditOf(std::string_view login);
  // The types of all durable events that a user's runs have, each run's in order.
  std::vector<std::string> EventsOf(std::string_view login);

  // Moves the domain's time: tokens expire, timers fire. Real deadlines of calls are not touched.
  void Advance(absl::Duration by);
  absl::Time Now() const { return clock_->Now(); }

  // Where calls between services are held, failed, delayed and lost.
  FaultInjector& faults() { return faults_; }

  // Ends the platform in good order and starts it again on the same data. Users stay signed in; stubs and clients got
  // before are dead.
  absl::Status Restart();
  // The same with other code or configuration from now on.
  absl::Status RestartWith(const std::function<void(HarnessBuilder&)>& change);
  // Ends it abruptly, as near to a crash as one process comes; the test starts it again. Processes are killed in
  // kill_test.
  void Crash();
  absl::Status Start();

  Platform& platform() { return *platform_; }
  // "http://127.0.0.1:43210"
  const std::string& url() const { return platform_->url(); }
  const std::string& data_dir() const { return data_dir_.path(); }

  // To a service such as "bulkhead.agent.v1.RunService".
  std::shared_ptr<grpc::Channel> ChannelTo(std::string_view service) const;

 private:
  friend class HarnessBuilder;
  struct Settings;

  explicit Harness(std::unique_ptr<Settings> settings);
  absl::StatusOr<std::unique_ptr<User>> MakeUser(const std::string& login);

  std::unique_ptr<Settings> settings_;
  TempDir data_dir_;
  std::unique_ptr<Clock> system_clock_;
  std::unique_ptr<SimulatedClock> simulated_clock_;
  Clock* clock_ = nullptr;
  std::unique_ptr<IdGenerator> ids_;
  FaultInjector faults_;
  bool crashed_ = false;
  std::unique_ptr<Platform> platform_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;  // By the beginning of the services' names.
  std::map<std::string, std::unique_ptr<User>, std::less<>> users_;
};

class HarnessBuilder {
 public:
  HarnessBuilder();
  ~HarnessBuilder();

  // Registered and signed in when Build returns.
  HarnessBuilder& WithUsers(std::vector<std::string> logins);
  // Beside the built-in ones; everybody may call it.
  HarnessBuilder& WithTool(std::shared_ptr<tool::Tool> tool);
  HarnessBuilder& WithAgent(agent::AgentFactory agent);
  // Changes the configuration, which begins with that of an environment for tests.
  HarnessBuilder& Configure(std::function<void(common::v1::PlatformConfig&)> change);
  // Makes commits of the agent service fail, see Platform::Options::before_commit.
  HarnessBuilder& BeforeCommit(std::function<absl::Status(int64_t)> hook);
  // Noon of 1 March 2026 (UTC) when it is not called.
  HarnessBuilder& StartAt(absl::Time time);
  // For the few tests that are about real time.
  HarnessBuilder& OnSystemClock();
  // Sequential ids otherwise: "run-000007".
  HarnessBuilder& WithRandomIds();
  // Services reach each other over sockets. So do all tests when BULKHEAD_TEST_TRANSPORT is "tcp" (docs/testing.md).
  HarnessBuilder& OverTcp();

  // Once.
  absl::StatusOr<std::unique_ptr<Harness>> Build();

 private:
  friend class Harness;
  std::unique_ptr<Harness::Settings> settings_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_HARNESS_H_
