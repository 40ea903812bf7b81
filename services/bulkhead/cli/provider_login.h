// Signing in through an OpenID provider, in the user's browser.
#ifndef SERVICES_BULKHEAD_CLI_PROVIDER_LOGIN_H_
#define SERVICES_BULKHEAD_CLI_PROVIDER_LOGIN_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

// Prints the address to open, takes the provider's redirect on a loopback port of this machine (RFC 8252 section 7.3), and
// remembers the session like Login. DEADLINE_EXCEEDED `SIGN_IN_ABANDONED` when no redirect comes in ten minutes, which is
// as long as the server waits too.
absl::Status LoginWithProvider(const RemoteContext& context, const std::string& provider);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_PROVIDER_LOGIN_H_
