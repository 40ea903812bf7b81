#include "services/common/config/defaults.h"

namespace bulkhead::config {

constinit const std::string_view kBuiltInDefaults = R"json({
  "environment": "development",
  "data_dir": "bulkhead-data",
  "threads": 4,
  "blocking_threads": 4,
  "auth": {
    "access_token_lifetime": "15m",
    "session_idle_lifetime": "336h",
    "session_lifetime": "2160h",
    "open_registration": true,
    "scrypt_log_n": 15,
    "min_password_length": 12,
    "free_sign_in_failures": 5,
    "issuer": "bulkhead",
    "key_algorithm": "EdDSA",
    "key_rotation_interval": "2160h",
    "token_leeway": "30s",
    "verified_token_cache": 10000
  },
  "agent": {
    "max_running_per_user": 4,
    "max_waiting_per_user": 100,
    "max_threads_per_user": 1000,
    "max_running": 64,
    "max_waiting_in_memory": 1000,
    "max_steps_per_run": 10000,
    "max_journal_bytes_per_run": 268435456,
    "max_heap_bytes_per_run": 1073741824,
    "run_timeout": "1h",
    "cancel_grace": "10s",
    "unresponsive_after": "30s",
    "run_retention": "0s",
    "max_model_tokens_per_run": 1000000,
    "max_model_tokens_per_day": 10000000
  },
  "tool": {
    "max_timeout": "10m",
    "max_message_bytes": 4194304,
    "max_workspace_bytes": 17179869184,
    "max_calls_per_minute": 1200,
    "max_concurrent_calls": 32
  },
  "notifier": {
    "subscriber_queue_bytes": 1048576,
    "retention": "0s"
  },
  "gateway": {
    "listen": "127.0.0.1:8080",
    "behind_tls_proxy": false,
    "max_body_bytes": 1048576,
    "max_upload_bytes": 4294967296,
    "max_connections_per_user": 16,
    "idle_timeout": "60s",
    "heartbeat": "20s"
  }
}
)json";

}  // namespace bulkhead::config
