// From the configuration to the options of each service. A setting that the configuration leaves out keeps the
// service's own default.
#ifndef SERVICES_BULKHEAD_SERVICE_OPTIONS_H_
#define SERVICES_BULKHEAD_SERVICE_OPTIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "services/agent/agent_service.h"
#include "services/auth/auth_service.h"
#include "services/common/config/environment.h"
#include "services/common/identity/token_verifier.h"
#include "services/gateway/gateway.h"
#include "services/notifier/notifier_service.h"
#include "services/tool/tool_service.h"

namespace bulkhead::common::v1 {
class AgentConfig;
class AuthConfig;
class NotifierConfig;
class PlatformConfig;
class ToolConfig;
}  // namespace bulkhead::common::v1

namespace bulkhead {

// Reads the secrets that the configuration refers to: NOT_FOUND `SECRET_NOT_FOUND`, INVALID_ARGUMENT
// `SECRET_REFERENCE_INVALID`.
absl::StatusOr<auth::AuthServer::Options> AuthOptions(const common::v1::PlatformConfig& config,
                                                      const config::Environment& environment);
// How every service verifies what auth issues.
TokenVerifier::Options VerifierOptions(const common::v1::AuthConfig& config);
tool::ToolServer::Options ToolOptions(const common::v1::ToolConfig& config);
notifier::NotifierServer::Options NotifierOptions(const common::v1::NotifierConfig& config);
// Reads the keys of models, with errors as above.
absl::StatusOr<agent::AgentServer::Options> AgentOptions(const common::v1::AgentConfig& config,
                                                         const config::Environment& environment);
gateway::Gateway::Options GatewayOptions(const common::v1::PlatformConfig& config);

}  // namespace bulkhead

#endif  // SERVICES_BULKHEAD_SERVICE_OPTIONS_H_
