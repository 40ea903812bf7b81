// The auth service as one part: for the composition root.
#ifndef SERVICES_AUTH_AUTH_SERVICE_H_
#define SERVICES_AUTH_AUTH_SERVICE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/accounts.h"
#include "services/auth/oidc/provider.h"
#include "services/auth/sign_in_throttle.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_exchange.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/server_dependencies.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace grpc {
class Service;
}

namespace bulkhead::auth {

// Users, sessions, tokens, keys, roles and the audit log, behind the services of
// bulkhead.auth.v1. Calls no other service. Thread-safe.
class AuthServer {
 public:
  struct Options {
    std::string data_dir;  // Holds auth.db; "" keeps all in memory, for tests.
    bool durable = true;   // See storage::Database::Options.
    std::string issuer = "bulkhead";
    std::string audience = "bulkhead";
    SignIns::Options sessions;
    Accounts::Options accounts;
    TokenExchange::Options tokens;
    SignInThrottle::Options throttle;
    crypto::ScryptParameters scrypt;
    std::string breached_passwords;                               // A file for HashListFile; "" for none.
    absl::Duration token_leeway = absl::Seconds(30);              // See TokenVerifier::Options.
    size_t verified_token_cache = 0;                              // Entries; 0 remembers none.
    crypto::Algorithm key_algorithm = crypto::Algorithm::kEdDsa;  // Of new signing keys; or kEs256.
    absl::Duration key_rotation_interval = absl::ZeroDuration();  // How old one gets; 0: on demand only.
    std::vector<oidc::Provider> providers;                        // In the order in which they are offered.
  };

  struct Dependencies {  // All outlive the server.
    // `verifier` and `key_refresher` are not used: auth verifies with its own keys.
    rpc::ServerDependencies rpc;
    Clock* clock = nullptr;
    Clock* real_clock = nullptr;  // The machine's: streams that are silent show by it that they live.
    IdGenerator* ids = nullptr;
    BlockingPool* blocking = nullptr;
    const crypto::Sealer* sealer = nullptr;
  };

  // INVALID_ARGUMENT `AUTH_OPTIONS_INVALID` (metadata `field`), TOKEN_OPTIONS_INVALID, BREACHED_PASSWORDS_INVALID; and the
  // errors of the database and of the keys.
  static absl::StatusOr<std::unique_ptr<AuthServer>> Create(Options options, Dependencies dependencies);
  ~AuthServer();

  // To be registered on one grpc::Server; they live as long as this.
  std::vector<grpc::Service*> services();
  // For what runs in the same process and would otherwise fetch them.
  KeySource* keys();

  // Begins and ends what runs in the background: the rotation of keys, and the streams of those who follow the revocations. The executor is drained
  // before the server dies.
  absl::Status Start();
  void Shutdown();

 private:
  struct State;
  explicit AuthServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_AUTH_SERVICE_H_
