#include "services/common/config/config.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/config/environment.h"
#include "services/common/config/secret_reference.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::config {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::bulkhead::testing::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class ConfigTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.File(name)) << text;
    return folder_.File(name);
  }

  // The violations of what must not load, in order.
  std::vector<std::string> Violations(const Sources& sources) {
    absl::StatusOr<Config> config = LoadConfig(sources);
    EXPECT_THAT(config, HasReason(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID"));
    return ConfigViolations(config.status());
  }

  static ExplainedField Explained(const Config& config, std::string_view path) {
    for (ExplainedField& field : config.Explain()) {
      if (field.path == path) {
        return std::move(field);
      }
    }
    ADD_FAILURE() << "no field " << path;
    return {};
  }

  TempDir folder_;
};

TEST_F(ConfigTest, BuiltInDefaultsHoldTogetherAndSetEachFieldButThePrivateOnes) {
  ASSERT_OK_AND_ASSIGN(Config config, LoadConfig({}));
  EXPECT_THAT(config.warnings(), IsEmpty());
  EXPECT_EQ(config.values().environment(), common::v1::ENVIRONMENT_DEVELOPMENT);
  EXPECT_EQ(ToDuration(config.values().auth().access_token_lifetime()), absl::Minutes(15));
  for (const ExplainedField& field : config.Explain()) {
    static constexpr std::string_view kPrivate[] = {
        "sealing_key",  "auth.breached_passwords", "auth.providers",          "auth.clients",
        "agent.models", "agent.role_weights",      "gateway.allowed_origins", "gateway.public_url"};
    if (!absl::c_linear_search(kPrivate, field.path)) {
      EXPECT_NE(field.value, "") << field.path;
    }
  }
}

TEST_F(ConfigTest, StrongestLayerWinsAndEachValueKnowsItsOrigin) {
  Write("base.json", R"({"agent": {"max_running": 10, "max_running_per_user": 2}, "threads": 3})");
  std::string file = Write("prod.json",
                           "{\n  \"extends\": \"base.json\",\n  \"agent\": {\n    \"maxRunning\": 20,\n"
                           "    \"run_timeout\": \"90s\"\n  }\n}\n");
  ASSERT_OK_AND_ASSIGN(
      Config config,
      LoadConfig(
          {.file = file,
           .environment = Environment({{"BULKHEAD_AGENT_MAX_RUNNING", "30"}, {"BULKHEAD_THREADS", "5"}}),
           .overrides = {"agent.max_running=40", "gateway.allowed_origins=https://a.example, https://b.example"}}));
  EXPECT_EQ(config.values().agent().max_running(), 40u);
  EXPECT_EQ(config.values().threads(), 5u);
  EXPECT_THAT(config.values().gateway().allowed_origins(), ElementsAre("https://a.example", "https://b.example"));

  auto origin = [&config](std::string_view path) {
    ExplainedField field = Explained(config, path);
    return absl::StrCat(field.value, " ", LayerName(field.origin.layer), " ", field.origin.place);
  };
  EXPECT_EQ(origin("agent.max_running"), "40 command line --set");
  EXPECT_EQ(origin("threads"), "5 environment BULKHEAD_THREADS");
  EXPECT_EQ(origin("agent.run_timeout"), "1m30s file prod.json:5");
  EXPECT_EQ(origin("agent.max_running_per_user"), "2 base file base.json:1");
  EXPECT_EQ(origin("agent.max_steps_per_run"), "10000 built-in ");
  EXPECT_THAT(ExplainConfig(config), HasSubstr("agent.run_timeout "));
}

TEST_F(ConfigTest, AllViolationsAreListedAtOnceWithTheirPlaces) {
  std::string file = Write("bad.json", R"({
  "environment": "moon",
  "threads": 0,
  "colour": "red",
  "agent": {
    "max_runing": 3,
    "max_running": "many",
    "run_timeout": 90,
    "max_running": 7
  },
  "gateway": {"allowed_origins": "https://a.example", "behind_tls_proxy": "yes"},
  "auth": 5,
  "tool": {"max_message_bytes": null, "max_workspace_bytes": "2048"}
})");
  EXPECT_THAT(
      Violations({.file = file,
                  .environment = Environment({{"BULKHEAD_AGENT_MAX_STEPS", "3"}, {"BULKHEAD_BLOCKING_THREADS", "-1"}}),
                  .overrides = {"notifier", "extends=x", "gateway.listen.port=3"}}),
      ElementsAre(
          "agent.max_running: is there twice (bad.json:9)",
          "environment: must be one of development, test, staging, production, is 'moon' (bad.json:2)",
          "threads: must be between 1 and 256, is 0 (bad.json:3)", "colour: is unknown (bad.json:4)",
          "agent.max_runing: is unknown: 'agent' has no such field (bad.json:6)",
          "agent.max_running: must be a 32-bit integer, 0 or more, is 'many' (bad.json:7)",
          "agent.run_timeout: must be a duration as \"90s\" or \"1h30m\", is 90 (bad.json:8)",
          "gateway.allowed_origins: must be a list, is 'https://a.example' (bad.json:11)",
          "gateway.behind_tls_proxy: must be true or false, is 'yes' (bad.json:11)",
          "auth: is a section, not a value (bad.json:12)",
          "tool.max_message_bytes: must not be null: leave it out to keep the value of the layers below (bad.json:13)",
          "blocking_threads: must be a 32-bit integer, 0 or more, is '-1' (BULKHEAD_BLOCKING_THREADS)",
          "no field has this variable (BULKHEAD_AGENT_MAX_STEPS)", "must be section.field=value (--set)",
          "extends: is for files only (--set)",
          "gateway.listen.port: is unknown: 'gateway.listen' is a value, not a section (--set)"));
}

TEST_F(ConfigTest, FilesThatCannotBeReadSayWhereTheyWereNamed) {
  EXPECT_THAT(Violations({.file = folder_.File("missing.json")}), ElementsAre(StartsWith("cannot read a file")));
  EXPECT_THAT(Violations({.file = Write("child.json", "{\n\"extends\": \"missing.json\"}")}),
              ElementsAre(AllOf(StartsWith("extends: cannot read"), HasSubstr("(child.json:2)"))));
  Write("a.json", R"({"extends": "b.json"})");
  Write("b.json", R"({"extends": "a.json"})");
  EXPECT_THAT(Violations({.file = folder_.File("a.json")}),
              ElementsAre(StartsWith("extends: must not lead in a circle")));
  EXPECT_THAT(Violations({.file = Write("cut.json", "{\n\"threads\": ")}),
              ElementsAre(AllOf(StartsWith("syntax error"), HasSubstr("(cut.json:2)"))));
  EXPECT_THAT(Violations({.file = Write("list.json", "[1]")}), ElementsAre(HasSubstr("must be one object")));
}

TEST_F(ConfigTest, ValuesThatContradictEachOtherAreRefused) {
  EXPECT_THAT(Violations({.overrides = {"agent.max_running=2", "auth.session_idle_lifetime=1h",
                                        "auth.session_lifetime=30m", "gateway.heartbeat=2m", "gateway.listen=localhost",
                                        "sealing_key=hunter2", "gateway.allowed_origins=*"}}),
              ElementsAre("sealing_key: must be `file:PATH` or `env:NAME`, not a secret itself (--set)",
                          "auth.session_idle_lifetime: must not be longer than auth.session_lifetime (--set)",
                          "agent.max_running_per_user: must not be more than agent.max_running",
                          "gateway.listen: must be `address:port`, an IPv6 address in brackets (--set)",
                          StartsWith("gateway.allowed_origins: each item must be as `https://example.org`"),
                          "gateway.heartbeat: must be shorter than gateway.idle_timeout (--set)"));
}

TEST_F(ConfigTest, ProductionRefusesWhatStagingWarnsOfAndDevelopmentAllows) {
  std::vector<std::string> unsafe = {"gateway.listen=0.0.0.0:80", "auth.scrypt_log_n=10",
                                     "gateway.allowed_origins=http://a.example"};
  auto in = [&unsafe](std::string environment) {
    std::vector<std::string> overrides = unsafe;
    overrides.push_back("environment=" + environment);
    return Sources{.overrides = overrides};
  };
  auto about = [](std::string_view path) { return AllOf(StartsWith(path), HasSubstr("in production")); };
  for (std::string_view allowed : {"development", "test"}) {
    ASSERT_OK_AND_ASSIGN(Config config, LoadConfig(in(std::string(allowed))));
    EXPECT_THAT(config.warnings(), IsEmpty());
  }
  auto all = ElementsAre(about("sealing_key: must be set"), about("auth.scrypt_log_n"), about("gateway.listen"),
                         about("gateway.allowed_origins"));
  ASSERT_OK_AND_ASSIGN(Config staging, LoadConfig(in("staging")));
  EXPECT_THAT(staging.warnings(), all);
  EXPECT_THAT(Violations(in("production")), all);

  unsafe = {"gateway.listen=0.0.0.0:80", "gateway.behind_tls_proxy=true", "sealing_key=env:KEY"};
  EXPECT_OK(LoadConfig(in("production")));
}

TEST_F(ConfigTest, OnlyTheVariablesHandedInCount) {
  ASSERT_EQ(setenv("BULKHEAD_THREADS", "99", /*overwrite=*/1), 0);
  ASSERT_OK_AND_ASSIGN(Config none, LoadConfig({}));
  EXPECT_EQ(none.values().threads(), 4u);
  const char* const handed[] = {
      "BULKHEAD_THREADS=7", "BULKHEAD_THREADS=8", "PATH=/bin", "BULKHEAD_TOKEN=x", "=", nullptr};
  ASSERT_OK_AND_ASSIGN(Config given, LoadConfig({.environment = Environment::FromEnviron(handed)}));
  EXPECT_EQ(given.values().threads(), 7u);
  EXPECT_THAT(given.warnings(), ElementsAre("the variable sets nothing here (BULKHEAD_TOKEN)"));
  unsetenv("BULKHEAD_THREADS");
}

TEST_F(ConfigTest, SecretsAreReadThroughReferencesAndNeverShown) {
  std::string key(32, 'k');
  std::string encoded = absl::Base64Escape(key);
  Environment environment({{"KEY", encoded}, {"SHORT", "c2hvcnQ="}, {"EMPTY", ""}});
  ASSERT_OK_AND_ASSIGN(Secret from_variable, ResolveSealingKey("env:KEY", environment));
  EXPECT_EQ(from_variable.Reveal(), key);
  ASSERT_OK_AND_ASSIGN(Secret from_file, ResolveSealingKey("file:" + Write("key", encoded + "\n"), environment));
  EXPECT_EQ(from_file.Reveal(), key);

  EXPECT_THAT(ResolveSecret("env:EMPTY", environment), HasReason(absl::StatusCode::kNotFound, "SECRET_NOT_FOUND"));
  EXPECT_THAT(ResolveSecret("file:/no/such", environment), HasReason("SECRET_NOT_FOUND"));
  absl::Status pasted = ResolveSecret("hunter2", environment).status();
  EXPECT_THAT(pasted, HasReason("SECRET_REFERENCE_INVALID"));
  EXPECT_THAT(pasted.message(), Not(HasSubstr("hunter2")));
  absl::Status too_short = ResolveSealingKey("env:SHORT", environment).status();
  EXPECT_THAT(too_short, HasReason("SEALING_KEY_INVALID"));
  EXPECT_THAT(too_short.message(), Not(HasSubstr("c2hvcnQ=")));

  // A secret pasted where its reference belongs is quoted nowhere.
  absl::Status refused = LoadConfig({.overrides = {"sealing_key=hunter2-hunter2"}}).status();
  EXPECT_THAT(absl::StrCat(refused), Not(HasSubstr("hunter2")));
  refused = LoadConfig({.overrides = {"hunter2-hunter2"}}).status();
  EXPECT_THAT(absl::StrCat(refused), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace bulkhead::config
