// ThreadService: conversations.
#ifndef SERVICES_AGENT_THREAD_SERVICE_H_
#define SERVICES_AGENT_THREAD_SERVICE_H_

#include <memory>

#include "services/agent/thread_store.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/time/clock.h"

namespace grpc {
class Service;
}

namespace bulkhead::agent {

// All pointers outlive the service.
struct ThreadServiceOptions {
  const ThreadStore* store = nullptr;
  const Clock* clock = nullptr;
  IdGenerator* ids = nullptr;
  int max_threads = 1000;  // Of one user.
};

// Thread-safe.
std::unique_ptr<grpc::Service> CreateThreadService(rpc::ServerDependencies calls, ThreadServiceOptions options);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_THREAD_SERVICE_H_
