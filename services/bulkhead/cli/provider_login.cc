#include "services/bulkhead/cli/provider_login.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/redirect_listener.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

// The gateway's own path: where it is configured for loopback, this works without another address in the configuration.
constexpr char kCallbackPath[] = "/v1/oidc/callback";
constexpr char kDevice[] = "bulkhead command line";
constexpr absl::Duration kLimit = absl::Minutes(10);

}  // namespace

absl::Status LoginWithProvider(const RemoteContext& context, const std::string& provider) {
  ASSIGN_OR_RETURN(auto client,
                   gateway::GatewayClient::Create({.base_url = context.server, .user_agent = "bulkhead-cli"}));
  ASSIGN_OR_RETURN(const std::unique_ptr<RedirectListener> listener, RedirectListener::Create(kCallbackPath));
  const std::string begin = absl::StrCat("/v1/providers/", gateway::EscapePath(LastSegment(provider)), ":beginSignIn");
  ASSIGN_OR_RETURN(
      const json begun,
      client->Request("POST", begin, json{{"redirectUri", listener->url()}, {"device", kDevice}}, RawToken()));
  const std::string address = begun.value("authorizationUri", "");
  context.console->Line(absl::StrCat("Open this address in a browser on this machine:\n", Printable(address)));
  context.console->Json({{"authorizationUri", address}});
  ASSIGN_OR_RETURN(const std::string query, listener->WaitForQuery(*context.interrupt, kLimit));
  ASSIGN_OR_RETURN(const json answer,
                   client->Request("POST", "/v1/sessions:completeProviderSignIn",
                                   json{{"redirectQuery", query}, {"state", begun.value("state", "")}}, RawToken()));
  const Tokens tokens = Session::ParseTokens(answer);
  RETURN_IF_ERROR(context.credentials->Save(context.server, tokens));
  context.console->Line(absl::StrCat("Signed in at ", context.server, " as ", tokens.user, "."));
  context.console->Json({{"server", context.server}, {"user", tokens.user}});
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
