// What a user of a platform does, drawn from a seed, and what he sees of it.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_ISOLATION_SCRIPT_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_ISOLATION_SCRIPT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "nlohmann/json_fwd.hpp"
#include "services/agent/agent.h"
#include "services/tool/tool.h"
#include "testing/harness/user.h"
#include "testing/integration/websocket/event_socket.h"

namespace bulkhead::testing {

// Names of what users have, for others to try. Thread-safe.
class Belongings {
 public:
  // `kind`: "run", "approval" or "thread".
  void Add(std::string_view kind, const std::string& user, const std::string& name);
  // The last of that kind of anybody but `user`; "" when there is none.
  std::string OfAnother(std::string_view kind, const std::string& user) const;

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, std::map<std::string, std::string>, std::less<>> names_ ABSL_GUARDED_BY(mutex_);
};

// The same for a seed and a login, whoever else is there. For one thread.
class UserScript {
 public:
  // Everything outlives this.
  UserScript(User* user, Belongings* belongings, uint64_t seed);

  size_t size() const { return acts_.size(); }
  // The next act. Only what does not depend on the time that things take is looked at.
  void Act();
  bool done() const { return next_ == acts_.size(); }

  // All that the user saw, a line each; random ids are replaced by the order in which they came up.
  const std::vector<std::string>& transcript() const { return transcript_; }
  // The random ids that came up, as they were.
  const std::vector<std::string>& ids() const { return ids_; }

 private:
  // Makes a request of the gateway and writes down request and answer.
  nlohmann::json Http(std::string_view method, std::string_view path, const nlohmann::json& body);
  void Write(std::string_view what, std::string seen);
  std::string Anonymous(std::string text);
  // The name of another's thing, or where nobody else is, one like it.
  std::string Foreign(std::string_view kind);

  void StartAndFollow(const nlohmann::json& request);
  void WriteRun(const std::string& run);
  void RunChain();
  void RunCareful();
  void BeginSleep();
  void StartSleeper();
  void CancelSleep();
  void Fail();
  void ListRuns();
  void UseFiles();
  void UseTables();
  void TryForeign();
  void HitQuota();
  void RepeatRequest();
  void DeleteARun();
  void DefineAgent();
  void ListThings();
  // Opens the user's socket, which stays, and defines the agent of his that is a model.
  void Arrive();
  void Converse();
  void ListThreads();
  void KeepThreadBusy();
  void AskModels();
  void WatchOverSocket();
  void TryForeignThread();
  // What comes over the user's socket unasked: nothing should.
  void Listen();

  // The name of a new thread.
  std::string MakeThread(std::string_view policy);
  void Subscribe(const std::string& run);
  // Of a command sent over the socket.
  void WriteReply(std::string_view what, const absl::StatusOr<notifier::v1::Reply>& reply);

  User* const user_;
  Belongings* const belongings_;
  const uint64_t seed_;
  uint64_t drawn_ = 0;
  uint64_t Draw(uint64_t below);

  std::unique_ptr<EventSocket> socket_;
  std::vector<void (UserScript::*)()> acts_;
  size_t next_ = 0;
  std::vector<std::string> asleep_;
  std::vector<std::string> ended_;
  std::map<std::string, std::string> aliases_;  // Of ids that are not his.
  std::vector<std::string> transcript_;
  std::vector<std::string> ids_;
};

// What the scripts need of the platform.
std::vector<agent::AgentFactory> ScriptAgents();
std::vector<std::shared_ptr<tool::Tool>> ScriptTools();

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_ISOLATION_SCRIPT_H_
