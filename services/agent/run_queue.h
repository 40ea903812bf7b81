// Whose turn it is: fair between users, bounded by quotas.
#ifndef SERVICES_AGENT_RUN_QUEUE_H_
#define SERVICES_AGENT_RUN_QUEUE_H_

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::agent {

// Users take turns; within one user, first come, first served. A user with a thousand waiting runs
// delays another's first run by at most one turn. Not thread-safe.
class RunQueue {
 public:
  struct Limits {
    int max_running = 64;  // All users together.
    int max_running_per_user = 4;
  };
  struct Entry {
    std::string user;
    std::string run;
  };

  explicit RunQueue(Limits limits) : limits_(limits) {}

  void Enqueue(Entry entry);
  // The next run to start, which counts as running from now on; nullopt when none waits or may
  // start.
  std::optional<Entry> Next();
  // A run that Next gave has ended.
  void Finished(std::string_view user);
  // Takes a waiting run out. False when it does not wait.
  bool Remove(std::string_view user, std::string_view run);

  int running() const { return running_; }
  int waiting() const { return waiting_; }

 private:
  struct User {
    std::deque<std::string> waiting;
    int running = 0;
  };

  void ForgetIfIdle(const std::string& user);

  const Limits limits_;
  int running_ = 0;
  int waiting_ = 0;
  std::map<std::string, User, std::less<>> users_;
  std::list<std::string> turns_;  // Users with waiting runs; the first one's turn is next.
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_QUEUE_H_
