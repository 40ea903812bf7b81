// Users: registration, passwords, administration.
#ifndef SERVICES_AUTH_ACCOUNTS_H_
#define SERVICES_AUTH_ACCOUNTS_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/auth/audit_log.h"
#include "services/auth/breached_passwords.h"
#include "services/auth/password_hasher.h"
#include "services/auth/revocation_log.h"
#include "services/auth/sign_in_throttle.h"
#include "services/auth/sign_ins.h"
#include "services/auth/user_store.h"
#include "services/common/crypto/secret.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// Thread-safe.
class Accounts {
 public:
  struct Options {
    // Anybody may register himself. Otherwise `user:all:create` is needed.
    bool open_registration = true;
    int min_password_length = 12;  // Bytes.
    // The user who registers with this login becomes an administrator, and may register where others may not. Empty:
    // nobody does.
    std::string admin_login;
  };
  struct Dependencies {  // All outlive it.
    storage::Database* database = nullptr;
    const Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    PasswordHasher* hasher = nullptr;
    SignInThrottle* throttle = nullptr;
    AuditLog* audit = nullptr;
    RevocationLog* revocations = nullptr;
    const TokenVerifier* verifier = nullptr;
    SignIns* sign_ins = nullptr;
    const BreachedPasswords* breached = nullptr;
    BlockingPool* pool = nullptr;  // Where `breached` is looked up.
  };

  Accounts(Options options, Dependencies dependencies) : options_(std::move(options)), dependencies_(dependencies) {}

  struct Registration {
    std::string login;
    Secret password;
    std::string display_name;  // The login when empty.
    std::string request_id;    // The same one again, with the same login and password, returns the
                               // first answer.
  };
  // PERMISSION_DENIED `REGISTRATION_CLOSED`; ALREADY_EXISTS `LOGIN_TAKEN`; INVALID_ARGUMENT
  // `LOGIN_INVALID`, `PASSWORD_TOO_SHORT`, `PASSWORD_TOO_LONG`, `PASSWORD_BREACHED`, `DISPLAY_NAME_INVALID`; where
  // registration is closed, UNAUTHENTICATED for the token of `call` too.
  Awaitable<absl::StatusOr<User>> Register(const rpc::CallContext& call, const Registration& registration);

  // NOT_FOUND `USER_NOT_FOUND`: also for another user, unless the caller may read all.
  absl::StatusOr<User> Get(const rpc::CallContext& call, std::string_view id);
  absl::StatusOr<std::vector<User>> ListAcrossUsers(std::string_view after, int limit);

  // Absent fields stay. A user who becomes disabled loses his sessions.
  struct Change {
    std::optional<std::string> display_name;
    std::optional<bool> disabled;
    std::optional<std::vector<std::string>> roles;
  };
  // NOT_FOUND `USER_NOT_FOUND`; INVALID_ARGUMENT `ROLE_UNKNOWN`, `DISPLAY_NAME_INVALID`.
  Awaitable<absl::StatusOr<User>> Update(const rpc::CallContext& call, std::string_view id, const Change& change);

  // NOT_FOUND `USER_NOT_FOUND`.
  Awaitable<absl::Status> Delete(const rpc::CallContext& call, std::string_view id);

  // UNAUTHENTICATED `CREDENTIALS_INVALID`; RESOURCE_EXHAUSTED `SIGN_IN_THROTTLED`: a stolen access
  // token is no way to guess the password; INVALID_ARGUMENT as in Register.
  Awaitable<absl::Status> ChangePassword(const rpc::CallContext& call, const Secret& current, const Secret& next);

  // Gives a user who has lost his password a new one, revokes all his sessions, and lets him in at once if he had to
  // pause. NOT_FOUND `USER_NOT_FOUND`; INVALID_ARGUMENT as in Register.
  Awaitable<absl::Status> ResetPassword(const rpc::CallContext& call, std::string_view id, const Secret& next);

 private:
  static absl::Status ValidateNames(const Registration& registration);
  // Its length, and that attackers do not try it first.
  Awaitable<absl::Status> ValidatePassword(const std::string& login, const Secret& password) const;
  absl::StatusOr<Credentials> Find(std::string_view id);
  // Who creates users where registration is closed. The call is anonymous, so its token has not
  // been looked at yet.
  absl::StatusOr<UserContext> RequireAdministrator(const rpc::CallContext& call) const;
  // The first answer to a registration that is repeated; LOGIN_TAKEN for any other.
  Awaitable<absl::StatusOr<User>> AnswerAgain(const Registration& registration, absl::Status taken);

  const Options options_;
  const Dependencies dependencies_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_ACCOUNTS_H_
