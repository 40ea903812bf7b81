#include "services/auth/oidc/provider.h"

#include <set>
#include <string_view>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/auth/errors.h"
#include "services/common/http/url.h"

namespace bulkhead::auth::oidc {
namespace {

bool IsProviderId(std::string_view id) {
  return !id.empty() && id.size() <= 32 &&
         absl::c_all_of(id, [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; });
}

// What is wrong with a redirect address; "" for a good one.
std::string_view ProblemOfRedirect(std::string_view text) {
  const absl::StatusOr<http::Url> url = http::ParseUrl(text);
  if (!url.ok()) {
    return "must be an address without a fragment";
  }
  // Over http the code would be on the network for anybody to see; on a loopback it never leaves the machine (RFC 8252 section 7.3).
  return url->https || http::IsLoopback(url->host) ? "" : "must be https, or http to a loopback address";
}

}  // namespace

absl::Status ValidateProviders(const std::vector<Provider>& providers) {
  std::set<std::string_view> ids;
  for (size_t i = 0; i < providers.size(); ++i) {
    const Provider& provider = providers[i];
    const auto invalid = [i](std::string_view field, std::string_view what) {
      const std::string path = absl::StrCat("providers[", i, "].", field);
      return AuthError(absl::StatusCode::kInvalidArgument, absl::StrCat(path, " ", what), "AUTH_OPTIONS_INVALID",
                       {{"field", path}});
    };
    if (!IsProviderId(provider.id)) {
      return invalid("id", "must be 1 to 32 of [a-z0-9-]");
    }
    if (!ids.insert(provider.id).second) {
      return invalid("id", absl::StrCat("'", provider.id, "' is there twice"));
    }
    const absl::StatusOr<http::Url> issuer = http::ParseUrl(provider.issuer);
    if (!issuer.ok() || absl::StrContains(provider.issuer, '?')) {
      return invalid("issuer", "must be an https address without query and fragment");
    }
    if (!issuer->https && !provider.allow_insecure_http) {
      return invalid("issuer", "must be an https address");
    }
    if (provider.client_id.empty()) {
      return invalid("client_id", "is missing");
    }
    if (provider.redirect_uris.empty()) {
      return invalid("redirect_uris", "must name at least one address");
    }
    for (const std::string& uri : provider.redirect_uris) {
      if (const std::string_view problem = ProblemOfRedirect(uri); !problem.empty()) {
        return invalid("redirect_uris", problem);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::auth::oidc
