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
  // `prefix`: "" or "3.0.". `stop` ends what waits in this context.
  Context(Execution* execution, std::string prefix, std::stop_source stop)
      : execution_(execution), prefix_(std::move(prefix)), stop_(std::move(stop)) {}

  // Each takes its place when it is called, not when it is awaited: that is program order, whatever
  // runs in parallel.
  Awaitable<void> Think(std::string text) override { return DoThink(Next(), std::move(text)); }
  Awaitable<absl::StatusOr<nlohmann::json>> CallTool(std::string tool, nlohmann::json input) override {
    return execution_->CallTool(Next(), std::move(tool), std::move(input));
  }
  Awaitable<absl::StatusOr<std::vector<ToolDescription>>> DescribeTools(std::vector<std::string> tools) override {
    return execution_->DescribeTools(Next(), std::move(tools));
  }
  Awaitable<absl::StatusOr<ModelReply>> CallModel(ModelRequest request) override {
    return execution_->CallModel(Next(), std::move(request));
  }
  Awaitable<absl::Time> Now() override { return DoNow(Next()); }
  Awaitable<uint64_t> Random() override { return DoRandom(Next()); }
  Awaitable<std::string> NewId(std::string prefix) override { return DoNewId(Next(), std::move(prefix)); }
  Awaitable<absl::Status> Sleep(absl::Duration duration) override { return execution_->Sleep(Next(), duration); }
  Awaitable<absl::StatusOr<ApprovalDecision>> RequestApproval(ApprovalRequest request) override {
    return DoRequestApproval(Next(), std::move(request));
  }

  Awaitable<absl::StatusOr<Answer>> RunAgent(std::string agent, nlohmann::json input) override {
    return execution_->RunAgent(Next(), std::move(agent), std::move(input));
  }

  Awaitable<std::vector<PastRun>> History() override { return execution_->History(Next()); }

  Awaitable<bool> Patched(std::string name) override {
    if (auto known = execution_->patches_.find(name); known != execution_->patches_.end()) {
      return Known(known->second);
    }
    const std::string command = absl::StrCat("patch ", name);
    auto found = execution_->entries_.find(absl::StrCat(prefix_, next_));
    // A run that was here before the change did something else then; the question has no place in its journal.
    const bool fresh = found == execution_->entries_.end() || found->second.command == command;
    execution_->patches_[std::move(name)] = fresh;
    return fresh ? DoPatched(Next(), command) : Ready(false);
  }

  const std::string& user() const override { return execution_->run_.owner; }
  const std::string& name() const override { return execution_->name_; }
  std::stop_token stop() const override { return stop_.get_token(); }

 protected:
  Awaitable<void> RunGroup(std::vector<Branch> branches, int max_parallel) override {
    return DoRunGroup(Next(), std::move(branches), max_parallel);
  }
  Awaitable<size_t> RunContest(Contest contest, std::vector<Contender> contenders, int max_parallel) override {
    return DoRunContest(Next(), contest, std::move(contenders), max_parallel);
  }

 private:
  struct GroupEnd {
    std::exception_ptr thrown;  // By the first branch that did.
  };
  struct Group {
    std::vector<Branch> branches;
    std::vector<std::unique_ptr<Context>> contexts;
    boost::asio::any_io_executor executor;
    Execution* execution = nullptr;
    size_t max_parallel = 1;
    size_t next = 0;  // Those from here on have not begun.
    size_t running = 0;
    std::exception_ptr thrown;
    absl::AnyInvocable<void(GroupEnd)> done;
  };

  Place Next() { return {.path = absl::StrCat(prefix_, next_++), .misuse = Misuse(), .stop = stop_.get_token()}; }

  absl::Status Misuse() const {
    return !in_group_ ? absl::OkStatus()
                      : RunFailure(absl::StatusCode::kInternal, "PARALLEL_CONTEXT_MISUSED",
                                   "inside a parallel group, a branch uses the context that it is given",
                                   {{"place", prefix_}});
  }

  static Awaitable<bool> Ready(bool value) { co_return value; }

  // An agent that asks again and again, and nothing else, must come to its end too.
  Awaitable<bool> Known(bool value) {
    co_await execution_->StayIfNotGone();
    co_return value;
  }

  // Begins branches up to the limit; the last one's end resumes the group. A branch that is
  // destroyed lets go of the group, and so of the coroutine that waits for it.
  static void StartMore(const std::shared_ptr<Group>& group) {
    while (group->running < group->max_parallel && group->next < group->branches.size()) {
      const size_t index = group->next++;
      ++group->running;
      group->execution->Busy(+1);
      boost::asio::co_spawn(group->executor, group->branches[index](*group->contexts[index]),
                            [group](std::exception_ptr thrown) {
                              --group->running;
                              if (thrown != nullptr && group->thrown == nullptr) {
                                group->thrown = thrown;
                              }
                              StartMore(group);
                              group->execution->Busy(-1);
                            });
    }
    if (group->running == 0 && group->next >= group->branches.size() && group->done) {
      group->execution->Busy(+1);  // Who waits for the group goes on.
      std::exchange(group->done, nullptr)({.thrown = group->thrown});
    }
  }

  // Runs the branches of `group`, whose contexts are made, until all have ended.
  Awaitable<void> RunBranches(std::shared_ptr<Group> group, int max_parallel) {
    group->executor = co_await boost::asio::this_coro::executor;
    group->execution = execution_;
    group->max_parallel = static_cast<size_t>(std::max(1, max_parallel));
    in_group_ = true;
    GroupEnd end =
        co_await AwaitCallback<GroupEnd>([moved = std::move(group)](absl::AnyInvocable<void(GroupEnd)> done) mutable {
          // From here on its branches are its only owners.
          std::shared_ptr<Group> group = std::move(moved);
          group->done = std::move(done);
          StartMore(group);
          group->execution->Busy(-1);
        });
    in_group_ = false;
    if (end.thrown != nullptr) {
      std::rethrow_exception(end.thrown);
    }
  }

  Awaitable<void> DoRunGroup(Place place, std::vector<Branch> branches, int max_parallel) {
    const std::string path = place.path;
    co_await execution_->Value(
        std::move(place), absl::StrCat("parallel of ", branches.size()), [] { return nlohmann::json(); }, nullptr);
    if (branches.empty()) {
      co_return;
    }
    auto group = std::make_shared<Group>();
    group->branches = std::move(branches);
    for (size_t i = 0; i < group->branches.size(); ++i) {
      group->contexts.push_back(std::make_unique<Context>(execution_, absl::StrCat(path, ".", i, "."), stop_));
    }
    co_await RunBranches(std::move(group), max_parallel);
  }

  Awaitable<size_t> DoRunContest(Place place, Contest contest, std::vector<Contender> contenders, int max_parallel) {
    const size_t count = contenders.size();
    Entry* const entry =
        co_await execution_->Enter(place, absl::StrCat(contest == Contest::kAny ? "any of " : "race of ", count));
    // What the journal says: the index of the winner, or `count` when there was none.
    const bool decided = entry->result.has_value();
    size_t winner = decided ? entry->result->at("ok").get<size_t>() : count;
    if (decided && winner < count) {
      co_await execution_->SettleLosers(place.path, winner);
    } else if (!decided && !entry->intent.has_value()) {
      co_await execution_->JournalIntent(place.path, entry, {{"branches", count}});
    }

    auto group = std::make_shared<Group>();
    std::vector<std::stop_source> stops(count);
    std::vector<std::unique_ptr<std::stop_callback<std::function<void()>>>> links;
    for (size_t i = 0; i < count; ++i) {
      links.push_back(std::make_unique<std::stop_callback<std::function<void()>>>(
          stop_.get_token(), [stop = stops[i]]() mutable { stop.request_stop(); }));
      if (decided && winner < count && i != winner) {
        continue;
      }
      group->contexts.push_back(std::make_unique<Context>(execution_, absl::StrCat(place.path, ".", i, "."), stops[i]));
      group->branches.push_back([this, i, count, decided, entry, &place, &contenders, &winner, &stops,
                                 others = std::weak_ptr<Group>(group)](RunContext& branch) -> Awaitable<void> {
        const bool won = co_await contenders[i](branch);
        if (!won || decided || winner < count) {
          co_return;
        }
        winner = i;
        // Written before the others are stopped: what they make of it must not look like a win in a replay.
        co_await execution_->JournalResult(place.path, entry, {{"ok", i}}, {});
        if (std::shared_ptr<Group> group = others.lock()) {
          group->next = group->branches.size();
        }
        for (size_t other = 0; other < count; ++other) {
          if (other != i) {
            stops[other].request_stop();
          }
        }
      });
    }
    if (!group->branches.empty()) {
      co_await RunBranches(std::move(group), max_parallel);
    }
    if (!entry->result.has_value()) {
      co_await execution_->JournalResult(place.path, entry, {{"ok", winner}}, {});
    }
    co_return winner;
  }

  Awaitable<bool> DoPatched(Place place, std::string command) {
    co_await execution_->Value(std::move(place), std::move(command), [] { return nlohmann::json(); }, nullptr);
    co_return true;
  }

  Awaitable<void> DoThink(Place place, std::string text) {
    Execution* execution = execution_;
    co_await execution->Value(
        std::move(place), CommandText("think", text), [] { return nlohmann::json(); },
        [execution, text] { return execution->events_.Thinking(execution->dependencies_.clock->Now(), text); });
  }

  Awaitable<absl::Time> DoNow(Place place) {
    Clock* clock = execution_->dependencies_.clock;
    nlohmann::json micros = co_await execution_->Value(
        std::move(place), "now", [clock] { return absl::ToUnixMicros(clock->Now()); }, nullptr);
    co_return absl::FromUnixMicros(micros.get<int64_t>());
  }

  Awaitable<uint64_t> DoRandom(Place place) {
    nlohmann::json number = co_await execution_->Value(
        std::move(place), "random",
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

  Awaitable<std::string> DoNewId(Place place, std::string prefix) {
    IdGenerator* ids = execution_->dependencies_.ids;
    nlohmann::json id = co_await execution_->Value(
        std::move(place), absl::StrCat("id ", prefix), [ids, prefix] { return ids->NewId(prefix); }, nullptr);
    co_return id.get<std::string>();
  }

  Awaitable<absl::StatusOr<ApprovalDecision>> DoRequestApproval(Place place, ApprovalRequest request) {
    CO_ASSIGN_OR_RETURN(nlohmann::json decided, co_await execution_->Approve(std::move(place), std::move(request)));
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
  std::stop_source stop_;
  int next_ = 0;
  bool in_group_ = false;
};

std::unique_ptr<RunContext> Execution::NewContext() { return std::make_unique<Context>(this, "", stop_); }

}  // namespace bulkhead::agent
