// A whole platform in a process of its own, with the rich agent, that dies where it is told to:
//
//   server DATA EFFECTS MODEL [PLACE NTH]
//
// MODEL is the address of an endpoint for the model "small", whose key is the variable MODEL_KEY; "" for no model.
// PLACE is "agent.db before", "agent.db after" and the like for the nth commit of a service's database, or "effect
// before", "effect after" for the nth effect of a tool. Prints {"url": ...} when it listens; ends in good order, with
// code 0, on SIGTERM.
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/log_severity.h"
#include "absl/log/absl_check.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/config.pb.h"
#include "services/bulkhead/platform.h"
#include "services/common/config/environment.h"
#include "services/common/storage/testing/commit_observer.h"
#include "services/common/time/clock.h"
#include "testing/harness/crash/crash_point.h"
#include "testing/harness/crash/rich_agent.h"

int main(int argc, char** argv) {
  using namespace bulkhead;
  // Before any other thread, so that none of them takes it.
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, nullptr);
  absl::InitializeLog();
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kWarning);
  ABSL_CHECK(argc == 4 || argc == 6) << "server DATA EFFECTS MODEL [PLACE NTH]";

  int64_t nth = 0;
  ABSL_CHECK(argc == 4 || absl::SimpleAtoi(argv[5], &nth)) << "not a number: " << argv[5];
  testing::CrashPoint crash_point(argc == 4 ? "" : argv[4], nth);
  storage::ObserveCommits([&crash_point](const storage::SeenCommit& commit) {
    crash_point.Pass(absl::StrCat(commit.database, commit.done ? " after" : " before"));
  });
  testing::EffectLog effects(argv[2], &crash_point);
  const std::unique_ptr<Clock> clock = CreateSystemClock();

  common::v1::PlatformConfig config;
  config.set_environment(common::v1::ENVIRONMENT_TEST);
  config.mutable_auth()->set_open_registration(true);
  config.mutable_auth()->set_scrypt_log_n(4);
  config.mutable_gateway()->set_listen("127.0.0.1:0");
  if (const std::string model = argv[3]; !model.empty()) {
    common::v1::ModelEndpoint& endpoint = *config.mutable_agent()->add_models();
    endpoint.set_id("small");
    endpoint.set_url(model);
    endpoint.set_api_key("env:MODEL_KEY");
  }
  Platform::Options options;
  options.data_dir = argv[1];
  options.environment = config::Environment::FromEnviron(environ);
  options.admin_login = "warden";
  options.durable = false;  // A process dies, not the machine.
  options.clock = clock.get();
  options.extra_tools = testing::EffectTools(&effects, clock.get());
  options.extra_agents = testing::RichAgents();
  const absl::StatusOr<std::unique_ptr<Platform>> platform = Platform::Create(std::move(options), config);
  ABSL_CHECK(platform.ok()) << platform.status();
  std::printf("{\"url\": \"%s\"}\n", (*platform)->url().c_str());
  std::fflush(stdout);

  int signal = 0;
  ABSL_CHECK_EQ(sigwait(&end, &signal), 0);
  const absl::Status ended = (*platform)->Shutdown(absl::Seconds(20));
  ABSL_CHECK(ended.ok()) << ended;
  return 0;
}
