#include "services/bulkhead/service_options.h"

#include <cstdint>

#include "bulkhead/common/v1/config.pb.h"
#include "services/common/config/config.h"

namespace bulkhead {

using config::ToDuration;

auth::AuthServer::Options AuthOptions(const common::v1::AuthConfig& config) {
  auth::AuthServer::Options options;
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

agent::AgentServer::Options AgentOptions(const common::v1::AgentConfig& config) {
  agent::AgentServer::Options options;
  if (config.has_max_running_per_user()) {
    options.max_running_per_user = static_cast<int>(config.max_running_per_user());
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
  if (config.has_run_timeout()) {
    options.run_timeout = ToDuration(config.run_timeout());
  }
  if (config.has_cancel_grace()) {
    options.cancel_grace = ToDuration(config.cancel_grace());
  }
  return options;
}

gateway::Gateway::Options GatewayOptions(const common::v1::GatewayConfig& config) {
  gateway::Gateway::Options options;
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
