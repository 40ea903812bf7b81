// The account of somebody who signs in through a provider for the first time.
#ifndef SERVICES_AUTH_OIDC_SIGN_UP_H_
#define SERVICES_AUTH_OIDC_SIGN_UP_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/oidc/id_token.h"
#include "services/auth/user_store.h"
#include "services/common/ids/id_generator.h"
#include "services/common/storage/connection.h"

namespace bulkhead::auth::oidc {

// A login made of what the provider tells: at least 3, at most 40 of [a-z0-9._-]. Never an e-mail address, which would look like a proof.
std::string LoginFrom(const IdTokenClaims& claims, std::string_view provider);

// Makes a member without a password. His login is one that nobody has, and that promises nothing: not `reserved_login`, not "admin" and the like.
absl::StatusOr<User> CreateMember(storage::Connection& connection, const IdTokenClaims& claims,
                                  std::string_view provider, std::string_view reserved_login, IdGenerator* ids,
                                  absl::Time now);

}  // namespace bulkhead::auth::oidc

#endif  // SERVICES_AUTH_OIDC_SIGN_UP_H_
