#include "services/common/config/validate_auth.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/common/v1/config.pb.h"
#include "services/common/config/secret_reference.h"
#include "services/common/config/url.h"
#include "services/common/identity/permission.h"

namespace bulkhead::config {
namespace {

// What the parts of the platform call themselves when they authenticate.
constexpr std::string_view kServices[] = {"auth", "agent", "tool", "notifier", "gateway"};

bool IsId(std::string_view id) {
  return !id.empty() && absl::c_all_of(id, [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
           c == '-';
  });
}

// RFC 6749 section 3.3, without the space that separates them.
bool IsScope(std::string_view scope) {
  return !scope.empty() && absl::c_all_of(scope, [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; });
}

// RFC 9700 section 2.1, RFC 6749 section 3.1.2: absolute, without a fragment, and https but on the same machine.
bool IsRedirectUri(std::string_view uri) {
  const std::optional<Url> url = ParseUrl(uri);
  return url.has_value() && !absl::StrContains(url->rest, '#') && (url->scheme == "https" || IsLoopback(url->host));
}

// The id of the element at `path`, which others of the list must not have.
void CheckId(const std::string& path, std::string_view id, std::set<std::string, std::less<>>& taken,
             VerdictBuilder& verdict) {
  if (!IsId(id)) {
    verdict.Wrong(absl::StrCat(path, ".id"), "must be set, of a-z, 0-9 and -");
  } else if (!taken.emplace(id).second) {
    verdict.Wrong(absl::StrCat(path, ".id"), "must not be the id of another element");
  }
}

void CheckReference(const std::string& path, std::string_view reference, VerdictBuilder& verdict) {
  const absl::Status valid = CheckSecretReference(reference);
  if (!valid.ok()) {
    verdict.Wrong(path, std::string(valid.message()));
  }
}

void CheckIssuer(const std::string& path, const common::v1::OpenIdProvider& provider, VerdictBuilder& verdict) {
  // OpenID Connect Discovery 1.0 section 2.
  const std::optional<Url> url = ParseUrl(provider.issuer());
  if (!url.has_value() || url->rest.find_first_of("?#") != std::string::npos) {
    verdict.Wrong(absl::StrCat(path, ".issuer"),
                  "must be set: an https address without a query or fragment, as the provider writes it");
  } else if (url->scheme != "https" && !provider.allow_insecure_http()) {
    verdict.Wrong(absl::StrCat(path, ".issuer"), "must be https unless allow_insecure_http is true");
  }
  if (provider.allow_insecure_http()) {
    verdict.Unsafe(absl::StrCat(path, ".allow_insecure_http"), "must not be true");
  }
}

// Whether the gateway has an address of its own that IsRedirectUri accepts.
bool HasCallback(const common::v1::GatewayConfig& gateway) {
  return gateway.has_public_url() ? IsRedirectUri(gateway.public_url())
                                  : IsLoopback(HostOfAddress(gateway.listen()).value_or(""));
}

}  // namespace

void CheckProviders(const common::v1::PlatformConfig& config, VerdictBuilder& verdict) {
  std::set<std::string, std::less<>> ids;
  for (int i = 0; i < config.auth().providers_size(); ++i) {
    const common::v1::OpenIdProvider& provider = config.auth().providers(i);
    const std::string path = absl::StrCat("auth.providers[", i, "]");
    CheckId(path, provider.id(), ids, verdict);
    CheckIssuer(path, provider, verdict);
    if (provider.client_id().empty()) {
      verdict.Wrong(absl::StrCat(path, ".client_id"), "must be set: what the provider knows this platform as");
    }
    if (provider.has_client_secret()) {
      CheckReference(absl::StrCat(path, ".client_secret"), provider.client_secret(), verdict);
    }
    if (!absl::c_all_of(provider.scopes(), IsScope)) {
      verdict.Wrong(absl::StrCat(path, ".scopes"), "each item must be one scope, without white space or quotes");
    }
    if (!absl::c_all_of(provider.redirect_uris(), IsRedirectUri)) {
      verdict.Wrong(absl::StrCat(path, ".redirect_uris"),
                    "each item must be an https address, or an http one of this machine, without a fragment");
    } else if (provider.redirect_uris().empty() && !HasCallback(config.gateway())) {
      verdict.Wrong(absl::StrCat(path, ".redirect_uris"),
                    "must be set, or gateway.public_url to an https address: providers send browsers nowhere else");
    }
  }
}

void CheckClients(const common::v1::PlatformConfig& config, VerdictBuilder& verdict) {
  std::set<std::string, std::less<>> ids;
  for (int i = 0; i < config.auth().clients_size(); ++i) {
    const common::v1::OAuthClient& client = config.auth().clients(i);
    const std::string path = absl::StrCat("auth.clients[", i, "]");
    CheckId(path, client.id(), ids, verdict);
    if (absl::c_linear_search(kServices, client.id())) {
      verdict.Wrong(absl::StrCat(path, ".id"), "must not be the name of a service of the platform");
    }
    if (!client.has_secret()) {
      verdict.Wrong(absl::StrCat(path, ".secret"), "must be set: `file:PATH` or `env:NAME` of 16 bytes or more");
    } else {
      CheckReference(absl::StrCat(path, ".secret"), client.secret(), verdict);
    }
    if (client.permissions().empty()) {
      verdict.Wrong(absl::StrCat(path, ".permissions"), "must name what the client may do, as `run:all:read`");
    }
    for (const std::string& pattern : client.permissions()) {
      if (!ValidatePermissionPattern(pattern).ok()) {
        verdict.Wrong(
            absl::StrCat(path, ".permissions"),
            absl::StrCat("each item must be `<resource>:<which>:<verb>`, each part `*` or of a-z, 0-9 and ._-, "
                         "is '",
                         pattern.substr(0, 64), "'"));
        break;
      }
    }
  }
}

}  // namespace bulkhead::config
