// Whether the models of a configuration can be spoken to.
#ifndef SERVICES_COMMON_CONFIG_VALIDATE_MODELS_H_
#define SERVICES_COMMON_CONFIG_VALIDATE_MODELS_H_

#include "bulkhead/common/v1/config.pb.h"
#include "services/common/config/verdict.h"

namespace bulkhead::config {

// agent.models: ids, addresses, references of keys; and the limits of tokens.
void CheckModels(const common::v1::AgentConfig& agent, VerdictBuilder& verdict);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_VALIDATE_MODELS_H_
