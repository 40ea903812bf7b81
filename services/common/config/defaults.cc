#include "services/common/config/defaults.h"

namespace bulkhead::config {

constinit const std::string_view kBuiltInDefaults = R"json({
  "environment": "development",
  "data_dir": "bulkhead-data",
  "threads": 4,
  "blocking_threads": 4,
  "auth": {
    "access_token_lifetime": "15m",
    "session_idle_lifetime": "168h",
    "session_lifetime": "720h",
    "open_registration": true,
    "scrypt_log_n": 15,
    "min_password_length": 10,
    "free_sign_in_failures": 5
  },
  "agent": {
    "max_running_per_user": 4,
    "max_waiting_per_user": 100,
    "max_running": 64,
    "max_steps_per_run": 10000,
    "run_timeout": "1h",
    "cancel_grace": "5s"
  },
  "tool": {
    "max_timeout": "10m",
    "max_message_bytes": 1048576,
    "max_workspace_bytes": 10737418240,
    "max_calls_per_minute": 6000,
    "max_concurrent_calls": 16
  },
  "notifier": {
    "subscriber_queue_bytes": 1048576,
    "retention": "0s"
  },
  "gateway": {
    "listen": "127.0.0.1:8080",
    "behind_tls_proxy": false,
    "max_body_bytes": 1048576,
    "max_upload_bytes": 2147483648,
    "max_connections_per_user": 20,
    "idle_timeout": "2m",
    "heartbeat": "30s"
  }
}
)json";

}  // namespace bulkhead::config
