// Sign-in through OpenID providers, and the identities that it is done with. OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207, RFC 9700.
#ifndef SERVICES_AUTH_OIDC_PROVIDER_SIGN_INS_H_
#define SERVICES_AUTH_OIDC_PROVIDER_SIGN_INS_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/audit_log.h"
#include "services/auth/oidc/attempt_store.h"
#include "services/auth/oidc/id_token.h"
#include "services/auth/oidc/identity_store.h"
#include "services/auth/oidc/provider.h"
#include "services/auth/oidc/provider_client.h"
#include "services/auth/sign_ins.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth::oidc {

// Thread-safe.
class ProviderSignIns {
 public:
  struct Options {
    absl::Duration attempt_lifetime = absl::Minutes(10);
    int max_attempts_by_address = 100;  // That wait at once; many people may share an address.
    int max_attempts = 100'000;         // Of all; beyond that the oldest give way, so that nobody can shut others out.
    int max_identities = 20;            // Of a user.
    std::string reserved_login;         // Not given to anybody who comes from a provider.
    ProviderClient::Options client;
  };
  struct Dependencies {  // All outlive it.
    storage::Database* database = nullptr;
    const Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    const crypto::Sealer* sealer = nullptr;
    Executor* executor = nullptr;
    AuditLog* audit = nullptr;
    const TokenVerifier* verifier = nullptr;
    SignIns* sign_ins = nullptr;
  };

  // INVALID_ARGUMENT `AUTH_OPTIONS_INVALID`, `CA_FILE_INVALID`.
  static absl::StatusOr<std::unique_ptr<ProviderSignIns>> Create(Options options, std::vector<Provider> providers,
                                                                 Dependencies dependencies);

  // In the configuration's order; they live as long as this.
  std::vector<const Provider*> List() const;

  struct Beginning {
    std::string provider;      // Its id.
    std::string redirect_uri;  // One that its configuration lists.
    bool link = false;
    std::string device;
  };
  struct Begun {
    std::string authorization_uri;
    Secret state;
  };
  // NOT_FOUND `PROVIDER_NOT_FOUND`; INVALID_ARGUMENT `REDIRECT_URI_REFUSED`, `DEVICE_INVALID`; RESOURCE_EXHAUSTED `SIGN_IN_THROTTLED`; to link,
  // UNAUTHENTICATED for the token of `call`, PERMISSION_DENIED `PERMISSION_MISSING` for one that is no session's of a person; and those of ProviderClient::Metadata.
  Awaitable<absl::StatusOr<Begun>> Begin(const rpc::CallContext& call, const Beginning& beginning);

  // Ends a sign-in with the query of the provider's redirect and the state that the browser kept. The state is used up whatever comes of it. To link, the
  // answer has user and session, and no tokens. Errors: as SessionService.CompleteProviderSignIn says.
  Awaitable<absl::StatusOr<SignedIn>> Complete(const rpc::CallContext& call, std::string_view redirect_query,
                                               const Secret& state);

  // The caller's, oldest first.
  absl::StatusOr<std::vector<Identity>> ListIdentities(const UserContext& user);
  // NOT_FOUND `IDENTITY_NOT_FOUND`, also for another user's; FAILED_PRECONDITION `IDENTITY_IS_LAST`.
  Awaitable<absl::Status> DeleteIdentity(const rpc::CallContext& call, std::string_view user,
                                         std::string_view identity);

 private:
  // Who came back, and what for.
  struct Proven {
    const ProviderClient* client = nullptr;
    Attempt attempt;
    IdTokenClaims claims;
  };

  ProviderSignIns(Options options, std::vector<std::unique_ptr<ProviderClient>> clients, Dependencies dependencies)
      : options_(std::move(options)), clients_(std::move(clients)), dependencies_(dependencies) {}

  const ProviderClient* Find(std::string_view id) const;
  absl::StatusOr<UserContext> RequirePerson(const rpc::CallContext& call) const;
  absl::Status CheckBeginning(const rpc::CallContext& call, const Beginning& beginning, const ProviderClient* client,
                              Attempt& attempt) const;
  Awaitable<absl::StatusOr<Attempt>> TakeAttempt(const std::map<std::string, std::string>& query, const Secret& state);
  // `attempt` and `client` are filled in as soon as they are known, also when the proof fails.
  Awaitable<absl::Status> Prove(const rpc::CallContext& call, std::string_view redirect_query, const Secret& state,
                                Proven& proven);
  absl::StatusOr<std::string> AccountOf(storage::Connection& connection, const rpc::CallContext& call,
                                        const Proven& proven);
  Awaitable<absl::StatusOr<SignedIn>> Link(const rpc::CallContext& call, const Proven& proven);
  absl::Status LinkInTransaction(storage::Connection& connection, const Proven& proven, AuditEntry entry);

  const Options options_;
  const std::vector<std::unique_ptr<ProviderClient>> clients_;
  const Dependencies dependencies_;
};

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_PROVIDER_SIGN_INS_H_
