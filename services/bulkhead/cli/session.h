// One signed-in user at one gateway.
#ifndef SERVICES_BULKHEAD_CLI_SESSION_H_
#define SERVICES_BULKHEAD_CLI_SESSION_H_

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/bulkhead/cli/credentials.h"
#include "services/common/crypto/secret.h"
#include "services/gateway/client/gateway_client.h"

namespace bulkhead::cli {

// Calls the gateway and renews the access token when it has expired. Blocking; for one thread.
class Session {
 public:
  // Called with each new pair of tokens: the old pair is dead.
  using OnRenewed = absl::AnyInvocable<absl::Status(const Tokens&)>;

  // `client` outlives the session.
  Session(gateway::GatewayClient* client, Tokens tokens, OnRenewed on_renewed)
      : client_(client), tokens_(std::move(tokens)), on_renewed_(std::move(on_renewed)) {}

  static absl::Status Register(gateway::GatewayClient& client, std::string_view login, const Secret& password);
  static absl::StatusOr<Tokens> SignIn(gateway::GatewayClient& client, std::string_view login, const Secret& password);

  // The JSON of auth.v1.Tokens.
  static Tokens ParseTokens(const nlohmann::json& answer);

  // Format: users/{user}
  const std::string& user() const { return tokens_.user; }

  absl::StatusOr<nlohmann::json> Request(std::string_view method, std::string_view path, const nlohmann::json& body);
  absl::StatusOr<nlohmann::json> Upload(std::string_view path, const std::string& local_file,
                                        absl::FunctionRef<void(uint64_t, uint64_t)> on_progress);
  // Into a local file, whose folder is made.
  absl::Status Download(std::string_view path, const std::string& local_file);
  // The frames of a run until its end, or until `stop`. `on_frame` as in GatewayClient::WatchRun.
  absl::Status Watch(std::string_view run, uint64_t after, std::stop_token stop,
                     absl::FunctionRef<bool(const nlohmann::json&)> on_frame);

 private:
  // True when `status` says that the access token has ended and a new one was got.
  bool Renewed(const absl::Status& status);

  gateway::GatewayClient* client_;
  Tokens tokens_;
  OnRenewed on_renewed_;
};

// The run's own part of a run's name, or `run` itself when it is that. Also for tools and files.
std::string_view LastSegment(std::string_view name);

// `text` as a value in the query of a URL.
std::string EscapeQuery(std::string_view text);

// The path in the workspace of "users/u/files/charts/a.svg": "charts/a.svg".
std::string_view PathOfFile(std::string_view name);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_SESSION_H_
