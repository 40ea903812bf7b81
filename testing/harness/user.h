// What a user of the platform does, as verbs.
#ifndef TESTING_HARNESS_USER_H_
#define TESTING_HARNESS_USER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/auth/v1/audit_service.pb.h"
#include "bulkhead/auth/v1/session_service.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "bulkhead/tool/v1/file_service.pb.h"
#include "bulkhead/tool/v1/tool_service.pb.h"
#include "nlohmann/json_fwd.hpp"
#include "services/common/identity/token.h"
#include "testing/base/wait.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc
namespace bulkhead::gateway {
class GatewayClient;
}

namespace bulkhead::testing {

class Harness;

struct StartRunOptions {
  absl::Duration timeout = absl::ZeroDuration();  // Zero takes the configured one.
  std::string request_id;                         // "" makes none.
};

// A signed-in user who calls the services directly, as the gateway does for him. Runs are named as the platform does,
// "users/u/runs/r". Each call has a generous deadline of real time. Thread-safe but for the verbs of sign-in.
class User {
 public:
  const std::string& login() const { return login_; }
  const std::string& password() const { return password_; }
  // "users/{user}", and the id alone.
  const std::string& name() const { return name_; }
  std::string id() const;
  // "users/{user}/sessions/{session}"
  const std::string& session() const { return session_; }
  const RawToken& token() const { return access_token_; }
  const std::string& refresh_token() const { return refresh_token_; }

  // A new session, used from now on.
  absl::Status SignIn();
  // Trades the refresh token for new ones.
  absl::Status Refresh();

  // --- runs ---
  // `agent` as "analyst". Returns the run's name.
  absl::StatusOr<std::string> StartRun(std::string_view agent, const nlohmann::json& input,
                                       StartRunOptions options = {});
  absl::StatusOr<agent::v1::Run> GetRun(std::string_view run);
  absl::StatusOr<std::vector<agent::v1::Run>> ListRuns();
  absl::StatusOr<agent::v1::Run> CancelRun(std::string_view run, std::string_view comment = "");
  // Follows the run's events to the last one and returns the run as it ended.
  absl::StatusOr<agent::v1::Run> WaitForRun(std::string_view run, absl::Duration guard = kWaitGuard);
  // Asks until the run is in the state, as "RUN_STATE_AWAITING_APPROVAL".
  absl::StatusOr<agent::v1::Run> WaitForState(std::string_view run, std::string_view state,
                                              absl::Duration guard = kWaitGuard);
  // The oldest approval that waits for a decision.
  absl::StatusOr<agent::v1::Approval> WaitForApproval(std::string_view run, absl::Duration guard = kWaitGuard);
  absl::StatusOr<agent::v1::Approval> Decide(const agent::v1::Approval& approval, bool allow,
                                             std::string_view request_id = "");

  // --- events ---
  // The `nth` event of `type` ("tool_completed"), from the log or live, transient ones included when they are live.
  // DEADLINE_EXCEEDED `WAIT_TIMED_OUT`, or FAILED_PRECONDITION `EVENT_NEVER_CAME` when the run ended without it:
  // "waiting for tool_completed; saw agent_started, agent_failed".
  absl::StatusOr<notifier::v1::Event> WaitForEvent(std::string_view run, std::string_view type, int nth = 1,
                                                   absl::Duration guard = kWaitGuard);
  // The durable events in the log now.
  absl::StatusOr<std::vector<notifier::v1::Event>> EventsOf(std::string_view run);
  // Their types.
  absl::StatusOr<std::vector<std::string>> EventTypesOf(std::string_view run);

  // --- tools ---
  // The output of the tool ("table.load"). `request_id` is the idempotency key.
  absl::StatusOr<nlohmann::json> InvokeTool(std::string_view tool, const nlohmann::json& input,
                                            std::string_view request_id = "");
  // The whole answer.
  absl::StatusOr<tool::v1::Invocation> Invoke(std::string_view tool, const nlohmann::json& input,
                                              std::string_view request_id = "");
  absl::StatusOr<std::vector<tool::v1::Tool>> ListTools(std::string_view query = "");

  // --- files of the workspace; `path` as "data/sales.csv" ---
  absl::StatusOr<tool::v1::File> UploadFile(std::string_view path, std::string_view content);
  absl::StatusOr<std::string> ReadFile(std::string_view path);
  absl::StatusOr<std::vector<std::string>> ListFiles(std::string_view prefix = "");

  // --- the gateway ---
  // JSON over HTTP with this user's token.
  absl::StatusOr<nlohmann::json> Http(std::string_view method, std::string_view path, const nlohmann::json& body);
  // A client to the gateway as it is now; WatchRun and raw requests are there.
  absl::StatusOr<std::unique_ptr<gateway::GatewayClient>> NewGatewayClient();

  // Puts token and deadline into the context of a call that the test makes with a stub.
  void Authorize(grpc::ClientContext& context, absl::Duration deadline = kWaitGuard) const;
  std::shared_ptr<grpc::Channel> ChannelTo(std::string_view service) const;

 private:
  friend class Harness;
  User(Harness* harness, std::string login, std::string password);
  absl::Status Register();
  void Keep(const auth::v1::Tokens& tokens);

  Harness* harness_;
  std::string login_;
  std::string password_;
  std::string name_;
  std::string session_;
  RawToken access_token_;
  std::string refresh_token_;
};

// The same with any token; an empty one is not sent.
void AuthorizeWith(grpc::ClientContext& context, std::string_view token, absl::Duration deadline = kWaitGuard);

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_USER_H_
