// A platform in this process for the length of one command, on a data folder that may vanish with it.
#ifndef SERVICES_BULKHEAD_CLI_EMBEDDED_H_
#define SERVICES_BULKHEAD_CLI_EMBEDDED_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/session.h"
#include "services/bulkhead/platform.h"
#include "services/common/crypto/secret.h"
#include "services/gateway/client/gateway_client.h"

namespace bulkhead::cli {

// A user made for a demonstration.
struct DemoUser {
  std::string login;
  Secret password;
  std::unique_ptr<Session> session;
};

// Starts on loopback with the settings of one person's machine. Its end removes the data folder if that was temporary.
class Embedded {
 public:
  // `data_dir` "" takes a temporary one; `listen` as in the configuration.
  static absl::StatusOr<std::unique_ptr<Embedded>> Start(std::string data_dir, std::string listen);
  ~Embedded();

  const std::string& url() const { return client_->base_url(); }
  gateway::GatewayClient& client() { return *client_; }
  const std::string& data_dir() const { return data_dir_; }

  // Registers and signs in over HTTP, as anybody would, with a random password. ALREADY_EXISTS `LOGIN_TAKEN` on a data
  // folder that has him.
  absl::StatusOr<DemoUser> MakeUser(std::string login);

 private:
  Embedded() = default;

  std::string data_dir_;
  bool temporary_ = false;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<gateway::GatewayClient> client_;
};

// Downloads the files of a run's answer into `folder`, without the path that they share. Returns where each lies, the
// report first.
absl::StatusOr<std::vector<std::string>> SaveArtifacts(Session& session, const nlohmann::json& run,
                                                       const std::string& folder);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_EMBEDDED_H_
