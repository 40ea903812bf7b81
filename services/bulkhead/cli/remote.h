// What all commands share that speak to a running server.
#ifndef SERVICES_BULKHEAD_CLI_REMOTE_H_
#define SERVICES_BULKHEAD_CLI_REMOTE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/credentials.h"
#include "services/bulkhead/cli/interrupt.h"
#include "services/bulkhead/cli/session.h"
#include "services/common/crypto/secret.h"
#include "services/gateway/client/gateway_client.h"

namespace bulkhead::cli {

struct RemoteContext {
  Console* console;
  const Interrupt* interrupt;
  const CredentialsFile* credentials;
  std::string server;  // "http://127.0.0.1:8080"
};

// A client and a session whose tokens come from the credentials file and go back there.
struct SignedIn {
  std::unique_ptr<gateway::GatewayClient> client;
  std::unique_ptr<Session> session;
};

// UNAUTHENTICATED `NOT_SIGNED_IN`, and the other errors of CredentialsFile.
absl::StatusOr<SignedIn> Open(const RemoteContext& context);

// INVALID_ARGUMENT `INPUT_INVALID`.
absl::Status InputInvalid(std::string_view why);

// The first line of standard input, or what is typed after `prompt` without being shown. `INPUT_INVALID` when there is
// no terminal to ask at.
absl::StatusOr<Secret> ReadPassword(std::string_view prompt, bool from_stdin);

// All elements of `field`, page by page, at most `limit` of them. `query` is "" or begins with "&".
absl::StatusOr<nlohmann::json> ListAll(Session& session, const std::string& path, const std::string& query,
                                       const char* field, size_t limit);

// "2026-03-01 12:00:00" of a time in JSON, "-" when there is none.
std::string ShortTime(const nlohmann::json& object, const char* field);

// The text of `field`, printable; "-" when it has none.
std::string TextOf(const nlohmann::json& object, const char* field);

// The last parts of the names in the list `field`: "admin,member".
std::string LastSegmentsOf(const nlohmann::json& object, const char* field);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_REMOTE_H_
