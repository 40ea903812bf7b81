#include "services/gateway/gateway.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/api.h"
#include "services/gateway/backend.h"
#include "services/gateway/http_server.h"

namespace bulkhead::gateway {
namespace {

absl::Status Invalid(std::string_view field, std::string_view problem) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("gateway: ", field, " ", problem),
      {.domain = "bulkhead.gateway", .reason = "GATEWAY_OPTIONS_INVALID", .metadata = {{"field", std::string(field)}}});
}

// "127.0.0.1:8080" or "[::1]:8080".
absl::Status ParseListen(std::string_view listen, HttpServer::Options* options) {
  const size_t colon = listen.rfind(':');
  uint32_t port = 0;
  if (colon == std::string_view::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port > 65535) {
    return Invalid("listen", "must be address:port");
  }
  std::string_view address = listen.substr(0, colon);
  if (absl::ConsumePrefix(&address, "[")) {
    absl::ConsumeSuffix(&address, "]");
  }
  options->address = address == "localhost" ? "127.0.0.1" : std::string(address);
  options->port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

// Where this machine reaches what listens on `address`, which may be all of its addresses.
std::string LocalUrl(std::string_view address, uint16_t port) {
  if (address == "0.0.0.0" || address == "::") {
    address = "127.0.0.1";
  }
  const bool is_v6 = absl::StrContains(address, ':');
  return absl::StrCat("http://", is_v6 ? "[" : "", address, is_v6 ? "]:" : ":", port);
}

absl::Status Validate(const Gateway::Options& options) {
  if (options.max_body_bytes == 0 || options.max_upload_bytes == 0) {
    return Invalid("max_body_bytes", "and max_upload_bytes must be at least 1");
  }
  if (options.max_connections < 1 || options.max_connections_per_user < 1 || options.max_subscriptions < 1) {
    return Invalid("max_connections", "and the other limits must be at least 1");
  }
  if (options.heartbeat <= absl::ZeroDuration() || options.idle_timeout < options.heartbeat) {
    return Invalid("idle_timeout", "must be at least as long as the heartbeat, which must be positive");
  }
  return absl::OkStatus();
}

}  // namespace

struct Gateway::State {
  std::shared_ptr<Backend> backend;
  std::shared_ptr<Api> api;
  std::string public_url;
  std::string listen_address;
  std::unique_ptr<HttpServer> server;
};

Gateway::Gateway(std::shared_ptr<State> state) : state_(std::move(state)) {}

Gateway::~Gateway() { Shutdown(); }

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Create(Options options, Dependencies dependencies) {
  RETURN_IF_ERROR(Validate(options));
  HttpServer::Options server_options;
  server_options.max_connections = options.max_connections;
  RETURN_IF_ERROR(ParseListen(options.listen, &server_options));

  auto state = std::make_shared<State>();
  Api::Options api_options;
  api_options.issuer = std::move(options.issuer);
  api_options.allowed_origins = std::move(options.allowed_origins);
  api_options.max_body_bytes = options.max_body_bytes;
  api_options.max_upload_bytes = options.max_upload_bytes;
  api_options.max_sockets_per_user = options.max_connections_per_user;
  api_options.ws.subscriptions = options.max_subscriptions;
  api_options.ws.idle_timeout = options.idle_timeout;
  api_options.ws.heartbeat = options.heartbeat;
  state->backend = std::make_shared<Backend>(Backend::Channels{.auth = dependencies.auth,
                                                               .agent = dependencies.agent,
                                                               .tool = dependencies.tool,
                                                               .notifier = dependencies.notifier});
  ASSIGN_OR_RETURN(state->api, Api::Create(std::move(api_options), {.clock = dependencies.clock,
                                                                    .ids = dependencies.ids,
                                                                    .verifier = dependencies.verifier,
                                                                    .key_refresher = dependencies.key_refresher,
                                                                    .revocations = dependencies.revocations,
                                                                    .backend = state->backend}));
  state->public_url = std::move(options.public_url);
  state->listen_address = server_options.address;
  state->server = std::make_unique<HttpServer>(std::move(server_options), dependencies.executor, state->api);
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

absl::StatusOr<uint16_t> Gateway::Start() {
  // Before it listens, in case that it is known: a request may come at once.
  state_->api->SetBaseUrl(state_->public_url);
  ASSIGN_OR_RETURN(const uint16_t port, state_->server->Start());
  if (state_->public_url.empty()) {
    state_->api->SetBaseUrl(LocalUrl(state_->listen_address, port));
  }
  return port;
}

void Gateway::Shutdown() { state_->server->Shutdown(); }

}  // namespace bulkhead::gateway
