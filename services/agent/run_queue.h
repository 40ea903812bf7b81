// Whose turn it is: fair between users by their weights, bounded by quotas.
#ifndef SERVICES_AGENT_RUN_QUEUE_H_
#define SERVICES_AGENT_RUN_QUEUE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace bulkhead::agent {

// Users take turns, and one of weight 3 gets three turns for each one of weight 1; within one user, first come, first served. A user
// with a thousand waiting runs delays another's first run by no more than the turn that is on: who comes, or comes back from his limit,
// is neither behind those who wait nor owed the turns that he did not ask for. (Stride scheduling.) Not thread-safe.
class RunQueue {
 public:
  struct Limits {
    int max_running = 64;  // All users together.
    int max_running_per_user = 4;
  };
  struct Entry {
    std::string user;
    std::string run;
    int weight = 1;        // 1 to 1000; that of the user's next run counts.
    bool resumes = false;  // Of Next: it had a place before, and asked for one again.
  };

  explicit RunQueue(Limits limits) : limits_(limits) {}

  void Enqueue(Entry entry);
  // A run that gave its place back (Finished) wants one again. It goes before those of its user that have not begun.
  void EnqueueResuming(Entry entry);
  // The next run to start, which counts as running from now on; nullopt when none waits or may
  // start.
  std::optional<Entry> Next();
  // A run that Next gave has ended, or gives its place back while it waits for something.
  void Finished(std::string_view user);
  // Takes a waiting run out. False when it does not wait.
  bool Remove(std::string_view user, std::string_view run);

  int running() const { return running_; }
  int waiting() const { return waiting_; }

 private:
  struct User {
    std::deque<Entry> waiting;  // Those that resume come first.
    int running = 0;
    // When his next turn is, on the queue's own scale; a turn moves it by a stride, which is shorter for larger weights.
    int64_t pass = 0;
    uint64_t order = 0;     // Among users with the same pass: who asked first.
    bool eligible = false;  // In turns_.
    bool idle() const { return running == 0 && waiting.empty(); }
  };
  using Users = std::map<std::string, User, std::less<>>;

  void Add(Entry entry, bool first);
  // Puts him among those who may get a turn, or takes him out, as his runs and his limit say.
  void Update(Users::iterator user);
  // Forgets those without runs whose next turn would be now: they are as if never seen.
  void ForgetIdle();

  const Limits limits_;
  int running_ = 0;
  int waiting_ = 0;
  int64_t now_ = 0;  // The pass of the last turn: nobody who asks later is before it.
  uint64_t orders_ = 0;
  Users users_;
  std::set<std::tuple<int64_t, uint64_t, std::string>> turns_;  // Pass, order, user.
  std::set<std::pair<int64_t, std::string>> idle_;  // Pass, user: those without runs who are remembered still.
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_QUEUE_H_
