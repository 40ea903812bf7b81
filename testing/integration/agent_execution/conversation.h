// Conversations for tests: threads, and runs in them that say something and know what was said before.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_CONVERSATION_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_CONVERSATION_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/agent/v1/thread_service.pb.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {

constexpr agent::v1::BusyPolicy kRefuse = agent::v1::BUSY_POLICY_REFUSE;
constexpr agent::v1::BusyPolicy kQueue = agent::v1::BUSY_POLICY_QUEUE;
constexpr agent::v1::BusyPolicy kInterrupt = agent::v1::BUSY_POLICY_INTERRUPT;
constexpr agent::v1::BusyPolicy kReplace = agent::v1::BUSY_POLICY_CANCEL_AND_REPLACE;

// The agent `talker`: asks for the history, stops at as many gates (approvals) as its input says, and answers with what it
// was told to say and what it knows of the conversation. With {"fail": "<reason>"} it fails instead.
agent::AgentFactory Talker();
// Its input.
nlohmann::json Say(std::string text, int gates = 0);
// What it knew, oldest first: what was said, and the reason of what failed.
std::vector<std::string> PastOf(const agent::v1::Run& run);

// ada and bob, who talk with one place for each: nothing here may need a second one.
absl::StatusOr<std::unique_ptr<Harness>> TalkingPlatform();

// --- threads; their names ---
struct ThreadOptions {
  std::string title;
  std::string request_id;
};
absl::StatusOr<std::string> NewThread(User& user, agent::v1::BusyPolicy policy = agent::v1::BUSY_POLICY_UNSPECIFIED,
                                      const ThreadOptions& options = {});
absl::StatusOr<agent::v1::Thread> GetThread(User& user, const std::string& thread);
absl::Status DeleteThread(User& user, const std::string& thread);
// The names of its runs, newest first.
absl::StatusOr<std::vector<std::string>> RunsIn(User& user, const std::string& thread);

// --- runs of `talker` in a thread; their names ---
struct TalkOptions {
  agent::v1::BusyPolicy policy = agent::v1::BUSY_POLICY_UNSPECIFIED;
  std::string request_id;
  int timeout_seconds = 0;
};
absl::StatusOr<std::string> Talk(User& user, const std::string& thread, const nlohmann::json& input,
                                 const TalkOptions& options = {});
// One with a gate, when it stands there.
absl::StatusOr<std::string> TalkToTheGate(User& user, const std::string& thread, std::string text,
                                          const TalkOptions& options = {});
// Opens the gate at which the run stands, or will.
absl::Status OpenGate(User& user, const std::string& run);
// The run as it ended. FAILED_PRECONDITION `RUN_DID_NOT_SUCCEED` with state and error when it did otherwise.
absl::StatusOr<agent::v1::Run> WaitForSuccess(User& user, const std::string& run);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_CONVERSATION_H_
