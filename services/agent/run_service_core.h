// What RunService does, without gRPC: create, cancel, interrupt, resume, retry, resolve.
#ifndef SERVICES_AGENT_RUN_SERVICE_CORE_H_
#define SERVICES_AGENT_RUN_SERVICE_CORE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/agent/agent_registry.h"
#include "services/agent/defined_agents.h"
#include "services/agent/model_usage.h"
#include "services/agent/peers.h"
#include "services/agent/revocation_guard.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_record.h"
#include "services/agent/run_store.h"
#include "services/agent/thread_record.h"
#include "services/agent/thread_store.h"
#include "services/common/crypto/crypto.h"
#include "services/common/identity/token.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/time/clock.h"

namespace bulkhead::agent {

struct NewRun {
  std::string agent;
  nlohmann::json input;
  std::optional<absl::Duration> timeout;
  std::string request_id;
  std::string thread;  // The id of the conversation, or "".
  BusyPolicy busy = BusyPolicy::kUnspecified;
};

// A person's answer to an approval.
struct Resolution {
  std::string run;
  std::string approval;
  std::string call_hash;
  ApprovalDecision decision;
  std::string request_id;
};

// Thread-safe. Errors as run_service.proto lists them.
class RunServiceCore final : public ChildRuns {
 public:
  struct Options {
    int max_unfinished = 104;  // Runs of one user that have not ended.
    absl::Duration run_timeout;
    absl::Duration cancel_grace;
  };
  // All pointers outlive the core.
  struct Dependencies {
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    const RunStore* store = nullptr;
    const ThreadStore* threads = nullptr;
    RunEngine* engine = nullptr;
    const AgentRegistry* registry = nullptr;
    const DefinedAgents* definitions = nullptr;
    TokenExchange* exchange = nullptr;
    const crypto::Sealer* sealer = nullptr;
    RevocationGuard* guard = nullptr;  // Null where nothing can be revoked.
    const ModelBudget* model_budget = nullptr;
  };

  RunServiceCore(Options options, Dependencies dependencies) : options_(options), dependencies_(dependencies) {}

  // `call` has a user and that user's token, which is exchanged for the run's own.
  Awaitable<absl::StatusOr<RunRecord>> Create(rpc::CallContext call, NewRun wanted);
  Awaitable<absl::StatusOr<RunRecord>> Retry(rpc::CallContext call, std::string run, std::string request_id);
  Awaitable<absl::StatusOr<RunRecord>> Cancel(std::string user, std::string run, std::string comment);
  Awaitable<absl::StatusOr<RunRecord>> Interrupt(std::string user, std::string run);
  Awaitable<absl::StatusOr<RunRecord>> Resume(std::string user, std::string run);
  Awaitable<absl::StatusOr<ApprovalRecord>> Resolve(std::string user, Resolution resolution);

  Awaitable<absl::StatusOr<RunRecord>> StartChild(RunRecord parent, std::shared_ptr<const RawToken> token,
                                                  std::string agent, nlohmann::json input,
                                                  std::string request_id) override;
  Awaitable<void> CancelChild(std::string owner, std::string child, std::string comment) override;

  const RunStore& store() const { return *dependencies_.store; }

 private:
  // For whom a run is made.
  struct Origin {
    std::string user;
    std::vector<std::string> roles;
    std::string session;
    std::shared_ptr<const RawToken> token;
    std::string traceparent;
    std::string parent;  // The id of the run that asks, or "".
  };
  // Whether the user has tokens left, for agents that need some.
  absl::Status CheckTokens(const AgentSpec& agent, const std::string& user) const;
  // Says in `run` which agent it executes, one that is linked in or one that the user sees, and checks the input.
  absl::Status Choose(const Origin& origin, const NewRun& wanted, RunRecord& run) const;
  Awaitable<absl::StatusOr<RunRecord>> CreateFor(Origin origin, NewRun wanted);

  const Options options_;
  const Dependencies dependencies_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_SERVICE_CORE_H_
