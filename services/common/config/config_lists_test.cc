// Lists of sections in the configuration: OpenID providers and OAuth clients.
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/config/config.h"
#include "services/common/config/environment.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::config {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::bulkhead::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConfigListsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.File(name)) << text;
    return folder_.File(name);
  }

  std::vector<std::string> Violations(const Sources& sources) {
    absl::StatusOr<Config> config = LoadConfig(sources);
    EXPECT_THAT(config, HasReason(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID"));
    return ConfigViolations(config.status());
  }

  // Those of a file with these members of one provider.
  std::vector<std::string> OfProvider(std::string_view members) {
    return Violations({.file = Write("p.json", absl::StrCat(R"({"auth": {"providers": [{)", members, "}]}}"))});
  }

  // "path = value (layer place)" of each field of the list.
  static std::vector<std::string> Explained(const Config& config, std::string_view list) {
    std::vector<std::string> lines;
    for (const ExplainedField& field : config.Explain()) {
      if (absl::StartsWith(field.path, list) && !field.value.empty()) {
        lines.push_back(absl::StrCat(field.path, " = ", field.value, " (", LayerName(field.origin.layer), " ",
                                     field.origin.place, ")"));
      }
    }
    return lines;
  }

  TempDir folder_;
};

constexpr char kGood[] = R"("id": "a", "issuer": "https://a.example", "client_id": "c")";

TEST_F(ConfigListsTest, AListIsReadTypedAndEachFieldKnowsItsPlace) {
  const std::string file = Write("site.json", R"({
  "auth": {
    "providers": [
      {"id": "corp", "issuer": "https://id.example/tenant", "clientId": "bulkhead",
       "client_secret": "env:CORP_SECRET", "scopes": ["email", "profile"],
       "allow_sign_up": true},
      {
        "id": "local",
        "issuer": "http://localhost:9000",
        "client_id": "x", "allow_insecure_http": true,
        "redirect_uris": ["http://127.0.0.1:8080/back", "https://b.example/v1/oidc/callback"]
      }
    ],
    "clients": [{"id": "reports", "secret": "file:reports.key", "permissions": ["run:all:read", "event:*:*"]}]
  }
})");
  ASSERT_OK_AND_ASSIGN(const Config config, LoadConfig({.file = file}));

  const common::v1::AuthConfig& auth = config.values().auth();
  ASSERT_EQ(auth.providers_size(), 2);
  EXPECT_EQ(auth.providers(0).client_id(), "bulkhead");
  EXPECT_THAT(auth.providers(0).scopes(), ElementsAre("email", "profile"));
  EXPECT_TRUE(auth.providers(0).allow_sign_up());
  EXPECT_FALSE(auth.providers(1).has_client_secret());
  ASSERT_EQ(auth.clients_size(), 1);
  EXPECT_THAT(auth.clients(0).permissions(), ElementsAre("run:all:read", "event:*:*"));
  EXPECT_THAT(Explained(config, "auth.providers"),
              ElementsAre("auth.providers[0].id = corp (file site.json:4)",
                          "auth.providers[0].issuer = https://id.example/tenant (file site.json:4)",
                          "auth.providers[0].client_id = bulkhead (file site.json:4)",
                          "auth.providers[0].client_secret = env:CORP_SECRET (file site.json:5)",
                          "auth.providers[0].scopes = email,profile (file site.json:5)",
                          "auth.providers[0].allow_sign_up = true (file site.json:6)",
                          "auth.providers[1].id = local (file site.json:8)",
                          "auth.providers[1].issuer = http://localhost:9000 (file site.json:9)",
                          "auth.providers[1].client_id = x (file site.json:10)",
                          "auth.providers[1].redirect_uris = "
                          "http://127.0.0.1:8080/back,https://b.example/v1/oidc/callback (file site.json:11)",
                          "auth.providers[1].allow_insecure_http = true (file site.json:10)"));
}

TEST_F(ConfigListsTest, AListReplacesTheOneBelowAsAWhole) {
  Write("base.json", R"({"auth": {"providers": [{"id": "one", "issuer": "https://one.example", "client_id": "1",
    "display_name": "The first"}, {"id": "two", "issuer": "https://two.example", "client_id": "2"}]}})");
  ASSERT_OK_AND_ASSIGN(
      const Config inherits,
      LoadConfig({.file = Write("same.json", R"({"extends": "base.json", "auth": {"token_leeway": "10s"}})")}));
  EXPECT_EQ(inherits.values().auth().providers_size(), 2);
  EXPECT_THAT(Explained(inherits, "auth.providers[1].id"),
              ElementsAre("auth.providers[1].id = two (base file base.json:2)"));

  ASSERT_OK_AND_ASSIGN(const Config replaces,
                       LoadConfig({.file = Write("own.json", R"({"extends": "base.json", "auth": {"providers": [
  {"id": "own", "issuer": "https://own.example", "client_id": "3"}]}})")}));
  EXPECT_THAT(Explained(replaces, "auth.providers"),
              ElementsAre("auth.providers[0].id = own (file own.json:2)",
                          "auth.providers[0].issuer = https://own.example (file own.json:2)",
                          "auth.providers[0].client_id = 3 (file own.json:2)"));

  ASSERT_OK_AND_ASSIGN(
      const Config none,
      LoadConfig({.file = Write("none.json", R"({"extends": "base.json", "auth": {"providers": []}})")}));
  EXPECT_EQ(none.values().auth().providers_size(), 0);
  EXPECT_THAT(Explained(none, "auth.providers"), IsEmpty());
}

TEST_F(ConfigListsTest, EveryViolationOfTypeIsListedWithItsElementAndLine) {
  const std::string file = Write("bad.json", R"({
  "auth": {
    "providers": [
      {"id": "a", "issuer": 5,
       "colour": "red", "id": "b"},
      "https://c.example",
      {
        "scopes": "email",
        "allow_sign_up": "yes",
        "client_id": null,
        "ca_file": ["x"]
      }
    ],
    "clients": {"id": "x"}
  }
})");
  EXPECT_THAT(
      Violations({.file = file}),
      ElementsAre("auth.providers[0].issuer: must be a string, is 5 (bad.json:4)",
                  "auth.providers[0].colour: is unknown: 'auth.providers[0]' has no such field (bad.json:5)",
                  "auth.providers[0].id: is there twice (bad.json:5)",
                  "auth.providers[1]: must be an object (bad.json:6)",
                  "auth.providers[2].scopes: must be a list, is 'email' (bad.json:8)",
                  "auth.providers[2].allow_sign_up: must be true or false, is 'yes' (bad.json:9)",
                  "auth.providers[2].client_id: must not be null: leave it out to keep the value of the layers below "
                  "(bad.json:10)",
                  "auth.providers[2].ca_file: must be a string, is a list (bad.json:11)",
                  "auth.clients.id: is about an element of 'auth.clients': a list is set as a whole, and in a file "
                  "(bad.json:14)"));
}

TEST_F(ConfigListsTest, VariablesAndTheCommandLineCannotHoldElements) {
  EXPECT_THAT(
      Violations({.environment = Environment(
                      {{"BULKHEAD_AUTH_CLIENTS", "x"}, {"BULKHEAD_AUTH_PROVIDERS_0_ISSUER", "https://a.example"}}),
                  .overrides = {"auth.providers=[]", "auth.providers[0].issuer=https://a.example",
                                "auth.providers.issuer=https://a.example"}}),
      ElementsAre("auth.clients: is a list of objects, which is set in a file: variables and --set cannot hold one "
                  "(BULKHEAD_AUTH_CLIENTS)",
                  "auth.providers: is a list of objects, which is set in a file: variables and --set cannot hold one "
                  "(BULKHEAD_AUTH_PROVIDERS_0_ISSUER)",
                  "auth.providers: is a list of objects, which is set in a file: variables and --set cannot hold one "
                  "(--set)",
                  "auth.providers[0].issuer: is an element of a list: a list is set as a whole (--set)",
                  "auth.providers.issuer: is about an element of 'auth.providers': a list is set as a whole, and in a "
                  "file (--set)"));
}

TEST_F(ConfigListsTest, ProvidersThatCannotWorkOrAreUnsafeAreRefused) {
  EXPECT_THAT(
      OfProvider(""),
      ElementsAre("auth.providers[0].id: must be set, of a-z, 0-9 and - (p.json:1)",
                  "auth.providers[0].issuer: must be set: an https address without a query or fragment, as the "
                  "provider writes it (p.json:1)",
                  "auth.providers[0].client_id: must be set: what the provider knows this platform as (p.json:1)"));
  EXPECT_THAT(OfProvider(R"("id": "A b", "issuer": "https://a.example", "client_id": "c")"),
              ElementsAre(HasSubstr("[0].id: must be set, of a-z, 0-9 and -")));
  EXPECT_THAT(OfProvider(absl::StrCat(kGood, "}, {", kGood)),
              ElementsAre(HasSubstr("auth.providers[1].id: must not be the id of another element")));
  for (const char* issuer :
       {"a.example", "ftp://a.example", "https://", "https://a.example?x=1", "https://a.example/#f",
        "https://ada@a.example", "https://a.example:port", "https://a.example:70000"}) {
    EXPECT_THAT(OfProvider(absl::StrCat(R"("id": "a", "client_id": "c", "issuer": ")", issuer, "\"")),
                ElementsAre(HasSubstr("[0].issuer: must be set: an https address")))
        << issuer;
  }
  EXPECT_THAT(OfProvider(R"("id": "a", "client_id": "c", "issuer": "http://a.example")"),
              ElementsAre(HasSubstr("[0].issuer: must be https unless allow_insecure_http is true")));
  for (const char* uri : {"/back", "http://a.example/back", "https://a.example/back#f", "myapp:back",
                          "http://127.0.0.1.example/back", "http://localhost@a.example/"}) {
    EXPECT_THAT(OfProvider(absl::StrCat(kGood, R"(, "redirect_uris": ["https://ok.example/", ")", uri, "\"]")),
                ElementsAre(HasSubstr("[0].redirect_uris: each item must be an https address")))
        << uri;
  }
  EXPECT_THAT(OfProvider(absl::StrCat(kGood, R"(, "scopes": ["email profile"])")),
              ElementsAre(HasSubstr("[0].scopes: each item must be one scope")));
  // Without addresses of its own, the gateway's must be one that providers may send browsers to.
  const std::string file = Write("p.json", absl::StrCat(R"({"auth": {"providers": [{)", kGood, "}]}}"));
  EXPECT_THAT(Violations({.file = file, .overrides = {"gateway.listen=0.0.0.0:80"}}),
              ElementsAre(HasSubstr("[0].redirect_uris: must be set, or gateway.public_url")));
  EXPECT_THAT(Violations({.file = file, .overrides = {"gateway.public_url=http://bulkhead.example"}}),
              ElementsAre(HasSubstr("[0].redirect_uris: must be set, or gateway.public_url")));
  EXPECT_THAT(LoadConfig({.file = file,
                          .overrides = {"gateway.listen=0.0.0.0:80", "gateway.public_url=https://bulkhead.example"}}),
              IsOk());
  EXPECT_THAT(LoadConfig({.file = file}), IsOk());
}

TEST_F(ConfigListsTest, ClientsThatCannotWorkAreRefused) {
  const std::string file = Write("c.json", R"({"auth": {"clients": [
    {},
    {"id": "gateway", "secret": "env:A", "permissions": ["run:all:read"]},
    {"id": "x", "secret": "env:A", "permissions": ["run:all:read", "everything"]},
    {"id": "x", "secret": "env:A", "permissions": ["*:*:*"]}
  ]}})");
  EXPECT_THAT(
      Violations({.file = file}),
      ElementsAre("auth.clients[0].id: must be set, of a-z, 0-9 and - (c.json:2)",
                  "auth.clients[0].secret: must be set: `file:PATH` or `env:NAME` of 16 bytes or more (c.json:2)",
                  "auth.clients[0].permissions: must name what the client may do, as `run:all:read` (c.json:2)",
                  "auth.clients[1].id: must not be the name of a service of the platform (c.json:3)",
                  "auth.clients[2].permissions: each item must be `<resource>:<which>:<verb>`, each part `*` or "
                  "of a-z, 0-9 and ._-, is 'everything' (c.json:4)",
                  "auth.clients[3].id: must not be the id of another element (c.json:5)"));
}

TEST_F(ConfigListsTest, SecretsPastedIntoElementsAreQuotedNowhere) {
  const std::string secrets = Write(
      "s.json", absl::StrCat(R"({"auth": {
    "providers": [{)",
                             kGood, R"(, "client_secret": "hunter2-hunter2"}, {"id": "b", "client_secret": "h2h2"},
                  "hunter2-hunter2"],
    "clients": [{"id": "c", "secret": 7734773477347734}, {"id": "d", "secret": ["hunter2"]}]}})"));
  const absl::Status typed = LoadConfig({.file = secrets}).status();
  EXPECT_THAT(typed, HasReason("CONFIG_INVALID"));
  EXPECT_EQ(ConfigViolations(typed).size(), 4u) << typed;
  EXPECT_THAT(absl::StrCat(typed), Not(HasSubstr("hunter2")));
  EXPECT_THAT(absl::StrCat(typed), Not(HasSubstr("h2h2")));
  EXPECT_THAT(absl::StrCat(typed), Not(HasSubstr("7734")));

  const absl::Status reference =
      LoadConfig({.file = Write("r.json", absl::StrCat(R"({"auth": {"providers": [{)", kGood,
                                                       R"(, "client_secret": "hunter2-hunter2"}]}})"))})
          .status();
  EXPECT_THAT(ConfigViolations(reference),
              ElementsAre("auth.providers[0].client_secret: must be `file:PATH` or `env:NAME`, not a secret itself "
                          "(r.json:1)"));
  EXPECT_THAT(absl::StrCat(reference), Not(HasSubstr("hunter2")));
}

TEST_F(ConfigListsTest, ModelsAreCheckedAllAtOnce) {
  const std::string file = Write("m.json", R"({"agent": {"models": [
    {"url": "https://a.example/v1"},
    {"id": "Small", "url": "ftp://a.example"},
    {"id": "local", "url": "http://127.0.0.1:8000/v1", "api_key": "hunter2-hunter2"},
    {"id": "local", "url": "http://b.example/v1"},
    {"id": "open", "url": "http://b.example/v1", "allow_insecure_http": true}],
    "max_model_tokens_per_run": 20000000}})");
  const std::vector<std::string> violations = Violations({.file = file});
  EXPECT_THAT(
      violations,
      ElementsAre("agent.models[0].id: must be set, of a-z, 0-9, `.`, `_` and `-` (m.json:2)",
                  "agent.models[1].id: must be set, of a-z, 0-9, `.`, `_` and `-` (m.json:3)",
                  "agent.models[1].url: must be set, as `https://api.example.com/v1`, without a query or fragment "
                  "(m.json:3)",
                  "agent.models[2].api_key: must be `file:PATH` or `env:NAME`, not a secret itself (m.json:4)",
                  "agent.models[3].id: must not be the id of another element (m.json:5)",
                  "agent.models[3].url: must be https, or http of this machine, unless allow_insecure_http is true "
                  "(m.json:5)",
                  "agent.max_model_tokens_per_run: must not be more than agent.max_model_tokens_per_day (m.json:7)"));

  const std::string open = Write("o.json", R"({"sealing_key": "env:KEY", "gateway": {"public_url": "https://a.example"},
    "agent": {"models": [{"id": "open", "url": "http://b.example/v1", "allow_insecure_http": true}]}})");
  EXPECT_THAT(Violations({.file = open, .overrides = {"environment=production"}}),
              ElementsAre("agent.models[0].allow_insecure_http: must not be true in production (o.json:2)"));
  EXPECT_THAT(LoadConfig({.file = open}), IsOk());
}

TEST_F(ConfigListsTest, InsecureProvidersAndAddressesAreRefusedInProduction) {
  const std::string file =
      Write("prod.json", R"({"sealing_key": "env:KEY", "gateway": {"public_url": "http://bulkhead.example"},
 "auth": {"providers": [{"id": "a", "issuer": "http://a.example", "client_id": "c", "allow_insecure_http": true,
  "redirect_uris": ["https://bulkhead.example/back"]}]}})");
  const auto both = ElementsAre("auth.providers[0].allow_insecure_http: must not be true in production (prod.json:2)",
                                "gateway.public_url: must be https in production (prod.json:1)");
  EXPECT_THAT(Violations({.file = file, .overrides = {"environment=production"}}), both);
  ASSERT_OK_AND_ASSIGN(const Config staging, LoadConfig({.file = file, .overrides = {"environment=staging"}}));
  EXPECT_THAT(staging.warnings(), both);
  EXPECT_THAT(LoadConfig({.file = file}), IsOk());
  EXPECT_THAT(Violations({.overrides = {"gateway.public_url=https://a.example/", "auth.key_algorithm=RS256",
                                        "auth.key_rotation_interval=5m"}}),
              ElementsAre("auth.key_algorithm: must be EdDSA or ES256 (--set)",
                          "auth.key_rotation_interval: must be 0s, for on demand only, or an hour or more (--set)",
                          "gateway.public_url: must be as `https://bulkhead.example`, without a path or a `/` at its "
                          "end (--set)"));
}

}  // namespace
}  // namespace bulkhead::config
