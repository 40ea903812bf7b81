#include "services/common/config/validate.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/common/v1/options.pb.h"
#include "google/protobuf/duration.pb.h"
#include "services/common/config/config.h"
#include "services/common/config/fields.h"
#include "services/common/config/secret_reference.h"

namespace bulkhead::config {
namespace {

using ::bulkhead::common::v1::PlatformConfig;

constexpr uint32_t kMinProductionScryptLogN = 14;

// "127.0.0.1:80", "[::1]:80", "localhost:80". Nullopt when it is no such thing.
std::optional<std::string_view> HostOf(std::string_view address) {
  size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return std::nullopt;
  }
  std::string_view host = address.substr(0, colon);
  std::string_view port_text = address.substr(colon + 1);
  uint32_t port = 0;
  if (port_text.empty() || port_text[0] == '+' || !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return std::nullopt;
  }
  if (absl::ConsumePrefix(&host, "[")) {
    return absl::ConsumeSuffix(&host, "]") ? std::optional(host) : std::nullopt;
  }
  return absl::StrContains(host, ':') ? std::nullopt : std::optional(host);
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

// "https://example.org" or "http://localhost:3000": scheme, host, perhaps a port, nothing after.
bool IsOrigin(std::string_view origin) {
  if (!absl::ConsumePrefix(&origin, "https://") && !absl::ConsumePrefix(&origin, "http://")) {
    return false;
  }
  return !origin.empty() && origin.find_first_of("/?#@ *") == std::string_view::npos;
}

// Collects what is wrong; what is only unsafe counts by environment.
class Checker {
 public:
  explicit Checker(const PlatformConfig& config) : config_(config) {}

  Verdict Check() && {
    CheckRequired();
    CheckSealingKey();
    CheckAuth();
    CheckAgent();
    CheckGateway();
    return std::move(verdict_);
  }

 private:
  void Wrong(std::string path, std::string problem) {
    verdict_.violations.push_back({std::move(path), std::move(problem)});
  }

  void Unsafe(std::string path, std::string problem) {
    if (config_.environment() == common::v1::ENVIRONMENT_PRODUCTION) {
      Wrong(std::move(path), absl::StrCat(problem, " in production"));
    } else if (config_.environment() == common::v1::ENVIRONMENT_STAGING) {
      verdict_.warnings.push_back({std::move(path), absl::StrCat(problem, " in production")});
    }
  }

  void CheckRequired() {
    for (const Field& field : AllFields(PlatformConfig::descriptor())) {
      if (field.leaf()->options().GetExtension(common::v1::required_in_production) && !HasField(config_, field)) {
        Unsafe(field.path, "must be set");
      }
    }
  }

  void CheckSealingKey() {
    if (config_.has_sealing_key()) {
      absl::Status reference = CheckSecretReference(config_.sealing_key());
      if (!reference.ok()) {
        Wrong("sealing_key", std::string(reference.message()));
      }
    }
  }

  void CheckAuth() {
    const common::v1::AuthConfig& auth = config_.auth();
    if (ToDuration(auth.access_token_lifetime()) > ToDuration(auth.session_idle_lifetime())) {
      Wrong("auth.access_token_lifetime", "must not be longer than auth.session_idle_lifetime");
    }
    if (ToDuration(auth.session_idle_lifetime()) > ToDuration(auth.session_lifetime())) {
      Wrong("auth.session_idle_lifetime", "must not be longer than auth.session_lifetime");
    }
    if (auth.scrypt_log_n() < kMinProductionScryptLogN) {
      Unsafe("auth.scrypt_log_n", absl::StrCat("must be ", kMinProductionScryptLogN, " or more"));
    }
  }

  void CheckAgent() {
    const common::v1::AgentConfig& agent = config_.agent();
    if (agent.max_running_per_user() > agent.max_running()) {
      Wrong("agent.max_running_per_user", "must not be more than agent.max_running");
    }
  }

  void CheckGateway() {
    const common::v1::GatewayConfig& gateway = config_.gateway();
    std::optional<std::string_view> host = HostOf(gateway.listen());
    if (!host.has_value()) {
      Wrong("gateway.listen", "must be `address:port`, an IPv6 address in brackets");
    } else if (!IsLoopback(*host) && !gateway.behind_tls_proxy()) {
      Unsafe("gateway.listen", "must be a loopback address unless gateway.behind_tls_proxy is true");
    }
    for (const std::string& origin : gateway.allowed_origins()) {
      if (!IsOrigin(origin)) {
        Wrong("gateway.allowed_origins", "each item must be as `https://example.org`, without a path or `*`");
      } else if (absl::StartsWith(origin, "http://")) {
        Unsafe("gateway.allowed_origins", "each item must be https");
      }
    }
    if (ToDuration(gateway.heartbeat()) >= ToDuration(gateway.idle_timeout())) {
      Wrong("gateway.heartbeat", "must be shorter than gateway.idle_timeout");
    }
  }

  const PlatformConfig& config_;
  Verdict verdict_;
};

}  // namespace

Verdict Validate(const PlatformConfig& config) { return Checker(config).Check(); }

}  // namespace bulkhead::config
