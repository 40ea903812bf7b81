#include "testing/integration/auth/openid_sign_in.h"

#include <fstream>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/audit_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "gtest/gtest.h"
#include "services/common/identity/token.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/matchers.h"
#include "testing/harness/calls.h"

namespace bulkhead::testing {

std::function<void(common::v1::PlatformConfig&)> WithProviders(std::vector<Configured> providers) {
  // Kept as long as the harness, which may read it again.
  auto folder = std::make_shared<TempDir>();
  const std::string secret_file = absl::StrCat(folder->path(), "/secret");
  std::ofstream(secret_file) << kClientSecret;
  return [providers = std::move(providers), secret_file, folder](common::v1::PlatformConfig& config) {
    config.mutable_auth()->clear_providers();
    for (const Configured& each : providers) {
      common::v1::OpenIdProvider* provider = config.mutable_auth()->add_providers();
      provider->set_id(each.id);
      provider->set_display_name(absl::StrCat("The ", each.id));
      provider->set_issuer(each.issuer);
      provider->set_client_id(kClientId);
      if (each.secret) {
        provider->set_client_secret(absl::StrCat("file:", secret_file));
      }
      provider->add_scopes("email");
      provider->add_scopes("profile");
      provider->add_redirect_uris("http://127.0.0.1/v1/oidc/callback");
      provider->set_allow_sign_up(each.allow_sign_up);
      provider->set_allow_insecure_http(absl::StartsWith(each.issuer, "http:"));
      if (!each.ca_file.empty()) {
        provider->set_ca_file(each.ca_file);
      }
    }
  };
}

absl::StatusOr<nlohmann::json> AnswerOf(const Browser::Page& page) {
  const nlohmann::json answer = nlohmann::json::parse(page.body, nullptr, /*allow_exceptions=*/false);
  if (page.status == 200 && answer.is_object()) {
    return answer;
  }
  if (!answer.is_object() || !answer.contains("error")) {
    return absl::InternalError(absl::StrCat(page.url, " answered ", page.status, ": ", page.body.substr(0, 1000)));
  }
  const nlohmann::json& error = answer["error"];
  ErrorInfo info{.domain = "bulkhead.test"};
  for (const nlohmann::json& detail : error["details"]) {
    if (detail.contains("reason")) {
      info.reason = detail["reason"];
      info.metadata = detail["metadata"].get<std::map<std::string, std::string>>();
    }
  }
  return MakeError(absl::StatusCode::kUnknown, absl::StrCat(page.status, " ", error["message"].get<std::string>()),
                   std::move(info));
}

std::string Visitor::Url(std::string_view path) const { return absl::StrCat(platform_->url(), path); }

absl::StatusOr<Browser::Page> Visitor::Start(std::string_view provider) {
  return browser_.Get(Url(absl::StrCat("/v1/oidc/", provider, "/start")));
}

absl::StatusOr<Browser::Page> Visitor::StartFromPage(const nlohmann::json& body, std::string_view token,
                                                     std::string_view provider) {
  std::map<std::string, std::string> headers;
  if (!token.empty()) {
    headers["Authorization"] = absl::StrCat("Bearer ", token);
  }
  ASSIGN_OR_RETURN(const Browser::Page page,
                   browser_.PostJson(Url(absl::StrCat("/v1/oidc/", provider, "/start")), body, std::move(headers)));
  ASSIGN_OR_RETURN(const nlohmann::json answer, AnswerOf(page));
  EXPECT_FALSE(answer.contains("state")) << "the state is for the cookie alone";
  return browser_.Get(answer.at("authorizationUri").get<std::string>());
}

absl::StatusOr<nlohmann::json> Visitor::Finish(std::string_view query) {
  ASSIGN_OR_RETURN(const Browser::Page page,
                   browser_.PostJson(Url("/v1/oidc/callback"), {{"redirectQuery", std::string(query)}}));
  return AnswerOf(page);
}

absl::StatusOr<nlohmann::json> Visitor::SignIn(std::string_view login, std::string_view provider) {
  ASSIGN_OR_RETURN(Browser::Page page, Start(provider));
  ASSIGN_OR_RETURN(page, ClickThrough(browser_, std::move(page), login));
  if (!absl::StartsWith(page.url, Url("/v1/oidc/callback"))) {
    return AnswerOf(page);
  }
  return Finish(page.query());
}

absl::StatusOr<nlohmann::json> Visitor::SignInAtOnce(std::string_view provider) {
  ASSIGN_OR_RETURN(const Browser::Page page, Start(provider));
  if (!absl::StartsWith(page.url, Url("/v1/oidc/callback"))) {
    return AnswerOf(page);
  }
  return Finish(page.query());
}

absl::StatusOr<nlohmann::json> Visitor::Ask(std::string_view path, const nlohmann::json& tokens) {
  ASSIGN_OR_RETURN(std::unique_ptr<gateway::GatewayClient> client,
                   gateway::GatewayClient::Create({.base_url = platform_->url()}));
  return client->Request("GET", path, nullptr, RawToken(tokens.at("accessToken").get<std::string>()));
}

std::vector<std::string> DecisionsOfAll(Harness& platform) {
  auth::v1::ListAuditRecordsRequest request;
  request.set_page_size(1000);
  const absl::StatusOr<auth::v1::ListAuditRecordsResponse> response =
      Call<auth::v1::AuditService>(platform.AsAdmin(), &auth::v1::AuditService::Stub::ListAuditRecords, request);
  EXPECT_OK(response);
  std::vector<std::string> lines;
  for (const auth::v1::AuditRecord& record : response->records()) {
    lines.push_back(absl::StrCat(record.action(), record.allowed() ? "" : " ", record.reason()));
  }
  return lines;
}

}  // namespace bulkhead::testing
