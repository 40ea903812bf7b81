#include "services/agent/agent_service.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "services/agent/agent_catalog.h"
#include "services/agent/agent_registry.h"
#include "services/agent/agents/analyst.h"
#include "services/agent/defined_agents.h"
#include "services/agent/definition_store.h"
#include "services/agent/model_runner.h"
#include "services/agent/model_usage.h"
#include "services/agent/models/endpoint_client.h"
#include "services/agent/models/model_client.h"
#include "services/agent/outbox_relay.h"
#include "services/agent/peer_service.h"
#include "services/agent/plans/plan_agent.h"
#include "services/agent/registry_service.h"
#include "services/agent/revocation_guard.h"
#include "services/agent/run_engine.h"
#include "services/agent/run_proto.h"
#include "services/agent/run_retention.h"
#include "services/agent/run_schema.h"
#include "services/agent/run_service_core.h"
#include "services/agent/run_store.h"
#include "services/agent/thread_proto.h"
#include "services/agent/thread_service.h"
#include "services/agent/thread_store.h"
#include "services/agent/tool_directory_service.h"
#include "services/common/identity/user_context.h"
#include "services/common/json/struct_json.h"
#include "services/common/paging/page_token.h"
#include "services/common/pipeline/stores.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/rpc/server.h"
#include "services/common/rpc/service_token_source.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {
namespace {

using google::protobuf::Empty;

absl::Status PageTokenInvalid() {
  return MakeError(absl::StatusCode::kInvalidArgument, "page_token is not from the last response to this request",
                   {.domain = "bulkhead.agent", .reason = "PAGE_TOKEN_INVALID"});
}

// Where a list goes on; 0 at its beginning.
absl::StatusOr<int64_t> Position(std::string_view list, std::string_view token) {
  ASSIGN_OR_RETURN(std::string position, DecodePageToken(list, token));
  int64_t value = 0;
  if (!position.empty() && !absl::SimpleAtoi(position, &value)) {
    return PageTokenInvalid();
  }
  return value;
}

// Adapters: validate, call the core, convert.
class RunServiceImpl final : public rpc::Service {
 public:
  RunServiceImpl(const rpc::ServerDependencies& calls, RunServiceCore* core, const ThreadStore* threads,
                 const crypto::Sealer* sealer)
      : Service("bulkhead.agent.v1.RunService", calls), core_(core), threads_(threads), sealer_(sealer) {
    Unary("GetRun", &RunServiceImpl::GetRun);
    Unary("ListRuns", &RunServiceImpl::ListRuns);
    Unary("CreateRun", &RunServiceImpl::CreateRun);
    Unary("DeleteRun", &RunServiceImpl::DeleteRun);
    Unary("CancelRun", &RunServiceImpl::CancelRun);
    Unary("RetryRun", &RunServiceImpl::RetryRun);
    Unary("InterruptRun", &RunServiceImpl::InterruptRun);
    Unary("ResumeRun", &RunServiceImpl::ResumeRun);
    Unary("ListApprovals", &RunServiceImpl::ListApprovals);
    Unary("ResolveApproval", &RunServiceImpl::ResolveApproval);
  }

 private:
  Awaitable<absl::StatusOr<v1::Run>> GetRun(const rpc::CallContext& call, const v1::GetRunRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseRunName(request.name(), call.user->user()));
    CO_ASSIGN_OR_RETURN(RunRecord run, core_->store().For(call.user->user()).Get(id));
    co_return ToProto(run);
  }

  Awaitable<absl::StatusOr<v1::ListRunsResponse>> ListRuns(const rpc::CallContext& call,
                                                           const v1::ListRunsRequest& request) {
    co_return List(call.user->user(), request);
  }

  Awaitable<absl::StatusOr<v1::Run>> CreateRun(const rpc::CallContext& call, const v1::CreateRunRequest& request) {
    NewRun wanted;
    CO_ASSIGN_OR_RETURN(wanted.agent, ParseAgentName(request.agent()));
    wanted.input = ToJson(request.input());
    wanted.request_id = request.request_id();
    if (request.has_timeout()) {
      wanted.timeout = absl::Seconds(request.timeout().seconds()) + absl::Nanoseconds(request.timeout().nanos());
    }
    if (!request.thread().empty()) {
      CO_ASSIGN_OR_RETURN(wanted.thread, ParseThreadName(request.thread(), call.user->user()));
    }
    CO_ASSIGN_OR_RETURN(wanted.busy, ParseBusyPolicy(request.busy_policy()));
    CO_ASSIGN_OR_RETURN(RunRecord run, co_await core_->Create(call, std::move(wanted)));
    co_return ToProto(run);
  }

  Awaitable<absl::StatusOr<Empty>> DeleteRun(const rpc::CallContext& call, const v1::DeleteRunRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseRunName(request.name(), call.user->user()));
    const RunStore::Scoped runs = core_->store().For(call.user->user());
    CO_RETURN_IF_ERROR(co_await runs.Delete(std::move(id)));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<v1::Run>> CancelRun(const rpc::CallContext& call, const v1::CancelRunRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseRunName(request.name(), call.user->user()));
    CO_ASSIGN_OR_RETURN(RunRecord run, co_await core_->Cancel(call.user->user(), std::move(id), request.comment()));
    co_return ToProto(run);
  }

  Awaitable<absl::StatusOr<v1::Run>> RetryRun(const rpc::CallContext& call, const v1::RetryRunRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseRunName(request.name(), call.user->user()));
    CO_ASSIGN_OR_RETURN(RunRecord run, co_await core_->Retry(call, std::move(id), request.request_id()));
    co_return ToProto(run);
  }

  Awaitable<absl::StatusOr<v1::Run>> InterruptRun(const rpc::CallContext& call,
                                                  const v1::InterruptRunRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseRunName(request.name(), call.user->user()));
    CO_ASSIGN_OR_RETURN(RunRecord run, co_await core_->Interrupt(call.user->user(), std::move(id)));
    co_return ToProto(run);
  }

  Awaitable<absl::StatusOr<v1::Run>> ResumeRun(const rpc::CallContext& call, const v1::ResumeRunRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseRunName(request.name(), call.user->user()));
    CO_ASSIGN_OR_RETURN(RunRecord run, co_await core_->Resume(call.user->user(), std::move(id)));
    co_return ToProto(run);
  }

  Awaitable<absl::StatusOr<v1::ListApprovalsResponse>> ListApprovals(const rpc::CallContext& call,
                                                                     const v1::ListApprovalsRequest& request) {
    co_return Approvals(call.user->user(), request);
  }

  Awaitable<absl::StatusOr<v1::Approval>> ResolveApproval(const rpc::CallContext& call,
                                                          const v1::ResolveApprovalRequest& request) {
    const std::string& user = call.user->user();
    CO_ASSIGN_OR_RETURN(ApprovalName name, ParseApprovalName(request.name(), user));
    ApprovalDecision decision;
    switch (request.decision().verdict()) {
      case v1::Decision::VERDICT_ALLOW:
        decision.allowed = true;
        break;
      case v1::Decision::VERDICT_DENY:
        break;
      default:
        co_return MakeError(absl::StatusCode::kInvalidArgument,
                            "decision.verdict must be VERDICT_ALLOW or VERDICT_DENY",
                            {.domain = "bulkhead.agent", .reason = "VERDICT_INVALID"});
    }
    decision.comment = request.decision().comment();
    if (request.decision().has_edited_arguments()) {
      decision.edited_arguments = ToJson(request.decision().edited_arguments());
    }
    CO_ASSIGN_OR_RETURN(ApprovalRecord approval, co_await core_->Resolve(user, {.run = std::move(name.run),
                                                                                .approval = std::move(name.approval),
                                                                                .call_hash = request.call_hash(),
                                                                                .decision = std::move(decision),
                                                                                .request_id = request.request_id()}));
    co_return ToProto(approval, user);
  }

  absl::StatusOr<v1::ListRunsResponse> List(const std::string& user, const v1::ListRunsRequest& request) {
    ASSIGN_OR_RETURN(int page_size, PageSize(request.page_size()));
    RunFilter filter;
    for (int state : request.states()) {
      if (std::ranges::find(kAllRunStates, static_cast<RunState>(state)) == kAllRunStates.end()) {
        return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("there is no run state ", state),
                         {.domain = "bulkhead.agent", .reason = "RUN_STATE_INVALID"});
      }
      filter.states.push_back(static_cast<RunState>(state));
    }
    if (!request.agent().empty()) {
      ASSIGN_OR_RETURN(filter.agent, ParseAgentName(request.agent()));
    }
    if (!request.parent().empty()) {
      ASSIGN_OR_RETURN(filter.parent, ParseRunName(request.parent(), user));
    }
    if (!request.thread().empty()) {
      ASSIGN_OR_RETURN(filter.thread, ParseThreadName(request.thread(), user));
      RETURN_IF_ERROR(threads_->For(user).Get(filter.thread).status());
    }
    const std::string list = absl::StrCat("runs ", user, " ", filter.agent, " ", filter.parent, " ", filter.thread, " ",
                                          absl::StrJoin(request.states(), ","));
    ASSIGN_OR_RETURN(int64_t before, SealedPosition(list, request.page_token()));
    ASSIGN_OR_RETURN(std::vector<RunRecord> runs, core_->store().For(user).List(filter, before, page_size));
    v1::ListRunsResponse response;
    if (static_cast<int>(runs.size()) > page_size) {
      runs.resize(page_size);
      response.set_next_page_token(
          EncodePageToken(list, sealer_->Seal(absl::StrCat(absl::Dec(runs.back().key, absl::kZeroPad16)), list)));
    }
    for (const RunRecord& run : runs) {
      *response.add_runs() = ToProto(run);
    }
    return response;
  }

  // Keys count the runs of all users together: in a token they would tell each how busy the others are.
  absl::StatusOr<int64_t> SealedPosition(std::string_view list, std::string_view token) const {
    ASSIGN_OR_RETURN(const std::string sealed, DecodePageToken(list, token));
    if (sealed.empty()) {
      return 0;
    }
    const absl::StatusOr<Secret> position = sealer_->Open(sealed, list);
    int64_t value = 0;
    if (!position.ok() || !absl::SimpleAtoi(position->Reveal(), &value)) {
      return PageTokenInvalid();
    }
    return value;
  }

  absl::StatusOr<v1::ListApprovalsResponse> Approvals(const std::string& user,
                                                      const v1::ListApprovalsRequest& request) {
    ASSIGN_OR_RETURN(std::string run, ParseRunName(request.parent(), user));
    ASSIGN_OR_RETURN(int page_size, PageSize(request.page_size()));
    const std::string list = absl::StrCat("approvals ", user, " ", run);
    ASSIGN_OR_RETURN(int64_t skip, Position(list, request.page_token()));
    ASSIGN_OR_RETURN(std::vector<ApprovalRecord> approvals, core_->store().For(user).Approvals(run));
    v1::ListApprovalsResponse response;
    for (int64_t i = skip; i < static_cast<int64_t>(approvals.size()); ++i) {
      if (response.approvals_size() == page_size) {
        response.set_next_page_token(EncodePageToken(list, absl::StrCat(i)));
        break;
      }
      *response.add_approvals() = ToProto(approvals[i], user);
    }
    return response;
  }

  RunServiceCore* const core_;
  const ThreadStore* const threads_;
  const crypto::Sealer* const sealer_;
};

}  // namespace

// In the order of construction; destroyed in reverse.
struct AgentServer::State {
  std::shared_ptr<storage::Database> database;
  std::unique_ptr<AgentRegistry> registry;
  std::shared_ptr<rpc::ServiceTokenSource> tokens;
  std::unique_ptr<ToolClient> tools;
  std::unique_ptr<TokenExchange> exchange;
  std::unique_ptr<EventPublisher> publisher;
  std::unique_ptr<RunStore> store;
  std::unique_ptr<DefinitionStore> definitions;
  std::unique_ptr<DefinedAgents> defined;
  std::unique_ptr<ModelClient> models;
  std::unique_ptr<ModelBudget> model_budget;
  std::unique_ptr<ThreadStore> threads;
  std::unique_ptr<OutboxRelay> relay;
  std::unique_ptr<RunRetention> retention;
  std::unique_ptr<RunEngine> engine;
  std::shared_ptr<RevocationGuard> guard;  // Null where nothing can be revoked.
  std::unique_ptr<RunServiceCore> core;
  std::unique_ptr<RunServiceImpl> run_service;
  std::unique_ptr<grpc::Service> thread_service;
  std::unique_ptr<ToolDirectory> tool_directory;
  std::unique_ptr<AgentCatalog> catalog;
  std::unique_ptr<grpc::Service> registry_service;
  Executor* executor = nullptr;
  bool shut_down = false;
};

absl::StatusOr<std::unique_ptr<AgentServer>> AgentServer::Create(Options options, Dependencies dependencies) {
  if (options.max_running < 1 || options.max_running_per_user < 1 || options.max_waiting_per_user < 0 ||
      options.max_steps_per_run < 1 || options.run_timeout <= absl::ZeroDuration() ||
      options.cancel_grace < absl::ZeroDuration() || options.unresponsive_after < absl::ZeroDuration() ||
      options.run_retention < absl::ZeroDuration() || options.max_model_tokens_per_run < 1 ||
      options.max_model_tokens_per_day < 1 || options.max_threads_per_user < 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, "a limit of the agent service is not positive",
                     {.domain = "bulkhead.agent", .reason = "AGENT_OPTIONS_INVALID"});
  }
  auto state = std::make_unique<State>();
  State* raw = state.get();
  state->executor = dependencies.executor;

  std::vector<AgentFactory> agents = std::move(dependencies.extra_agents);
  agents.push_back(AnalystFactory());
  ASSIGN_OR_RETURN(state->registry, AgentRegistry::Create(std::move(agents)));

  ASSIGN_OR_RETURN(
      state->database,
      storage::Database::Open({.path = absl::StrCat(options.data_dir, "/agent.db"),
                               .migrations = {kRunTables, pipeline::kPipelineTables, kDefinitionTables, kRunRelations,
                                              kRunCancelReason, kRunDefinitions, kDefinitionSharing, kRunProgress,
                                              kThreadTables, kModelUsageTables, kDecisionRequests},
                               .durable = options.durable,
                               .before_commit = std::move(dependencies.before_commit)}));
  state->tokens =
      rpc::ServiceTokenSource::Create({.service = "agent", .secret = std::move(dependencies.service_secret)},
                                      dependencies.auth_channel, dependencies.clock, dependencies.executor);
  state->tool_directory = CreateToolDirectory(dependencies.tool_channel);
  state->tools = CreateToolClient(std::move(dependencies.tool_channel));
  state->exchange = CreateTokenExchange(std::move(dependencies.auth_channel), dependencies.clock, state->tokens.get());
  state->publisher =
      CreateEventPublisher(std::move(dependencies.notifier_channel), dependencies.executor, state->tokens);

  state->store = std::make_unique<RunStore>(state->database, [raw] { raw->relay->Wake(); });
  state->definitions = std::make_unique<DefinitionStore>(state->database.get());
  state->defined = std::make_unique<DefinedAgents>(
      state->definitions.get(), DefinedAgents::Runners{.model = RunModelAgent, .plan = MakePlanAgent});
  std::set<std::string> models;
  for (const ModelEndpoint& model : options.models) {
    models.insert(model.id);
  }
  ASSIGN_OR_RETURN(state->models, CreateEndpointClient(std::move(options.models), dependencies.clock));
  state->model_budget = std::make_unique<ModelBudget>(
      state->database.get(), ModelBudget::Limits{.tokens_per_run = options.max_model_tokens_per_run,
                                                 .tokens_per_day = options.max_model_tokens_per_day});
  state->threads = std::make_unique<ThreadStore>(state->database.get());
  state->relay = std::make_unique<OutboxRelay>(OutboxRelay::Dependencies{.executor = dependencies.executor,
                                                                         .clock = dependencies.clock,
                                                                         .store = state->store.get(),
                                                                         .publisher = state->publisher.get()});

  state->engine = RunEngine::Create(
      {.limits = {.max_running = options.max_running, .max_running_per_user = options.max_running_per_user},
       .max_steps_per_run = options.max_steps_per_run,
       .max_journal_bytes_per_run = options.max_journal_bytes_per_run,
       .role_weights = options.role_weights,
       .cancel_grace = options.cancel_grace,
       .unresponsive_after = options.unresponsive_after,
       .max_heap_bytes_per_run = options.max_heap_bytes_per_run,
       .max_waiting_in_memory = options.max_waiting_in_memory},
      {.execution = {.clock = dependencies.clock,
                     .ids = dependencies.ids,
                     .store = state->store.get(),
                     .tools = state->tools.get(),
                     .events = state->publisher.get(),
                     .models = state->models.get(),
                     .model_budget = state->model_budget.get()},
       .executor = dependencies.executor,
       .registry = state->registry.get(),
       .definitions = state->defined.get(),
       .sealer = dependencies.sealer});
  if (rpc::RevocationSet* const revocations = dependencies.rpc.revocations; revocations != nullptr) {
    state->guard = std::make_shared<RevocationGuard>(RevocationGuard::Dependencies{.revocations = revocations,
                                                                                   .store = state->store.get(),
                                                                                   .engine = state->engine.get(),
                                                                                   .sealer = dependencies.sealer,
                                                                                   .executor = dependencies.executor,
                                                                                   .clock = dependencies.clock});
    // The service's own token may be signed by the key that is withdrawn.
    revocations->Subscribe([weak = std::weak_ptr(state->tokens)](const rpc::Revocation& revocation) {
      if (auto tokens = weak.lock(); tokens != nullptr && !revocation.key.empty()) {
        tokens->Discard();
      }
    });
  }
  state->core = std::make_unique<RunServiceCore>(
      RunServiceCore::Options{.max_unfinished = options.max_running_per_user + options.max_waiting_per_user,
                              .run_timeout = options.run_timeout,
                              .cancel_grace = options.cancel_grace},
      RunServiceCore::Dependencies{.clock = dependencies.clock,
                                   .ids = dependencies.ids,
                                   .store = state->store.get(),
                                   .threads = state->threads.get(),
                                   .engine = state->engine.get(),
                                   .registry = state->registry.get(),
                                   .definitions = state->defined.get(),
                                   .exchange = state->exchange.get(),
                                   .sealer = dependencies.sealer,
                                   .guard = state->guard.get(),
                                   .model_budget = state->model_budget.get()});
  state->engine->SetChildRuns(state->core.get());
  state->retention = std::make_unique<RunRetention>(options.run_retention, dependencies.clock, dependencies.executor,
                                                    state->store.get());
  state->run_service =
      std::make_unique<RunServiceImpl>(dependencies.rpc, state->core.get(), state->threads.get(), dependencies.sealer);
  state->thread_service = CreateThreadService(dependencies.rpc, {.store = state->threads.get(),
                                                                 .clock = dependencies.clock,
                                                                 .ids = dependencies.ids,
                                                                 .max_threads = options.max_threads_per_user});
  state->catalog = std::make_unique<AgentCatalog>(AgentCatalog::Dependencies{.registry = state->registry.get(),
                                                                             .definitions = state->definitions.get(),
                                                                             .tools = state->tool_directory.get(),
                                                                             .clock = dependencies.clock,
                                                                             .models = std::move(models)});
  state->registry_service = CreateRegistryService(dependencies.rpc, state->catalog.get());
  return std::unique_ptr<AgentServer>(new AgentServer(std::move(state)));
}

AgentServer::AgentServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

AgentServer::~AgentServer() {
  // These first: their last writes must find the relay.
  if (state_->guard != nullptr) {
    state_->guard->Close();
  }
  state_->engine.reset();
}

std::vector<grpc::Service*> AgentServer::services() {
  return {state_->run_service.get(), state_->registry_service.get(), state_->thread_service.get()};
}

absl::Status AgentServer::Start() {
  RETURN_IF_ERROR(state_->relay->Start());
  if (state_->guard != nullptr) {
    RETURN_IF_ERROR(BlockOn(*state_->executor, state_->guard->Start()));
  }
  state_->retention->Start();
  return state_->engine->Start();
}

void AgentServer::Shutdown() {
  if (std::exchange(state_->shut_down, true)) {
    return;
  }
  if (state_->guard != nullptr) {
    state_->guard->Close();
  }
  state_->engine->Shutdown();
  BlockOn(*state_->executor, [](OutboxRelay* relay) -> Awaitable<bool> {
    co_await relay->Stop();
    co_return true;
  }(state_->relay.get()));
}

void AgentServer::Abandon() {
  if (state_->guard != nullptr) {
    state_->guard->Close();
  }
  state_->engine->Abandon();
}

void AgentServer::ReleaseThreads() { state_->engine->ReleaseThreads(); }

std::vector<std::string> AgentServer::held_runs() const { return state_->engine->held_runs(); }

int AgentServer::live_instances() const { return state_->engine->instances().live(); }

}  // namespace bulkhead::agent
