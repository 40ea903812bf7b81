// One OpenID provider as it is spoken to: its metadata, its keys, its token endpoint.
#ifndef SERVICES_AUTH_OIDC_PROVIDER_CLIENT_H_
#define SERVICES_AUTH_OIDC_PROVIDER_CLIENT_H_

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/oidc/id_token.h"
#include "services/auth/oidc/metadata.h"
#include "services/auth/oidc/provider.h"
#include "services/common/crypto/secret.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth::oidc {

// Metadata and keys are fetched when they are needed, by one request however many wait, and kept for a while. Thread-safe. Calls that are under way keep what
// they need; clock and executor outlive them.
class ProviderClient {
 public:
  struct Options {
    absl::Duration cache_lifetime =
        absl::Hours(1);  // Of metadata and keys: a key that the provider withdraws is gone after that.
    absl::Duration failure_pause = absl::Seconds(5);  // After metadata could not be had: anybody may ask for a sign-in.
    // After a key id that the provider's keys, fetched anew, do not have: whoever sends made-up ones must not make us hammer the provider.
    absl::Duration unknown_key_pause = absl::Seconds(10);
    absl::Duration timeout = absl::Seconds(10);  // Of a request, in real time.
    absl::Duration leeway = absl::Seconds(60);   // For clocks that differ.
  };

  // INVALID_ARGUMENT `CA_FILE_INVALID`. `clock` and `executor` outlive it.
  static absl::StatusOr<std::unique_ptr<ProviderClient>> Create(Options options, Provider provider, const Clock* clock,
                                                                Executor* executor);
  ~ProviderClient();

  const Provider& provider() const;

  // UNAVAILABLE `PROVIDER_UNREACHABLE` (metadata `provider`); FAILED_PRECONDITION `PROVIDER_METADATA_INVALID`.
  Awaitable<absl::StatusOr<ProviderMetadata>> Metadata() const;

  struct Grant {
    Secret code;
    Secret verifier;  // Of PKCE. RFC 7636 section 4.1.
    std::string redirect_uri;
    std::string nonce;
  };
  // Trades the code for an ID token, and checks that. UNAUTHENTICATED `PROVIDER_REFUSED` (metadata `error`, the provider's own code),
  // `PROVIDER_RESPONSE_INVALID`, `PROVIDER_TOKEN_INVALID`, `NONCE_INVALID`; and as above.
  Awaitable<absl::StatusOr<IdTokenClaims>> Redeem(const Grant& grant, std::stop_token stop) const;

 private:
  struct State;
  explicit ProviderClient(std::shared_ptr<State> state);
  const std::shared_ptr<State> state_;
};

// UNAUTHENTICATED `PROVIDER_REFUSED`. `code` is from outside: what is no error code of RFC 6749 is not repeated.
absl::Status ProviderRefused(const Provider& provider, std::string_view code);
// UNAUTHENTICATED `PROVIDER_RESPONSE_INVALID`.
absl::Status ProviderResponseInvalid(const Provider& provider, std::string_view problem);

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_PROVIDER_CLIENT_H_
