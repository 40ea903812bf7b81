// Sees every commit of this process, for crash tests: a test-only program that dies before or after the nth one needs no
// knob in the code that it tests.
#ifndef SERVICES_COMMON_STORAGE_TESTING_COMMIT_OBSERVER_H_
#define SERVICES_COMMON_STORAGE_TESTING_COMMIT_OBSERVER_H_

#include <functional>
#include <string_view>

namespace bulkhead::storage {

struct SeenCommit {
  std::string_view database;  // The file's name without its folder: "agent.db".
  // False: it is about to happen, and a process that dies now has not made it. True: it is durable, and nobody has
  // heard of it yet.
  bool done = false;
};

// Calls `observe` twice for each commit of a transaction that may write, on the thread that commits; databases are seen
// that are opened from now on. Once a process, before its other threads: SQLite knows the observer for good.
void ObserveCommits(std::function<void(const SeenCommit&)> observe);

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_TESTING_COMMIT_OBSERVER_H_
