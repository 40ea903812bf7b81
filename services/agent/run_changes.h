// What executing a run leaves in its store, as plain data.
#ifndef SERVICES_AGENT_RUN_CHANGES_H_
#define SERVICES_AGENT_RUN_CHANGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/agent/model_usage.h"
#include "services/agent/run_record.h"
#include "services/agent/run_state.h"

namespace bulkhead::agent {

// Who executes a run: an append under an epoch that is not the run's is refused, so that a run has
// one owner.
struct Ownership {
  int64_t key = 0;
  int64_t epoch = 0;
};

// What one step of a run leaves behind, in one transaction.
struct Append {
  std::vector<JournalRecord> records;
  std::vector<std::string> events;
  int steps = 0;
  RunTiming timing;
  std::optional<ModelUse> model_use = {};  // Of the call whose result is among the records.
};

// How a run ended, as its engine sees it. One that is being cancelled becomes CANCELLED whatever
// this says.
struct Ending {
  RunState state = RunState::kFailed;
  std::string summary;  // Of the answer, and its files: for the event.
  std::vector<std::string> artifacts;
  std::optional<std::string> answer;  // JSON text.
  std::optional<RunError> error;
  absl::Time time;
  std::optional<RunTiming> timing;
};

// Why a run lost the right to go on.
struct RevokedBy {
  std::string target;  // "session" or "key".
  std::string reason;  // "USER_DISABLED"
};

// A run that was put away while it waited, and is taken up again by the process that did so: nothing has been lost.
struct Woken {
  bool asked = false;  // What it waited for: a person, or only time.
  absl::Time at;       // When that came.
};

// A run that was taken up, with all that it did before.
struct TakenUp {
  RunRecord run;
  std::vector<JournalRecord> journal;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_CHANGES_H_
