// The engine's peers over gRPC: the tool service, the auth service, the notifier.
#ifndef SERVICES_AGENT_PEER_SERVICE_H_
#define SERVICES_AGENT_PEER_SERVICE_H_

#include <memory>

#include "services/agent/peers.h"
#include "services/common/rpc/service_token_source.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Channel;
}

namespace bulkhead::agent {

// Calls tools under the token of the run.
std::unique_ptr<ToolClient> CreateToolClient(std::shared_ptr<grpc::Channel> tool);

// Both act as the agent service. `tokens` outlives them, and the coroutines that they start.
std::unique_ptr<TokenExchange> CreateTokenExchange(std::shared_ptr<grpc::Channel> auth, Clock* clock,
                                                   rpc::ServiceTokenSource* tokens);
std::unique_ptr<EventPublisher> CreateEventPublisher(std::shared_ptr<grpc::Channel> notifier, Executor* executor,
                                                     std::shared_ptr<rpc::ServiceTokenSource> tokens);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_PEER_SERVICE_H_
