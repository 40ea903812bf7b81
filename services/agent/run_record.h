// What is known of a run, as plain data.
#ifndef SERVICES_AGENT_RUN_RECORD_H_
#define SERVICES_AGENT_RUN_RECORD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/agent/run_state.h"

namespace bulkhead::agent {

// Why a run did not succeed.
struct RunError {
  std::string reason;
  std::string message;
  std::string domain;
  std::map<std::string, std::string> metadata;

  // UNSPECIFIED_ERROR when `status` carries no reason.
  static RunError Of(const absl::Status& status);
};

// Where the time of a run went; the parts don't overlap.
struct RunTiming {
  absl::Duration queued;
  absl::Duration agent;
  absl::Duration tools;
  absl::Duration journal;
  absl::Duration approval;
  absl::Duration sleep;
  absl::Duration interrupted;
  absl::Duration children;
  absl::Duration model;

  absl::Duration Total() const {
    return queued + agent + tools + journal + approval + sleep + interrupted + children + model;
  }
};

struct RunRecord {
  int64_t key = 0;  // In this store; runs are listed by it, newest first.
  std::string id;   // "run-..."
  std::string owner;
  std::string session;
  std::string agent;
  std::string agent_version;
  RunState state = RunState::kPending;
  std::string input;                  // JSON text, like the next.
  std::optional<std::string> answer;  // {"summary", "artifacts", "data"}
  std::optional<RunError> error;
  absl::Time create_time;
  std::optional<absl::Time> start_time;
  std::optional<absl::Time> end_time;
  absl::Time deadline;
  int steps = 0;
  int recoveries = 0;
  RunTiming timing;
  int64_t epoch = 0;  // Of its current owner: grows each time it is taken up.
  std::string sealed_token;
  std::string traceparent;
  std::string request_id;
  std::optional<absl::Time> interrupt_time;  // Since when it is held back.
  std::string parent;                        // The id of the run that started it, or "".
  int64_t definition = 0;  // The version of a user's definition that it executes; 0: a linked-in agent.
  std::string roles;       // Of its user when it was made, with spaces between: what its children may see.
  std::string thread;      // The id of its conversation, or "".
  std::string waits_for;   // While it is PENDING behind another run of its thread: the id of that one.
  std::string held_by;     // While a newer run of its thread holds it back: the id of that one.

  int64_t model_tokens = 0;  // That its model calls have used.

  std::string name() const { return "users/" + owner + "/runs/" + id; }
};

// One line of a run's journal. A command is an intent, when it has an effect that a crash could
// leave in doubt, then its result.
struct JournalRecord {
  enum class Kind {
    kIntent = 1,     // About to be done.
    kExecuting = 2,  // A tool has accepted the call, or a child run is made: its event is out.
    kResult = 3,     // Done: replays get the payload.
  };
  std::string path;  // Its place in the program: "3", or "3.0.1" inside of a parallel group.
  int step = 0;      // Its number in the order of beginning, from 1; for people.
  Kind kind = Kind::kResult;
  std::string command;  // What it was, as "tool table.load#9f86d081884c": the same command has the
                        // same text.
  std::string payload;  // JSON text.
};

// A question to a person.
struct ApprovalRecord {
  std::string id;  // "approval-..."
  std::string run;
  std::string path;  // Of the command that waits for it.
  int step = 0;
  std::string command;
  std::string question;
  std::string tool;
  std::string arguments;  // JSON text.
  std::string call_hash;  // SHA-256 of tool and arguments.
  absl::Time create_time;
  absl::Time expire_time;

  enum class Verdict { kPending = 0, kAllow = 1, kDeny = 2, kExpired = 3 };
  Verdict verdict = Verdict::kPending;
  std::string comment;
  std::optional<std::string> edited_arguments;
  std::string decided_by;
  std::optional<absl::Time> decide_time;
  std::string request_id;  // The decision's, or "".
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_RECORD_H_
