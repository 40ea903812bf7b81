#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/this_coro.hpp"
#include "services/agent/execution.h"
#include "services/agent/journal_text.h"
#include "services/agent/run_failure.h"
#include "services/common/crypto/crypto.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {

// A place in the program: the run itself, or one branch of a parallel group.
class Execution::Context final : public RunContext {
 public:
  // `prefix`: "" or "3.0.".
  Context(Execution* execution, std::string prefix) : execution_(execution), prefix_(std::move(prefix)) {}

  // Each takes its place when it is called, not when it is awaited: that is program order, whatever
  // runs in parallel.
  Awaitable<void> Think(std::string text) override { return DoThink(NextPath(), Misuse(), std::move(text)); }

  Awaitable<absl::StatusOr<nlohmann::json>> CallTool(std::string tool, nlohmann::json input) override {
    return execution_->CallTool(NextPath(), Misuse(), std::move(tool), std::move(input));
  }

  Awaitable<absl::Time> Now() override { return DoNow(NextPath(), Misuse()); }
  Awaitable<uint64_t> Random() override { return DoRandom(NextPath(), Misuse()); }
  Awaitable<std::string> NewId(std::string prefix) override { return DoNewId(NextPath(), Misuse(), std::move(prefix)); }
  Awaitable<absl::Status> Sleep(absl::Duration duration) override {
    return execution_->Sleep(NextPath(), Misuse(), duration);
  }
  Awaitable<absl::StatusOr<ApprovalDecision>> RequestApproval(ApprovalRequest request) override {
    return DoRequestApproval(NextPath(), Misuse(), std::move(request));
  }

  const std::string& user() const override { return execution_->run_.owner; }
  const std::string& name() const override { return execution_->name_; }
  std::stop_token stop() const override { return execution_->stop_.get_token(); }

 protected:
  Awaitable<void> RunGroup(std::vector<Branch> branches, int max_parallel) override {
    return DoRunGroup(NextPath(), Misuse(), std::move(branches), std::max(1, max_parallel));
  }

 private:
  struct GroupEnd {
    std::exception_ptr thrown;  // By the first branch that did.
  };
  struct Group {
    std::vector<Branch> branches;
    std::vector<std::unique_ptr<Context>> contexts;
    boost::asio::any_io_executor executor;
    size_t max_parallel = 1;
    size_t next = 0;
    size_t running = 0;
    std::exception_ptr thrown;
    absl::AnyInvocable<void(GroupEnd)> done;
  };

  std::string NextPath() { return absl::StrCat(prefix_, next_++); }

  absl::Status Misuse() const {
    return !in_group_ ? absl::OkStatus()
                      : RunFailure(absl::StatusCode::kInternal, "PARALLEL_CONTEXT_MISUSED",
                                   "inside All, a branch of several operations uses the context that it is given",
                                   {{"place", prefix_}});
  }

  // Begins branches up to the limit; the last one's end resumes the group. A branch that is
  // destroyed lets go of the group, and so of the coroutine that waits for it.
  static void StartMore(const std::shared_ptr<Group>& group) {
    while (group->running < group->max_parallel && group->next < group->branches.size()) {
      const size_t index = group->next++;
      ++group->running;
      boost::asio::co_spawn(group->executor, group->branches[index](*group->contexts[index]),
                            [group](std::exception_ptr thrown) {
                              --group->running;
                              if (thrown != nullptr && group->thrown == nullptr) {
                                group->thrown = thrown;
                              }
                              StartMore(group);
                            });
    }
    if (group->running == 0 && group->next == group->branches.size() && group->done) {
      std::exchange(group->done, nullptr)({.thrown = group->thrown});
    }
  }

  Awaitable<void> DoRunGroup(std::string path, absl::Status misuse, std::vector<Branch> branches, int max_parallel) {
    const size_t count = branches.size();
    co_await execution_->Value(
        path, misuse, absl::StrCat("parallel of ", count), [] { return nlohmann::json(); }, nullptr);
    if (count == 0) {
      co_return;
    }
    auto group = std::make_shared<Group>();
    group->branches = std::move(branches);
    for (size_t i = 0; i < count; ++i) {
      group->contexts.push_back(std::make_unique<Context>(execution_, absl::StrCat(path, ".", i, ".")));
    }
    group->executor = co_await boost::asio::this_coro::executor;
    group->max_parallel = static_cast<size_t>(max_parallel);
    in_group_ = true;
    GroupEnd end =
        co_await AwaitCallback<GroupEnd>([moved = std::move(group)](absl::AnyInvocable<void(GroupEnd)> done) mutable {
          // From here on its branches are its only owners.
          std::shared_ptr<Group> group = std::move(moved);
          group->done = std::move(done);
          StartMore(group);
        });
    in_group_ = false;
    if (end.thrown != nullptr) {
      std::rethrow_exception(end.thrown);
    }
  }

  Awaitable<void> DoThink(std::string path, absl::Status misuse, std::string text) {
    Execution* execution = execution_;
    co_await execution->Value(
        std::move(path), std::move(misuse), CommandText("think", text), [] { return nlohmann::json(); },
        [execution, text] { return execution->events_.Thinking(execution->dependencies_.clock->Now(), text); });
  }

  Awaitable<absl::Time> DoNow(std::string path, absl::Status misuse) {
    Clock* clock = execution_->dependencies_.clock;
    nlohmann::json micros = co_await execution_->Value(
        std::move(path), std::move(misuse), "now", [clock] { return absl::ToUnixMicros(clock->Now()); }, nullptr);
    co_return absl::FromUnixMicros(micros.get<int64_t>());
  }

  Awaitable<uint64_t> DoRandom(std::string path, absl::Status misuse) {
    nlohmann::json number = co_await execution_->Value(
        std::move(path), std::move(misuse), "random",
        [] {
          uint64_t value = 0;
          for (char byte : crypto::RandomBytes(sizeof(value))) {
            value = value << 8 | static_cast<unsigned char>(byte);
          }
          return value;
        },
        nullptr);
    co_return number.get<uint64_t>();
  }

  Awaitable<std::string> DoNewId(std::string path, absl::Status misuse, std::string prefix) {
    IdGenerator* ids = execution_->dependencies_.ids;
    nlohmann::json id = co_await execution_->Value(
        std::move(path), std::move(misuse), absl::StrCat("id ", prefix), [ids, prefix] { return ids->NewId(prefix); },
        nullptr);
    co_return id.get<std::string>();
  }

  Awaitable<absl::StatusOr<ApprovalDecision>> DoRequestApproval(std::string path, absl::Status misuse,
                                                                ApprovalRequest request) {
    CO_ASSIGN_OR_RETURN(nlohmann::json decided,
                        co_await execution_->Approve(std::move(path), std::move(misuse), std::move(request)));
    const auto verdict = static_cast<ApprovalRecord::Verdict>(decided.at("verdict").get<int>());
    ApprovalDecision decision;
    decision.allowed = verdict == ApprovalRecord::Verdict::kAllow;
    decision.expired = verdict == ApprovalRecord::Verdict::kExpired;
    decision.comment = decided.value("comment", "");
    if (auto edited = decided.find("edited"); edited != decided.end()) {
      decision.edited_arguments = *edited;
    }
    co_return decision;
  }

  Execution* const execution_;
  const std::string prefix_;
  int next_ = 0;
  bool in_group_ = false;
};

std::unique_ptr<RunContext> Execution::NewContext() { return std::make_unique<Context>(this, ""); }

}  // namespace bulkhead::agent
