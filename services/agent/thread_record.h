// What is known of a thread, a conversation, as plain data.
#ifndef SERVICES_AGENT_THREAD_RECORD_H_
#define SERVICES_AGENT_THREAD_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/agent/run_record.h"

namespace bulkhead::agent {

// What happens to a run that is started while others of its thread have not ended. The numbers are those of
// bulkhead.agent.v1.BusyPolicy; they are stored.
enum class BusyPolicy {
  kUnspecified = 0,       // The thread's own; of a thread: kRefuse.
  kRefuse = 1,            // It is not made.
  kQueue = 2,             // It waits until they have ended.
  kInterrupt = 3,         // They are held back until it has ended.
  kCancelAndReplace = 4,  // They are cancelled, and it begins when they have ended.
};

struct ThreadRecord {
  int64_t key = 0;  // In the store.
  std::string id;   // "thread-..."
  std::string owner;
  std::string title;
  BusyPolicy busy_policy = BusyPolicy::kUnspecified;
  absl::Time create_time;

  std::string name() const { return "users/" + owner + "/threads/" + id; }
};

// What a new run did to the earlier ones of its thread, as they are now.
struct Displaced {
  std::vector<RunRecord> held_back;
  std::vector<RunRecord> cancelled;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_THREAD_RECORD_H_
