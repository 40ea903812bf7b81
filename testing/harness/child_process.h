// A program run by a test.
#ifndef TESTING_HARNESS_CHILD_PROCESS_H_
#define TESTING_HARNESS_CHILD_PROCESS_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "testing/base/wait.h"

namespace bulkhead::testing {

// Its output is read as it comes. Thread-safe.
class ChildProcess {
 public:
  struct Options {
    std::string program;
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;  // All of it: nothing is inherited.
    std::string folder;                              // Where it runs; the test's own when empty.
    std::string input;                               // Its standard input.
    // Runs in this folder as the root of the file system: needs the rights to, or user namespaces.
    std::string root;
  };

  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(Options options);
  ~ChildProcess();  // Kills it if it still runs.

  // The first line of standard output that contains `text`. DEADLINE_EXCEEDED `WAIT_TIMED_OUT`, with all output, after
  // the guard, or when the program has ended.
  absl::StatusOr<std::string> WaitForLine(std::string_view text, absl::Duration guard = kWaitGuard);
  // The exit code, or 128 + the signal that killed it.
  absl::StatusOr<int> WaitForExit(absl::Duration guard = kWaitGuard);
  void Signal(int signal);

  std::string output() const;
  std::string errors() const;

 private:
  ChildProcess() = default;
  void Read(int file, std::string ChildProcess::* into);

  int pid_ = 0;
  mutable absl::Mutex mutex_;
  std::string output_ ABSL_GUARDED_BY(mutex_);
  std::string errors_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_) = 2;  // Of the two outputs.
  int exit_code_ ABSL_GUARDED_BY(mutex_) = -1;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

// Runs a program to its end. The exit code and outputs.
struct Finished {
  int exit_code = -1;
  std::string output;
  std::string errors;
};
absl::StatusOr<Finished> RunToEnd(ChildProcess::Options options, absl::Duration guard = kWaitGuard);

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_CHILD_PROCESS_H_
