#include "testing/harness/child_process.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "absl/log/absl_check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/status/error.h"

namespace bulkhead::testing {
namespace {

// What the child says when it could not become the program.
constexpr int kExecFailed = 127;

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    int ends[2];
    ABSL_CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    read = ends[0];
    write = ends[1];
  }
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) {
    pointers.push_back(string.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void Become(const ChildProcess::Options& options, const char* program, char** arguments,
                         char** environment, int input, int output, int errors) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) {
    _exit(kExecFailed);
  }
  if (!options.root.empty()) {
    // Who may not becomes one who may, in a namespace of his own.
    if ((chroot(options.root.c_str()) != 0 && (unshare(CLONE_NEWUSER) != 0 || chroot(options.root.c_str()) != 0)) ||
        chdir("/") != 0) {
      _exit(kExecFailed);
    }
  }
  execve(program, arguments, environment);
  _exit(kExecFailed);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(Options options) {
  std::vector<std::string> arguments = options.arguments;
  arguments.insert(arguments.begin(), options.program);
  std::vector<std::string> environment;
  for (const auto& [name, value] : options.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  std::vector<char*> argument_pointers = Pointers(arguments);
  std::vector<char*> environment_pointers = Pointers(environment);
  const Pipe input;
  const Pipe output;
  const Pipe errors;
  const pid_t pid = fork();
  if (pid == 0) {
    Become(options, options.program.c_str(), argument_pointers.data(), environment_pointers.data(), input.read,
           output.write, errors.write);
  }
  const int error = errno;
  close(input.read);
  close(output.write);
  close(errors.write);
  if (pid < 0) {
    return MakeError(absl::StatusCode::kInternal, absl::StrCat("cannot fork: ", std::generic_category().message(error)),
                     {.domain = "bulkhead.testing", .reason = "CHILD_NOT_STARTED"});
  }
  auto child = std::unique_ptr<ChildProcess>(new ChildProcess());
  child->pid_ = pid;
  ChildProcess* self = child.get();
  child->threads_.emplace_back([self, file = output.read] { self->Read(file, &ChildProcess::output_); });
  child->threads_.emplace_back([self, file = errors.read] { self->Read(file, &ChildProcess::errors_); });
  child->threads_.emplace_back([self, pid] {
    siginfo_t info;
    while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    absl::MutexLock lock(self->mutex_);
    int status = 0;
    // Frees the id, under the lock: Signal never hits another process.
    waitpid(pid, &status, 0);
    self->exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    self->ended_ = true;
  });
  // Inputs of tests fit into a pipe's buffer.
  const ssize_t written = write(input.write, options.input.data(), options.input.size());
  close(input.write);
  ABSL_CHECK(written == static_cast<ssize_t>(options.input.size()));
  return child;
}

ChildProcess::~ChildProcess() {
  Signal(SIGKILL);
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void ChildProcess::Read(int file, std::string ChildProcess::* into) {
  char buffer[4096];
  while (true) {
    const ssize_t size = read(file, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) {
      continue;
    }
    absl::MutexLock lock(mutex_);
    if (size <= 0) {
      --open_;
      break;
    }
    (this->*into).append(buffer, static_cast<size_t>(size));
  }
  close(file);
}

absl::StatusOr<std::string> ChildProcess::WaitForLine(std::string_view text, absl::Duration guard) {
  std::string found;
  const absl::Status waited = WaitFor(
      mutex_,
      [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        for (const std::string_view line : absl::StrSplit(output_.substr(0, output_.rfind('\n') + 1), '\n')) {
          if (line.find(text) != std::string_view::npos) {
            found = line;
            return true;
          }
        }
        return open_ == 0;
      },
      absl::StrCat("the line \"", text, "\""),
      [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return absl::StrCat(output_, errors_); }, guard);
  if (waited.ok() && found.empty()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded,
                     absl::StrCat("the program ended without the line \"", text, "\"; saw ", output(), errors()),
                     {.domain = "bulkhead.testing", .reason = "WAIT_TIMED_OUT"});
  }
  return waited.ok() ? absl::StatusOr<std::string>(found) : waited;
}

absl::StatusOr<int> ChildProcess::WaitForExit(absl::Duration guard) {
  const absl::Status waited = WaitFor(
      mutex_, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ended_ && open_ == 0; }, "the end of the program",
      [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return absl::StrCat(output_, errors_); }, guard);
  if (!waited.ok()) {
    return waited;
  }
  absl::MutexLock lock(mutex_);
  return exit_code_;
}

void ChildProcess::Signal(int signal) {
  absl::MutexLock lock(mutex_);
  if (!ended_) {
    kill(pid_, signal);
  }
}

std::string ChildProcess::output() const {
  absl::MutexLock lock(mutex_);
  return output_;
}

std::string ChildProcess::errors() const {
  absl::MutexLock lock(mutex_);
  return errors_;
}

absl::StatusOr<Finished> RunToEnd(ChildProcess::Options options, absl::Duration guard) {
  absl::StatusOr<std::unique_ptr<ChildProcess>> child = ChildProcess::Start(std::move(options));
  if (!child.ok()) {
    return child.status();
  }
  const absl::StatusOr<int> exit_code = (*child)->WaitForExit(guard);
  if (!exit_code.ok()) {
    return exit_code.status();
  }
  return Finished{.exit_code = *exit_code, .output = (*child)->output(), .errors = (*child)->errors()};
}

}  // namespace bulkhead::testing
