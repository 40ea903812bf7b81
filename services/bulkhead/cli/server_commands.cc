#include "services/bulkhead/cli/server_commands.h"

#include <memory>
#include <string_view>
#include <utility>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/common/v1/config.pb.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/exit_code.h"
#include "services/bulkhead/platform.h"
#include "services/common/config/config.h"
#include "services/common/config/secret_reference.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

// Within what a service manager gives before it kills.
constexpr absl::Duration kShutdownLimit = absl::Seconds(20);
// A shutdown that takes so much longer will not end: agents hold more threads than can be replaced.
constexpr absl::Duration kLastResort = absl::Seconds(10);

absl::StatusOr<config::Config> Load(const config::Environment& environment, const ServerOptions& options) {
  config::Sources sources{.file = options.config_file, .environment = environment, .overrides = options.overrides};
  // The short options are settings like others, and the strongest.
  if (!options.data_dir.empty()) {
    sources.overrides.push_back(absl::StrCat("data_dir=", options.data_dir));
  }
  if (!options.listen.empty()) {
    sources.overrides.push_back(absl::StrCat("gateway.listen=", options.listen));
  }
  return config::LoadConfig(sources);
}

}  // namespace

absl::Status Serve(Console& console, const Interrupt& interrupt, const config::Environment& environment,
                   const ServerOptions& options) {
  ASSIGN_OR_RETURN(const config::Config config, Load(environment, options));
  for (const std::string& warning : config.warnings()) {
    console.Note(absl::StrCat("warning: ", warning));
  }
  if (options.log_calls) {
    absl::SetGlobalVLogLevel(1);
    absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfo);
  }
  Platform::Options platform_options;
  platform_options.data_dir = config.values().data_dir();
  platform_options.environment = environment;
  platform_options.admin_login = options.admin_login;
  platform_options.extra_agents = options.additions.agents;
  platform_options.extra_tools = options.additions.tools;
  if (config.values().has_sealing_key()) {
    ASSIGN_OR_RETURN(platform_options.sealing_key,
                     config::ResolveSealingKey(config.values().sealing_key(), environment));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Platform> platform,
                   Platform::Create(std::move(platform_options), config.values()));
  console.Line(
      absl::StrCat("Bulkhead listens on ", platform->url(), ", with its data in ", config.values().data_dir()));
  console.Json({{"url", platform->url()}, {"dataDir", config.values().data_dir()}});
  const std::string_view others = config.values().auth().open_registration() ? "Who registers becomes a member"
                                                                             : "Only administrators register others";
  console.Note(options.admin_login.empty()
                   ? absl::StrCat(others, "; with --admin LOGIN, who registers as LOGIN becomes administrator.")
                   : absl::StrCat("Who registers as ", options.admin_login,
                                  " becomes administrator. Do it before others can: bulkhead login --register --login ",
                                  options.admin_login, " --server ", platform->url()));
  interrupt.Wait();
  console.Note("Shutting down...");
  interrupt.EndProcessAfter(kShutdownLimit + kLastResort, ExitCode::kHeld);
  const absl::Status ended = platform->Shutdown(kShutdownLimit);
  if (ReasonOf(ended) == "AGENTS_HOLD_THREADS") {
    return ended;
  }
  if (!ended.ok()) {
    // Durable as it is, what was cut off goes on at the next start: no failure.
    console.Note(absl::StrCat("some work was cut off: ", ended.message()));
  }
  return absl::OkStatus();
}

absl::Status CheckConfig(Console& console, const config::Environment& environment, const ServerOptions& options) {
  ASSIGN_OR_RETURN(const config::Config config, Load(environment, options));
  for (const std::string& warning : config.warnings()) {
    console.Note(absl::StrCat("warning: ", warning));
  }
  console.Line("The configuration is valid.");
  console.Json({{"valid", true}, {"warnings", config.warnings()}});
  return absl::OkStatus();
}

absl::Status ExplainConfig(Console& console, const config::Environment& environment, const ServerOptions& options) {
  ASSIGN_OR_RETURN(const config::Config config, Load(environment, options));
  console.Line(config::ExplainConfig(config));
  json fields = json::array();
  for (const config::ExplainedField& field : config.Explain()) {
    fields.push_back({{"path", field.path},
                      {"value", field.value},
                      {"layer", config::LayerName(field.origin.layer)},
                      {"place", field.origin.place}});
  }
  console.Json({{"fields", fields}});
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
