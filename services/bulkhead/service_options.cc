#include "services/bulkhead/service_options.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/common/v1/config.pb.h"
#include "services/agent/models/model_endpoint.h"
#include "services/auth/oidc/provider.h"
#include "services/common/config/config.h"
#include "services/common/config/secret_reference.h"
#include "services/common/crypto/signature.h"
#include "services/common/status/macros.h"

namespace bulkhead {

using config::ToDuration;

namespace {

// For whom tokens are.
constexpr char kAudience[] = "bulkhead";
constexpr char kCallbackPath[] = "/v1/oidc/callback";

// Where providers send browsers back to when the configuration names no address: the gateway, as browsers reach it. The
// port of a loopback address is not compared (RFC 8252 section 7.3), so the one that it listens on need not be known.
std::string CallbackOf(const common::v1::GatewayConfig& gateway) {
  const std::string host = gateway.listen().substr(0, gateway.listen().rfind(':'));
  return absl::StrCat(gateway.has_public_url() ? gateway.public_url() : absl::StrCat("http://", host), kCallbackPath);
}

absl::StatusOr<auth::oidc::Provider> ProviderOf(const common::v1::OpenIdProvider& config,
                                                const common::v1::GatewayConfig& gateway,
                                                const config::Environment& environment) {
  auth::oidc::Provider provider{.id = config.id(),
                                .display_name = config.display_name(),
                                .issuer = config.issuer(),
                                .client_id = config.client_id(),
                                .scopes = {config.scopes().begin(), config.scopes().end()},
                                .redirect_uris = {config.redirect_uris().begin(), config.redirect_uris().end()},
                                .allow_sign_up = config.allow_sign_up(),
                                .allow_insecure_http = config.allow_insecure_http(),
                                .ca_file = config.ca_file()};
  if (config.has_client_secret()) {
    ASSIGN_OR_RETURN(provider.client_secret, config::ResolveSecret(config.client_secret(), environment));
  }
  if (provider.redirect_uris.empty()) {
    provider.redirect_uris.push_back(CallbackOf(gateway));
  }
  return provider;
}

absl::StatusOr<agent::ModelEndpoint> ModelOf(const common::v1::ModelEndpoint& config,
                                             const config::Environment& environment) {
  agent::ModelEndpoint model{.id = config.id(),
                             .url = config.url(),
                             .model = config.model(),
                             .allow_insecure_http = config.allow_insecure_http(),
                             .ca_file = config.ca_file()};
  if (config.has_api_key()) {
    ASSIGN_OR_RETURN(model.api_key, config::ResolveSecret(config.api_key(), environment));
  }
  if (config.has_timeout()) {
    model.timeout = ToDuration(config.timeout());
  }
  if (config.has_max_concurrent_calls()) {
    model.max_concurrent_calls = static_cast<int>(config.max_concurrent_calls());
  }
  return model;
}

}  // namespace

absl::StatusOr<auth::AuthServer::Options> AuthOptions(const common::v1::PlatformConfig& platform,
                                                      const config::Environment& environment) {
  const common::v1::AuthConfig& config = platform.auth();
  const TokenVerifier::Options verifier = VerifierOptions(config);
  auth::AuthServer::Options options;
  options.issuer = verifier.issuer;
  options.audience = verifier.audience;
  options.token_leeway = verifier.leeway;
  options.verified_token_cache = verifier.cache_entries;
  if (config.has_access_token_lifetime()) {
    options.sessions.access_token_lifetime = ToDuration(config.access_token_lifetime());
  }
  if (config.has_session_idle_lifetime()) {
    options.sessions.session_idle_lifetime = ToDuration(config.session_idle_lifetime());
  }
  if (config.has_session_lifetime()) {
    options.sessions.session_lifetime = ToDuration(config.session_lifetime());
  }
  if (config.has_open_registration()) {
    options.accounts.open_registration = config.open_registration();
  }
  if (config.has_min_password_length()) {
    options.accounts.min_password_length = static_cast<int>(config.min_password_length());
  }
  if (config.has_scrypt_log_n()) {
    options.scrypt.n = uint64_t{1} << config.scrypt_log_n();
  }
  if (config.has_free_sign_in_failures()) {
    options.throttle.free_failures_by_login = static_cast<int>(config.free_sign_in_failures());
  }
  if (config.key_algorithm() == "ES256") {
    options.key_algorithm = crypto::Algorithm::kEs256;
  }
  if (config.has_key_rotation_interval()) {
    options.key_rotation_interval = ToDuration(config.key_rotation_interval());
  }
  options.breached_passwords = config.breached_passwords();
  for (const common::v1::OpenIdProvider& configured : config.providers()) {
    ASSIGN_OR_RETURN(auth::oidc::Provider provider, ProviderOf(configured, platform.gateway(), environment));
    options.providers.push_back(std::move(provider));
  }
  for (const common::v1::OAuthClient& client : config.clients()) {
    auth::ServiceAccount& account = options.tokens.service_accounts[client.id()];
    ASSIGN_OR_RETURN(account.secret, config::ResolveSecret(client.secret(), environment));
    account.permissions = {client.permissions().begin(), client.permissions().end()};
  }
  return options;
}

TokenVerifier::Options VerifierOptions(const common::v1::AuthConfig& config) {
  TokenVerifier::Options options{.issuer = config.has_issuer() ? config.issuer() : kAudience, .audience = kAudience};
  if (config.has_token_leeway()) {
    options.leeway = ToDuration(config.token_leeway());
  }
  options.cache_entries = config.verified_token_cache();
  return options;
}

tool::ToolServer::Options ToolOptions(const common::v1::ToolConfig& config) {
  tool::ToolServer::Options options;
  if (config.has_max_timeout()) {
    options.max_timeout = ToDuration(config.max_timeout());
  }
  if (config.has_max_message_bytes()) {
    options.max_message_bytes = config.max_message_bytes();
  }
  if (config.has_max_workspace_bytes()) {
    options.max_workspace_bytes = config.max_workspace_bytes();
  }
  if (config.has_max_calls_per_minute()) {
    options.max_calls_per_minute = static_cast<int>(config.max_calls_per_minute());
  }
  if (config.has_max_concurrent_calls()) {
    options.max_concurrent_calls = static_cast<int>(config.max_concurrent_calls());
  }
  return options;
}

notifier::NotifierServer::Options NotifierOptions(const common::v1::NotifierConfig& config) {
  notifier::NotifierServer::Options options;
  if (config.has_subscriber_queue_bytes()) {
    options.subscriber_queue_bytes = config.subscriber_queue_bytes();
  }
  if (config.has_retention()) {
    options.retention = ToDuration(config.retention());
  }
  return options;
}

absl::StatusOr<agent::AgentServer::Options> AgentOptions(const common::v1::AgentConfig& config,
                                                         const config::Environment& environment) {
  agent::AgentServer::Options options;
  if (config.has_max_running_per_user()) {
    options.max_running_per_user = static_cast<int>(config.max_running_per_user());
  }
  if (config.has_max_threads_per_user()) {
    options.max_threads_per_user = static_cast<int>(config.max_threads_per_user());
  }
  if (config.has_max_waiting_per_user()) {
    options.max_waiting_per_user = static_cast<int>(config.max_waiting_per_user());
  }
  if (config.has_max_running()) {
    options.max_running = static_cast<int>(config.max_running());
  }
  if (config.has_max_steps_per_run()) {
    options.max_steps_per_run = static_cast<int>(config.max_steps_per_run());
  }
  if (config.has_max_heap_bytes_per_run()) {
    options.max_heap_bytes_per_run = config.max_heap_bytes_per_run();
  }
  if (config.has_max_waiting_in_memory()) {
    options.max_waiting_in_memory = config.max_waiting_in_memory();
  }
  if (config.has_max_journal_bytes_per_run()) {
    options.max_journal_bytes_per_run = config.max_journal_bytes_per_run();
  }
  for (const common::v1::RoleWeight& role : config.role_weights()) {
    int& weight = options.role_weights[role.role()];
    weight = std::max(weight, static_cast<int>(role.weight()));
  }
  if (config.has_run_timeout()) {
    options.run_timeout = ToDuration(config.run_timeout());
  }
  if (config.has_cancel_grace()) {
    options.cancel_grace = ToDuration(config.cancel_grace());
  }
  if (config.has_unresponsive_after()) {
    options.unresponsive_after = ToDuration(config.unresponsive_after());
  }
  if (config.has_run_retention()) {
    options.run_retention = ToDuration(config.run_retention());
  }
  if (config.has_max_model_tokens_per_run()) {
    options.max_model_tokens_per_run = static_cast<int64_t>(config.max_model_tokens_per_run());
  }
  if (config.has_max_model_tokens_per_day()) {
    options.max_model_tokens_per_day = static_cast<int64_t>(config.max_model_tokens_per_day());
  }
  for (const common::v1::ModelEndpoint& configured : config.models()) {
    ASSIGN_OR_RETURN(agent::ModelEndpoint model, ModelOf(configured, environment));
    options.models.push_back(std::move(model));
  }
  return options;
}

gateway::Gateway::Options GatewayOptions(const common::v1::PlatformConfig& platform) {
  const common::v1::GatewayConfig& config = platform.gateway();
  gateway::Gateway::Options options;
  options.issuer = VerifierOptions(platform.auth()).issuer;
  options.public_url = config.public_url();
  if (config.has_listen()) {
    options.listen = config.listen();
  }
  options.allowed_origins.assign(config.allowed_origins().begin(), config.allowed_origins().end());
  if (config.has_max_body_bytes()) {
    options.max_body_bytes = config.max_body_bytes();
  }
  if (config.has_max_upload_bytes()) {
    options.max_upload_bytes = config.max_upload_bytes();
  }
  if (config.has_max_connections_per_user()) {
    options.max_connections_per_user = static_cast<int>(config.max_connections_per_user());
  }
  if (config.has_idle_timeout()) {
    options.idle_timeout = ToDuration(config.idle_timeout());
  }
  if (config.has_heartbeat()) {
    options.heartbeat = ToDuration(config.heartbeat());
  }
  return options;
}

}  // namespace bulkhead
