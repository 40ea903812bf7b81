#include "services/common/config/validate.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/common/v1/options.pb.h"
#include "google/protobuf/duration.pb.h"
#include "services/common/config/config.h"
#include "services/common/config/fields.h"
#include "services/common/config/secret_reference.h"
#include "services/common/config/url.h"
#include "services/common/config/validate_auth.h"
#include "services/common/config/validate_models.h"

namespace bulkhead::config {
namespace {

using ::bulkhead::common::v1::PlatformConfig;

constexpr uint32_t kMinProductionScryptLogN = 14;
// A key is kept until what it signed has expired, for days: more often would gather them.
constexpr absl::Duration kMinKeyRotationInterval = absl::Hours(1);

class Checker {
 public:
  explicit Checker(const PlatformConfig& config) : config_(config), verdict_(config.environment()) {}

  Verdict Check() && {
    CheckRequired();
    CheckSealingKey();
    CheckAuth();
    CheckProviders(config_, verdict_);
    CheckClients(config_, verdict_);
    CheckAgent();
    CheckGateway();
    return std::move(verdict_).Done();
  }

 private:
  void CheckRequired() {
    for (const Field& field : AllFields(PlatformConfig::descriptor())) {
      if (field.leaf()->options().GetExtension(common::v1::required_in_production) && !HasField(config_, field)) {
        verdict_.Unsafe(field.path, "must be set");
      }
    }
  }

  void CheckSealingKey() {
    if (config_.has_sealing_key()) {
      absl::Status reference = CheckSecretReference(config_.sealing_key());
      if (!reference.ok()) {
        verdict_.Wrong("sealing_key", std::string(reference.message()));
      }
    }
  }

  void CheckAuth() {
    const common::v1::AuthConfig& auth = config_.auth();
    if (ToDuration(auth.access_token_lifetime()) > ToDuration(auth.session_idle_lifetime())) {
      verdict_.Wrong("auth.access_token_lifetime", "must not be longer than auth.session_idle_lifetime");
    }
    if (ToDuration(auth.session_idle_lifetime()) > ToDuration(auth.session_lifetime())) {
      verdict_.Wrong("auth.session_idle_lifetime", "must not be longer than auth.session_lifetime");
    }
    if (auth.has_key_algorithm() && auth.key_algorithm() != "EdDSA" && auth.key_algorithm() != "ES256") {
      verdict_.Wrong("auth.key_algorithm", "must be EdDSA or ES256");
    }
    const absl::Duration rotation = ToDuration(auth.key_rotation_interval());
    if (rotation > absl::ZeroDuration() && rotation < kMinKeyRotationInterval) {
      verdict_.Wrong("auth.key_rotation_interval", "must be 0s, for on demand only, or an hour or more");
    }
    if (auth.scrypt_log_n() < kMinProductionScryptLogN) {
      verdict_.Unsafe("auth.scrypt_log_n", absl::StrCat("must be ", kMinProductionScryptLogN, " or more"));
    }
  }

  void CheckAgent() {
    const common::v1::AgentConfig& agent = config_.agent();
    if (agent.max_running_per_user() > agent.max_running()) {
      verdict_.Wrong("agent.max_running_per_user", "must not be more than agent.max_running");
    }
    CheckModels(agent, verdict_);
  }

  void CheckGateway() {
    const common::v1::GatewayConfig& gateway = config_.gateway();
    std::optional<std::string_view> host = HostOfAddress(gateway.listen());
    if (!host.has_value()) {
      verdict_.Wrong("gateway.listen", "must be `address:port`, an IPv6 address in brackets");
    } else if (!IsLoopback(*host) && !gateway.behind_tls_proxy()) {
      verdict_.Unsafe("gateway.listen", "must be a loopback address unless gateway.behind_tls_proxy is true");
    }
    for (const std::string& origin : gateway.allowed_origins()) {
      const std::optional<Url> url = ParseUrl(origin);
      if (!url.has_value() || !url->rest.empty()) {
        verdict_.Wrong("gateway.allowed_origins", "each item must be as `https://example.org`, without a path or `*`");
      } else if (url->scheme != "https") {
        verdict_.Unsafe("gateway.allowed_origins", "each item must be https");
      }
    }
    if (gateway.has_public_url()) {
      const std::optional<Url> url = ParseUrl(gateway.public_url());
      if (!url.has_value() || !url->rest.empty()) {
        verdict_.Wrong("gateway.public_url",
                       "must be as `https://bulkhead.example`, without a path or a `/` at its end");
      } else if (url->scheme != "https" && !IsLoopback(url->host)) {
        verdict_.Unsafe("gateway.public_url", "must be https");
      }
    }
    if (ToDuration(gateway.heartbeat()) >= ToDuration(gateway.idle_timeout())) {
      verdict_.Wrong("gateway.heartbeat", "must be shorter than gateway.idle_timeout");
    }
  }

  const PlatformConfig& config_;
  VerdictBuilder verdict_;
};

}  // namespace

Verdict Validate(const PlatformConfig& config) { return Checker(config).Check(); }

}  // namespace bulkhead::config
