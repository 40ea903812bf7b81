// One run by a client that is told nothing: its server dies at a given point, is started again, and goes on to the end.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_RUN_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_RUN_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"
#include "testing/harness/inference_server.h"

namespace bulkhead::testing {

// What the user does with the session in which he starts the run; he has another one, in which he watches.
enum class SessionUse {
  kSame,       // It is that one.
  kRefreshed,  // He signs in for the run, and takes new tokens before he answers what it asks.
  kRevoked,    // He signs in for the run, and ends that session instead of answering.
};

// What is run.
struct CrashScenario {
  std::string agent = "agents/rich";
  nlohmann::json definition;  // Of that agent, when it has no code.
  nlohmann::json input = nlohmann::json::object();
  SessionUse session = SessionUse::kSame;
  InferenceServer* model = nullptr;  // Behind the model "small", which there is unless null. Outlives all runs.
};

// A data folder in which a user, and an administrator, are signed in, and the scenario's agent is defined.
struct CrashHome {
  std::string folder;
  RawToken token;
  RawToken administrator;
};
// Makes one in `folder`, which exists, with a server that lives.
absl::StatusOr<CrashHome> MakeCrashHome(const std::string& folder, const CrashScenario& scenario);

struct JournalRow {
  std::string run;  // The id.
  std::string path;
  int step = 0;
  int kind = 0;  // 1 intent, 2 executing, 3 result.
  std::string command;
  nlohmann::json payload;
};

struct CrashOutcome {
  int deaths = 0;
  bool died_in_doubt = false;        // At one of them the journal had the intent of effect.pay, and no result.
  bool asked = false;                // The user was asked what became of effect.pay.
  bool denied = false;               // And did not want it called again, because it had happened.
  bool session_lost = false;         // The new tokens were lost with a server: asking again ended the session.
  bool token_lives = false;          // The last token of the run's session is taken after the run's end.
  std::string run;                   // "users/u/runs/r"
  nlohmann::json ended;              // The run as it answers at the end.
  std::vector<nlohmann::json> seen;  // Events, as the subscriber got them.
  std::map<std::string, std::vector<nlohmann::json>> logs;  // Events of all runs, by name, as the log has them.
  std::vector<JournalRow> journal;                          // Of all runs, in the order of writing.
  std::vector<std::string> effects;                         // Lines of the effect log.
  int64_t tokens_of_user = 0;                               // Of models, as counted for the user's day.
  int model_requests = 0;                                   // That came to the endpoint.
  nlohmann::json audit;                                     // What the verification of the audit log says.
  int outbox = 0;                                           // Events that never left.
  int dead_letters = 0;
};

// Where servers die.
struct CrashPlan {
  // As testing/harness/crash/server.cc has them; "model before" and "model within" while the endpoint answers the nth request; "" nowhere.
  std::string place;
  int64_t nth = 0;     // At so manyth passing of it.
  bool again = false;  // Not only the first server: each, until one gets to the end.
};

// Begins with a copy of `home` in `folder`. Errors: those of a server that does not do as it should.
absl::StatusOr<CrashOutcome> RunAndCrash(const CrashHome& home, const CrashScenario& scenario,
                                         const std::string& folder, const CrashPlan& plan);

// Of the types of events: with it a run ends.
bool IsTerminal(std::string_view type);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_RUN_H_
