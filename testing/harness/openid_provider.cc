#include "testing/harness/openid_provider.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "services/common/status/macros.h"
#include "testing/harness/runfile.h"

namespace bulkhead::testing {
namespace {

constexpr int kMaxPages = 5;  // Sign-in, consent, and room.

}  // namespace

std::string OpenIdProvider::TlsCertificate() {
  return Runfile("bulkhead", "testing/harness/openid/testdata/localhost.pem");
}

absl::StatusOr<std::unique_ptr<OpenIdProvider>> OpenIdProvider::Run(std::string_view script,
                                                                    std::vector<std::string> arguments) {
  std::vector<std::string> all = {Runfile("bulkhead", absl::StrCat("testing/harness/openid/", script)),
                                  Runfile("npm", "")};
  all.back().pop_back();
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto provider = absl::WrapUnique(new OpenIdProvider());
  ASSIGN_OR_RETURN(provider->process_,
                   ChildProcess::Start({.program = Runfile("npm", "node"), .arguments = std::move(all)}));
  ASSIGN_OR_RETURN(const std::string line, provider->process_->WaitForLine("listening "));
  provider->issuer_ = std::string(absl::StripPrefix(line, "listening "));
  return provider;
}

absl::StatusOr<std::unique_ptr<OpenIdProvider>> OpenIdProvider::Start(Options options) {
  nlohmann::json client = {{"client_id", kClientId},
                           // So it takes loopback addresses with any port: RFC 8252.
                           {"application_type", "native"},
                           {"redirect_uris", options.redirect_uris},
                           {"grant_types", {"authorization_code"}},
                           {"id_token_signed_response_alg", options.algorithm},
                           {"token_endpoint_auth_method", options.authentication}};
  if (options.authentication != "none") {
    client["client_secret"] = kClientSecret;
  }
  nlohmann::json config = {{"clients", {client}}, {"accounts", options.accounts}, {"algorithms", {"RS256"}}};
  if (options.algorithm != "RS256") {
    config["algorithms"].push_back(options.algorithm);
  }
  if (options.tls) {
    config["tls"] = {{"cert", TlsCertificate()},
                     {"key", Runfile("bulkhead", "testing/harness/openid/testdata/localhost.key")}};
  }
  return Run("provider.mjs", {config.dump()});
}

absl::StatusOr<std::unique_ptr<OpenIdProvider>> OpenIdProvider::StartAttacker() { return Run("attacker.mjs", {}); }

absl::Status OpenIdProvider::RotateKeys() {
  return control_.PostJson(absl::StrCat(issuer_, "/test/rotate"), nlohmann::json::object()).status();
}

absl::Status OpenIdProvider::Script(const nlohmann::json& script) {
  return control_.PostJson(absl::StrCat(issuer_, "/test/script"), script).status();
}

nlohmann::json OpenIdProvider::Seen() {
  const absl::StatusOr<Browser::Page> page = control_.Get(absl::StrCat(issuer_, "/test/requests"));
  EXPECT_TRUE(page.ok()) << page.status();
  return page.ok() ? nlohmann::json::parse(page->body) : nlohmann::json();
}

int OpenIdProvider::Requests(std::string_view path) {
  nlohmann::json seen = Seen();
  return (seen.contains("paths") ? seen["paths"] : seen).value(std::string(path), 0);
}

nlohmann::json OpenIdProvider::TokenRequests() { return Seen()["tokens"]; }

absl::StatusOr<Browser::Page> ClickThrough(Browser& browser, Browser::Page page, std::string_view login) {
  const std::string provider = page.url.substr(0, page.url.find('/', page.url.find("://") + 3));
  for (int i = 0; i < kMaxPages && absl::StartsWith(page.url, provider) && absl::StrContains(page.body, "<form"); ++i) {
    ASSIGN_OR_RETURN(page, browser.Submit(page, {{"login", std::string(login)}, {"password", "anything"}}));
  }
  return page;
}

}  // namespace bulkhead::testing
