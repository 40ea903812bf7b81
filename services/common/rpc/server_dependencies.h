// What every service needs to serve its calls, without gRPC: for the headers of the services.
#ifndef SERVICES_COMMON_RPC_SERVER_DEPENDENCIES_H_
#define SERVICES_COMMON_RPC_SERVER_DEPENDENCIES_H_

#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::rpc {

class DenialObserver;
class RemoteKeySource;
class RevocationSet;

// All pointers outlive the service.
struct ServerDependencies {
  Executor* executor = nullptr;
  const TokenVerifier* verifier = nullptr;
  IdGenerator* ids = nullptr;
  // Asked once for newer keys when a token names an unknown one, before the token is refused. May be null.
  RemoteKeySource* key_refresher = nullptr;
  // What has been revoked. Null where nothing can be.
  RevocationSet* revocations = nullptr;
  // Told of calls whose token does not carry the permission. May be null.
  DenialObserver* denials = nullptr;
};

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_SERVER_DEPENDENCIES_H_
