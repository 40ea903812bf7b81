// One run of the rich agent by a client that is told nothing: its server dies at a given point, is started again, and
// goes on to the end.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_RUN_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_RUN_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/common/identity/token.h"

namespace bulkhead::testing {

// A data folder in which a user is signed in.
struct CrashHome {
  std::string folder;
  RawToken token;
};
// Makes one in `folder`, which exists, with a server that lives.
absl::StatusOr<CrashHome> MakeCrashHome(const std::string& folder);

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
  std::string run;                   // "users/u/runs/r"
  nlohmann::json ended;              // The run as it answers at the end.
  std::vector<nlohmann::json> seen;  // Events, as the subscriber got them.
  std::map<std::string, std::vector<nlohmann::json>> logs;  // Events of all runs, by name, as the log has them.
  std::vector<JournalRow> journal;                          // Of all runs, in the order of writing.
  std::vector<std::string> effects;                         // Lines of the effect log.
  int outbox = 0;                                           // Events that never left.
  int dead_letters = 0;
};

// Where servers die.
struct CrashPlan {
  std::string place;   // As testing/harness/crash/server.cc has them; "" nowhere.
  int64_t nth = 0;     // At so manyth passing of it.
  bool again = false;  // Not only the first server: each, until one gets to the end.
};

// Begins with a copy of `home` in `folder`. Errors: those of a server that does not do as it should.
absl::StatusOr<CrashOutcome> RunAndCrash(const CrashHome& home, const std::string& folder, const CrashPlan& plan);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_CRASH_RUN_H_
