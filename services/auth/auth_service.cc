#include "services/auth/auth_service.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpcpp/impl/service_type.h"
#include "services/auth/accounts.h"
#include "services/auth/adapters.h"
#include "services/auth/audit_log.h"
#include "services/auth/breached_passwords.h"
#include "services/auth/errors.h"
#include "services/auth/key_rotation.h"
#include "services/auth/key_store.h"
#include "services/auth/oidc/provider_sign_ins.h"
#include "services/auth/password_hasher.h"
#include "services/auth/permission_denials.h"
#include "services/auth/revocation_log.h"
#include "services/auth/roles.h"
#include "services/auth/schema.h"
#include "services/auth/sign_in_throttle.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_exchange.h"
#include "services/auth/token_issuer.h"
#include "services/common/identity/permission.h"
#include "services/common/rpc/revoked_tokens.h"
#include "services/common/status/macros.h"
#include "services/common/storage/database.h"

namespace bulkhead::auth {
namespace {

// Verifiers allow for clocks that differ by so much.
constexpr absl::Duration kMaxLeeway = absl::Minutes(5);
constexpr size_t kMinSecretBytes = 16;

absl::Status Invalid(std::string_view field, std::string_view what) {
  return AuthError(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", what), "AUTH_OPTIONS_INVALID",
                   {{"field", std::string(field)}});
}

// A token must not outlive the key that signed it.
absl::Status ValidateLifetime(std::string_view field, absl::Duration lifetime) {
  return lifetime > absl::ZeroDuration() && lifetime <= kMaxRunTokenLifetime
             ? absl::OkStatus()
             : Invalid(field,
                       absl::StrCat("must be more than 0 s and at most ", absl::FormatDuration(kMaxRunTokenLifetime)));
}

absl::Status Validate(const AuthServer::Options& options) {
  if (options.key_algorithm != crypto::Algorithm::kEdDsa && options.key_algorithm != crypto::Algorithm::kEs256) {
    return Invalid("key_algorithm", "must be EdDSA or ES256");
  }
  if (options.key_rotation_interval < absl::ZeroDuration()) {
    return Invalid("key_rotation_interval", "must not be negative");
  }
  RETURN_IF_ERROR(ValidateLifetime("access_token_lifetime", options.sessions.access_token_lifetime));
  RETURN_IF_ERROR(ValidateLifetime("service_token_lifetime", options.tokens.service_token_lifetime));
  if (options.sessions.session_idle_lifetime < options.sessions.access_token_lifetime ||
      options.sessions.session_lifetime < options.sessions.session_idle_lifetime) {
    return Invalid("session_lifetime",
                   "must not be shorter than session_idle_lifetime, nor that than an access token's");
  }
  if (options.accounts.min_password_length < 1) {
    return Invalid("min_password_length", "must be at least 1");
  }
  RETURN_IF_ERROR(oidc::ValidateProviders(options.providers));
  for (const auto& [service, account] : options.tokens.service_accounts) {
    if (account.secret.Reveal().size() < kMinSecretBytes) {
      return Invalid(absl::StrCat("service_accounts.", service, ".secret"),
                     absl::StrCat("must have at least ", kMinSecretBytes, " bytes"));
    }
    for (const std::string& pattern : account.permissions) {
      RETURN_IF_ERROR(ValidatePermissionPattern(pattern));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// In the order of construction: what comes later borrows from what comes before.
struct AuthServer::State {
  std::unique_ptr<storage::Database> database;
  std::shared_ptr<RevocationLog> revocations;
  std::unique_ptr<AuditLog> audit;
  std::unique_ptr<KeyStore> keys;
  std::unique_ptr<KeyRotation> rotation;
  std::shared_ptr<const TokenVerifier> verifier;
  std::unique_ptr<TokenIssuer> issuer;
  std::unique_ptr<PasswordHasher> hasher;
  std::unique_ptr<SignInThrottle> throttle;
  std::unique_ptr<BreachedPasswords> breached;
  std::unique_ptr<SignIns> sign_ins;
  std::unique_ptr<Accounts> accounts;
  std::unique_ptr<TokenExchange> exchange;
  std::unique_ptr<Roles> roles;
  std::unique_ptr<PermissionDenials> denials;
  std::unique_ptr<oidc::ProviderSignIns> providers;
  std::vector<std::unique_ptr<grpc::Service>> services;
};

absl::StatusOr<std::unique_ptr<AuthServer>> AuthServer::Create(Options options, Dependencies dependencies) {
  RETURN_IF_ERROR(Validate(options));
  const std::string admin_login = options.accounts.admin_login;
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(
      state->database,
      storage::Database::Open({.path = options.data_dir.empty() ? "" : absl::StrCat(options.data_dir, "/auth.db"),
                               .migrations = Migrations(),
                               .durable = options.durable}));
  storage::Database* const database = state->database.get();
  Clock* const clock = dependencies.clock;
  IdGenerator* const ids = dependencies.ids;
  ASSIGN_OR_RETURN(state->revocations, RevocationLog::Open(kMaxRunTokenLifetime + kMaxLeeway, database, clock));
  RevocationLog* const revocations = state->revocations.get();
  state->audit = std::make_unique<AuditLog>(database, clock, dependencies.sealer);
  AuditLog* const audit = state->audit.get();
  ASSIGN_OR_RETURN(state->keys,
                   KeyStore::Open({.overlap = kMaxRunTokenLifetime + kMaxLeeway, .algorithm = options.key_algorithm},
                                  {.database = database,
                                   .sealer = dependencies.sealer,
                                   .clock = clock,
                                   .ids = ids,
                                   .audit = audit,
                                   .revocations = revocations}));
  state->rotation = std::make_unique<KeyRotation>(
      options.key_rotation_interval,
      KeyRotation::Dependencies{
          .keys = state->keys.get(), .clock = clock, .ids = ids, .executor = dependencies.rpc.executor});
  ASSIGN_OR_RETURN(state->verifier, TokenVerifier::Create({.issuer = options.issuer,
                                                           .audience = options.audience,
                                                           .leeway = options.token_leeway,
                                                           .cache_entries = options.verified_token_cache},
                                                          state->keys.get(), clock));
  rpc::ForgetRevokedTokens(revocations->set(), state->verifier);
  state->issuer = std::make_unique<TokenIssuer>(options.issuer, options.audience, state->keys.get(), clock, ids);
  state->hasher = std::make_unique<PasswordHasher>(options.scrypt, dependencies.blocking);
  state->throttle = std::make_unique<SignInThrottle>(options.throttle, clock);
  RETURN_IF_ERROR(state->throttle->Restore(*database));
  ASSIGN_OR_RETURN(state->breached, BreachedPasswords::Open(options.breached_passwords));
  state->sign_ins = std::make_unique<SignIns>(options.sessions, SignIns::Dependencies{.database = database,
                                                                                      .clock = clock,
                                                                                      .ids = ids,
                                                                                      .hasher = state->hasher.get(),
                                                                                      .throttle = state->throttle.get(),
                                                                                      .issuer = state->issuer.get(),
                                                                                      .audit = audit,
                                                                                      .revocations = revocations});
  state->accounts =
      std::make_unique<Accounts>(options.accounts, Accounts::Dependencies{.database = database,
                                                                          .clock = clock,
                                                                          .ids = ids,
                                                                          .hasher = state->hasher.get(),
                                                                          .throttle = state->throttle.get(),
                                                                          .audit = audit,
                                                                          .revocations = revocations,
                                                                          .verifier = state->verifier.get(),
                                                                          .sign_ins = state->sign_ins.get(),
                                                                          .breached = state->breached.get(),
                                                                          .pool = dependencies.blocking});
  state->exchange = std::make_unique<TokenExchange>(std::move(options.tokens),
                                                    TokenExchange::Dependencies{.clock = clock,
                                                                                .verifier = state->verifier.get(),
                                                                                .issuer = state->issuer.get(),
                                                                                .sign_ins = state->sign_ins.get(),
                                                                                .audit = audit});
  state->roles = std::make_unique<Roles>(database, audit);
  state->denials = std::make_unique<PermissionDenials>(audit);

  ASSIGN_OR_RETURN(state->providers,
                   oidc::ProviderSignIns::Create({.reserved_login = admin_login}, std::move(options.providers),
                                                 {.database = database,
                                                  .clock = clock,
                                                  .ids = ids,
                                                  .sealer = dependencies.sealer,
                                                  .executor = dependencies.rpc.executor,
                                                  .audit = audit,
                                                  .verifier = state->verifier.get(),
                                                  .sign_ins = state->sign_ins.get()}));

  Edge edge{.calls = dependencies.rpc, .sign_ins = state->sign_ins.get(), .providers = state->providers.get()};
  edge.calls.verifier = state->verifier.get();
  edge.calls.key_refresher = nullptr;
  edge.calls.denials = state->denials.get();
  edge.calls.revocations = &revocations->set();
  state->services.push_back(NewUserService(edge, state->accounts.get()));
  state->services.push_back(NewSessionService(edge, state->exchange.get()));
  state->services.push_back(NewTokenService(edge, state->exchange.get(), state->keys.get()));
  state->services.push_back(NewRoleService(edge, state->roles.get()));
  state->services.push_back(NewAuditService(edge, audit, dependencies.blocking));
  state->services.push_back(NewRevocationService(edge, revocations, dependencies.real_clock));
  return absl::WrapUnique(new AuthServer(std::move(state)));
}

AuthServer::AuthServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
AuthServer::~AuthServer() = default;

std::vector<grpc::Service*> AuthServer::services() {
  std::vector<grpc::Service*> services;
  for (const std::unique_ptr<grpc::Service>& service : state_->services) {
    services.push_back(service.get());
  }
  return services;
}

absl::Status AuthServer::Start() {
  state_->rotation->Start();
  return absl::OkStatus();
}

void AuthServer::Shutdown() {
  state_->rotation->Shutdown();
  state_->revocations->Close();
}

KeySource* AuthServer::keys() { return state_->keys.get(); }

}  // namespace bulkhead::auth
