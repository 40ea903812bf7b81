#include "services/bulkhead/platform.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/common/v1/config.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "services/agent/agent_service.h"
#include "services/auth/auth_service.h"
#include "services/bulkhead/data_dir.h"
#include "services/bulkhead/service_options.h"
#include "services/common/crypto/crypto.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/rpc/remote_key_source.h"
#include "services/common/rpc/revocation_feed.h"
#include "services/common/rpc/revocation_set.h"
#include "services/common/rpc/revoked_tokens.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"
#include "services/gateway/gateway.h"
#include "services/notifier/notifier_service.h"
#include "services/tool/tool_service.h"

namespace bulkhead {
namespace {

constexpr size_t kServiceSecretBytes = 32;
constexpr int kDefaultThreads = 2;
constexpr int kDefaultBlockingThreads = 4;
// Pieces of files are at most 1 MiB; a tool's input and output have limits of their own.
constexpr int kMaxMessageBytes = 80 << 20;

// The host of `listen` ("address:port") as somebody on this machine would call it.
std::string ReachableHost(std::string_view listen) {
  const std::string_view host = listen.substr(0, listen.rfind(':'));
  return host.empty() || host == "0.0.0.0" || host == "[::]" ? "127.0.0.1" : std::string(host);
}

// One service's server, and the way to it.
class ServiceHost {
 public:
  static absl::StatusOr<std::unique_ptr<ServiceHost>> Start(std::string_view name, std::vector<grpc::Service*> services,
                                                            Transport transport) {
    auto host = std::unique_ptr<ServiceHost>(new ServiceHost());
    host->transport_ = transport;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    if (transport == Transport::kLoopbackTcp) {
      builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &host->port_);
    }
    for (grpc::Service* service : services) {
      builder.RegisterService(service);
    }
    host->server_ = builder.BuildAndStart();
    if (host->server_ == nullptr || (transport == Transport::kLoopbackTcp && host->port_ == 0)) {
      return MakeError(absl::StatusCode::kUnavailable, absl::StrCat("the server of ", name, " cannot start"),
                       {.domain = "bulkhead.platform",
                        .reason = "SERVER_START_FAILED",
                        .metadata = {{"service", std::string(name)}}});
    }
    return host;
  }

  std::shared_ptr<grpc::Channel> Connect(Platform::Interceptors interceptors) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    // Each caller has connections of its own, as in a process of its own.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    switch (transport_) {
      case Transport::kInProcess:
        return server_->experimental().InProcessChannelWithInterceptors(arguments, std::move(interceptors));
      case Transport::kLoopbackTcp:
        return grpc::experimental::CreateCustomChannelWithInterceptors(
            absl::StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials(), arguments, std::move(interceptors));
    }
    return nullptr;
  }

  // Calls that are under way end by `deadline` (real time), or are cancelled then.
  void Shutdown(absl::Time deadline) { server_->Shutdown(absl::ToChronoTime(deadline)); }

 private:
  ServiceHost() = default;

  Transport transport_ = Transport::kInProcess;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// How long a service may take at its start to learn what has been revoked: before that it takes no calls.
constexpr absl::Duration kRevocationsLimit = absl::Seconds(10);

// Each service verifies tokens for itself, with keys that it fetches for itself, and learns for itself what is revoked.
struct Verification {
  std::unique_ptr<rpc::RemoteKeySource> keys;
  std::shared_ptr<TokenVerifier> verifier;
  std::unique_ptr<rpc::RevocationFeed> revocations;
};

}  // namespace

struct Platform::State {
  // In the order of their making; destroyed in the reverse.
  Options options;
  std::unique_ptr<DataDir> data_dir;
  std::unique_ptr<Clock> own_clock;
  std::unique_ptr<Clock> machine_clock;  // Where the platform's own is another.
  std::unique_ptr<IdGenerator> own_ids;
  Clock* clock = nullptr;
  Clock* real_clock = nullptr;
  IdGenerator* ids = nullptr;
  std::unique_ptr<crypto::Sealer> sealer;
  std::unique_ptr<BlockingPool> blocking;
  std::unique_ptr<BlockingPool> tool_threads;
  std::unique_ptr<Executor> executor;
  std::map<std::string, Secret> service_secrets;
  TokenVerifier::Options verifier_options;
  std::string url;
  bool shut_down = false;

  std::unique_ptr<auth::AuthServer> auth;
  std::unique_ptr<ServiceHost> auth_host;
  Verification tool_verification;
  std::unique_ptr<tool::ToolServer> tool;
  std::unique_ptr<ServiceHost> tool_host;
  Verification notifier_verification;
  std::unique_ptr<notifier::NotifierServer> notifier;
  std::unique_ptr<ServiceHost> notifier_host;
  Verification agent_verification;
  std::unique_ptr<agent::AgentServer> agent;
  std::unique_ptr<ServiceHost> agent_host;
  Verification gateway_verification;
  std::unique_ptr<gateway::Gateway> gateway;

  std::shared_ptr<grpc::Channel> ConnectTo(ServiceHost& host) const {
    return host.Connect(options.client_interceptors == nullptr ? Interceptors() : options.client_interceptors());
  }

  // `service`: "tool"; who follows what is revoked, as itself.
  absl::StatusOr<Verification> MakeVerification(const std::string& service) {
    Verification verification;
    verification.keys = rpc::RemoteKeySource::Create({}, ConnectTo(*auth_host), clock, executor.get());
    ASSIGN_OR_RETURN(verification.verifier, TokenVerifier::Create(verifier_options, verification.keys.get(), clock));
    verification.revocations =
        rpc::RevocationFeed::Create({.service = service, .secret = service_secrets[service].Copy()},
                                    ConnectTo(*auth_host), clock, real_clock, executor.get());
    rpc::ForgetRevokedTokens(verification.revocations->set(), verification.verifier);
    return verification;
  }

  rpc::ServerDependencies RpcFor(const Verification& verification) const {
    return {.executor = executor.get(),
            .verifier = verification.verifier.get(),
            .ids = ids,
            .key_refresher = verification.keys.get(),
            .revocations = &verification.revocations->set()};
  }

  absl::Status MakeFoundation(const common::v1::PlatformConfig& config);
  absl::Status MakeAuth(const common::v1::PlatformConfig& config);
  absl::Status MakeTool(const common::v1::PlatformConfig& config);
  absl::Status MakeNotifier(const common::v1::PlatformConfig& config);
  absl::Status MakeAgent(const common::v1::PlatformConfig& config);
  absl::Status MakeGateway(const common::v1::PlatformConfig& config);
  absl::Status Start(const common::v1::PlatformConfig& config);

  // Ends each server's calls by `deadline`, in the reverse order of the services' making.
  void StopServers(absl::Time deadline);
};

absl::Status Platform::State::MakeFoundation(const common::v1::PlatformConfig& config) {
  ASSIGN_OR_RETURN(data_dir, DataDir::Open(options.data_dir));
  if (options.clock == nullptr) {
    own_clock = CreateSystemClock();
  } else {
    machine_clock = CreateSystemClock();
  }
  clock = options.clock == nullptr ? own_clock.get() : options.clock;
  real_clock = options.clock == nullptr ? own_clock.get() : machine_clock.get();
  if (options.ids == nullptr) {
    own_ids = CreateRandomIds();
  }
  ids = options.ids == nullptr ? own_ids.get() : options.ids;
  verifier_options = VerifierOptions(config.auth());
  Secret key = std::move(options.sealing_key);
  if (key.empty()) {
    ASSIGN_OR_RETURN(key, data_dir->OwnSealingKey());
  }
  ASSIGN_OR_RETURN(sealer, crypto::Sealer::Create(std::move(key)));
  const int blocking_threads =
      config.has_blocking_threads() ? static_cast<int>(config.blocking_threads()) : kDefaultBlockingThreads;
  blocking = BlockingPool::Create(blocking_threads);
  tool_threads = BlockingPool::Create(blocking_threads);
  executor = Executor::Create(
      {.name = "platform", .threads = config.has_threads() ? static_cast<int>(config.threads()) : kDefaultThreads});
  for (const char* service : {"agent", "tool", "notifier", "gateway"}) {
    // As text: it travels in a proto string.
    service_secrets[service] = Secret(absl::WebSafeBase64Escape(crypto::RandomBytes(kServiceSecretBytes)));
  }
  return absl::OkStatus();
}

absl::Status Platform::State::MakeAuth(const common::v1::PlatformConfig& config) {
  ASSIGN_OR_RETURN(auth::AuthServer::Options auth_options, AuthOptions(config, options.environment));
  auth_options.data_dir = data_dir->path();
  auth_options.durable = options.durable;
  auth_options.accounts.admin_login = options.admin_login;
  // What each service may do when it acts for itself.
  auth_options.tokens.service_accounts["agent"] = {
      .secret = service_secrets["agent"].Copy(),
      .permissions = {"token:run:exchange", "token:all:introspect", "event:all:publish", "revocation:all:watch"}};
  for (const char* service : {"gateway", "notifier", "tool"}) {
    auth_options.tokens.service_accounts[service] = {.secret = service_secrets[service].Copy(),
                                                     .permissions = {"revocation:all:watch"}};
  }
  ASSIGN_OR_RETURN(auth,
                   auth::AuthServer::Create(std::move(auth_options), {.rpc = {.executor = executor.get(), .ids = ids},
                                                                      .clock = clock,
                                                                      .real_clock = real_clock,
                                                                      .ids = ids,
                                                                      .blocking = blocking.get(),
                                                                      .sealer = sealer.get()}));
  ASSIGN_OR_RETURN(auth_host, ServiceHost::Start("auth", auth->services(), options.transport));
  return absl::OkStatus();
}

absl::Status Platform::State::MakeTool(const common::v1::PlatformConfig& config) {
  ASSIGN_OR_RETURN(tool_verification, MakeVerification("tool"));
  tool::ToolServer::Options tool_options = ToolOptions(config.tool());
  tool_options.data_dir = data_dir->path();
  tool_options.durable = options.durable;
  ASSIGN_OR_RETURN(tool, tool::ToolServer::Create(std::move(tool_options), {.rpc = RpcFor(tool_verification),
                                                                            .clock = clock,
                                                                            .ids = ids,
                                                                            .executor = executor.get(),
                                                                            .blocking = blocking.get(),
                                                                            .tool_threads = tool_threads.get(),
                                                                            .extra_tools = options.extra_tools}));
  ASSIGN_OR_RETURN(tool_host, ServiceHost::Start("tool", tool->services(), options.transport));
  return absl::OkStatus();
}

absl::Status Platform::State::MakeNotifier(const common::v1::PlatformConfig& config) {
  ASSIGN_OR_RETURN(notifier_verification, MakeVerification("notifier"));
  notifier::NotifierServer::Options notifier_options = NotifierOptions(config.notifier());
  notifier_options.data_dir = data_dir->path();
  ASSIGN_OR_RETURN(notifier, notifier::NotifierServer::Create(
                                 std::move(notifier_options),
                                 {.rpc = RpcFor(notifier_verification), .clock = clock, .executor = executor.get()}));
  ASSIGN_OR_RETURN(notifier_host, ServiceHost::Start("notifier", notifier->services(), options.transport));
  return absl::OkStatus();
}

absl::Status Platform::State::MakeAgent(const common::v1::PlatformConfig& config) {
  ASSIGN_OR_RETURN(agent_verification, MakeVerification("agent"));
  ASSIGN_OR_RETURN(agent::AgentServer::Options agent_options, AgentOptions(config.agent(), options.environment));
  agent_options.data_dir = data_dir->path();
  agent_options.durable = options.durable;
  ASSIGN_OR_RETURN(
      agent, agent::AgentServer::Create(std::move(agent_options), {.rpc = RpcFor(agent_verification),
                                                                   .clock = clock,
                                                                   .ids = ids,
                                                                   .executor = executor.get(),
                                                                   .blocking = blocking.get(),
                                                                   .sealer = sealer.get(),
                                                                   .auth_channel = ConnectTo(*auth_host),
                                                                   .tool_channel = ConnectTo(*tool_host),
                                                                   .notifier_channel = ConnectTo(*notifier_host),
                                                                   .service_secret = service_secrets["agent"].Copy(),
                                                                   .extra_agents = options.extra_agents,
                                                                   .before_commit = options.before_commit}));
  ASSIGN_OR_RETURN(agent_host, ServiceHost::Start("agent", agent->services(), options.transport));
  return absl::OkStatus();
}

absl::Status Platform::State::MakeGateway(const common::v1::PlatformConfig& config) {
  ASSIGN_OR_RETURN(gateway_verification, MakeVerification("gateway"));
  ASSIGN_OR_RETURN(
      gateway, gateway::Gateway::Create(GatewayOptions(config), {.executor = executor.get(),
                                                                 .clock = clock,
                                                                 .ids = ids,
                                                                 .verifier = gateway_verification.verifier.get(),
                                                                 .key_refresher = gateway_verification.keys.get(),
                                                                 .revocations = gateway_verification.revocations.get(),
                                                                 .auth = ConnectTo(*auth_host),
                                                                 .agent = ConnectTo(*agent_host),
                                                                 .tool = ConnectTo(*tool_host),
                                                                 .notifier = ConnectTo(*notifier_host)}));
  return absl::OkStatus();
}

absl::Status Platform::State::Start(const common::v1::PlatformConfig& config) {
  RETURN_IF_ERROR(auth->Start());
  for (Verification* verification :
       {&tool_verification, &notifier_verification, &agent_verification, &gateway_verification}) {
    RETURN_IF_ERROR(BlockOn(*executor, verification->keys->Start()));
    RETURN_IF_ERROR(BlockOn(*executor, verification->revocations->Start(kRevocationsLimit)));
  }
  RETURN_IF_ERROR(tool->Start());
  RETURN_IF_ERROR(notifier->Start());
  RETURN_IF_ERROR(agent->Start());
  ASSIGN_OR_RETURN(const uint16_t port, gateway->Start());
  url = absl::StrCat("http://", ReachableHost(config.gateway().listen()), ":", port);
  return absl::OkStatus();
}

void Platform::State::StopServers(absl::Time deadline) {
  for (ServiceHost* host : {agent_host.get(), notifier_host.get(), tool_host.get(), auth_host.get()}) {
    if (host != nullptr) {
      host->Shutdown(deadline);
    }
  }
}

Platform::Platform(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<Platform>> Platform::Create(Options options, const common::v1::PlatformConfig& config) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  // Made before anything can fail: what was started is stopped by its destructor.
  auto platform = std::unique_ptr<Platform>(new Platform(std::move(state)));
  State& parts = *platform->state_;
  RETURN_IF_ERROR(parts.MakeFoundation(config));
  RETURN_IF_ERROR(parts.MakeAuth(config));
  RETURN_IF_ERROR(parts.MakeTool(config));
  RETURN_IF_ERROR(parts.MakeNotifier(config));
  RETURN_IF_ERROR(parts.MakeAgent(config));
  RETURN_IF_ERROR(parts.MakeGateway(config));
  RETURN_IF_ERROR(parts.Start(config));
  return platform;
}

Platform::~Platform() {
  if (!state_->shut_down) {
    // First of all: a run must not take the end of the services that it calls for their answer.
    if (state_->agent != nullptr) {
      state_->agent->Abandon();
    }
    state_->StopServers(RealNow());
  }
}

absl::Status Platform::Shutdown(absl::Duration limit) {
  State& parts = *state_;
  if (std::exchange(parts.shut_down, true)) {
    return absl::OkStatus();
  }
  const absl::Time deadline = RealDeadline(limit);
  if (parts.agent != nullptr) {
    // What follows needs threads to run on.
    parts.agent->ReleaseThreads();
  }
  // From the edge inwards, so that nobody calls what has gone.
  if (parts.gateway != nullptr) {
    parts.gateway->Shutdown();
  }
  if (parts.agent != nullptr) {
    parts.agent->Shutdown();
  }
  if (parts.notifier != nullptr) {
    parts.notifier->Shutdown();
  }
  if (parts.tool != nullptr) {
    parts.tool->Shutdown();
  }
  for (const Verification* verification : {&parts.tool_verification, &parts.notifier_verification,
                                           &parts.agent_verification, &parts.gateway_verification}) {
    if (verification->keys != nullptr) {
      verification->keys->Shutdown();
    }
    if (verification->revocations != nullptr) {
      verification->revocations->Shutdown();
    }
  }
  if (parts.auth != nullptr) {
    parts.auth->Shutdown();
  }
  parts.StopServers(deadline);
  if (parts.executor == nullptr) {
    return absl::OkStatus();
  }
  const std::vector<std::string> held = parts.agent == nullptr ? std::vector<std::string>() : parts.agent->held_runs();
  const absl::Status drained = parts.executor->Drain(std::max(deadline - RealNow(), absl::Seconds(1)), held.size());
  if (!held.empty()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded,
                     absl::StrCat("agents hold ", held.size(), " threads, of the runs ", absl::StrJoin(held, ", "),
                                  ": they go on from their journals at the next start"),
                     {.domain = "bulkhead.platform",
                      .reason = "AGENTS_HOLD_THREADS",
                      .metadata = {{"runs", absl::StrJoin(held, " ")}}});
  }
  return drained;
}

int Platform::live_agent_instances() const { return state_->agent->live_instances(); }

const std::string& Platform::url() const { return state_->url; }
std::shared_ptr<grpc::Channel> Platform::auth_channel() const { return state_->ConnectTo(*state_->auth_host); }
std::shared_ptr<grpc::Channel> Platform::tool_channel() const { return state_->ConnectTo(*state_->tool_host); }
std::shared_ptr<grpc::Channel> Platform::notifier_channel() const { return state_->ConnectTo(*state_->notifier_host); }
std::shared_ptr<grpc::Channel> Platform::agent_channel() const { return state_->ConnectTo(*state_->agent_host); }
Executor& Platform::executor() { return *state_->executor; }

}  // namespace bulkhead
