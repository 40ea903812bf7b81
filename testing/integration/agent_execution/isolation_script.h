// What a user of a platform does, drawn from a seed, and what he sees of it.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_ISOLATION_SCRIPT_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_ISOLATION_SCRIPT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json_fwd.hpp"
#include "testing/harness/user.h"
#include "testing/integration/agent_execution/belongings.h"
#include "testing/integration/agent_execution/transcript.h"
#include "testing/integration/websocket/event_socket.h"

namespace bulkhead::testing {

// The same for a seed and a login, whoever else is there. For one thread.
class UserScript {
 public:
  // Everything outlives this.
  UserScript(User* user, Belongings* belongings, uint64_t seed);

  size_t size() const { return acts_.size(); }
  // The next act. Only what does not depend on the time that things take is looked at.
  void Act();
  bool done() const { return next_ == acts_.size(); }

  // All that the user saw.
  const Transcript& transcript() const { return transcript_; }

 private:
  // Makes a request of the gateway and writes down request and answer.
  nlohmann::json Http(std::string_view method, std::string_view path, const nlohmann::json& body);
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
  Transcript transcript_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_ISOLATION_SCRIPT_H_
