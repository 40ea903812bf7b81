#include "services/agent/run_queue.h"

#include <algorithm>
#include <utility>

namespace bulkhead::agent {
namespace {

// Between two turns of a user of weight 1. Large against the largest weight, so that the strides' rounding does not show.
constexpr int64_t kStride = int64_t{1} << 20;

}  // namespace

void RunQueue::Enqueue(Entry entry) {
  entry.resumes = false;
  Add(std::move(entry), /*first=*/false);
}

void RunQueue::EnqueueResuming(Entry entry) {
  entry.resumes = true;
  Add(std::move(entry), /*first=*/true);
}

void RunQueue::Add(Entry entry, bool first) {
  auto user = users_.try_emplace(entry.user).first;
  idle_.erase({user->second.pass, user->first});
  std::deque<Entry>& waiting = user->second.waiting;
  // First of all, but behind those that asked for their places again before it.
  auto place = first ? std::ranges::find_if(waiting, [](const Entry& other) { return !other.resumes; }) : waiting.end();
  waiting.insert(place, std::move(entry));
  ++waiting_;
  Update(user);
}

std::optional<RunQueue::Entry> RunQueue::Next() {
  if (running_ >= limits_.max_running || turns_.empty()) {
    return std::nullopt;
  }
  auto found = users_.find(std::get<2>(*turns_.begin()));
  turns_.erase(turns_.begin());
  User& user = found->second;
  user.eligible = false;
  Entry entry = std::move(user.waiting.front());
  user.waiting.pop_front();
  now_ = user.pass;
  user.pass += kStride / std::clamp(entry.weight, 1, 1000);
  user.order = ++orders_;
  ++user.running;
  ++running_;
  --waiting_;
  Update(found);
  ForgetIdle();
  return entry;
}

void RunQueue::Finished(std::string_view user) {
  auto found = users_.find(user);
  if (found == users_.end() || found->second.running == 0) {
    return;
  }
  --found->second.running;
  --running_;
  Update(found);
}

bool RunQueue::Remove(std::string_view user, std::string_view run) {
  auto found = users_.find(user);
  if (found == users_.end()) {
    return false;
  }
  std::deque<Entry>& waiting = found->second.waiting;
  auto place = std::ranges::find(waiting, run, &Entry::run);
  if (place == waiting.end()) {
    return false;
  }
  waiting.erase(place);
  --waiting_;
  Update(found);
  return true;
}

void RunQueue::Update(Users::iterator found) {
  User& user = found->second;
  const bool eligible = !user.waiting.empty() && user.running < limits_.max_running_per_user;
  if (eligible != user.eligible) {
    if (eligible) {
      // The turns that he could not use, or did not want, are gone.
      if (user.pass < now_ || user.order == 0) {
        user.pass = std::max(user.pass, now_);
        user.order = ++orders_;
      }
      turns_.emplace(user.pass, user.order, found->first);
    } else {
      turns_.erase({user.pass, user.order, found->first});
    }
    user.eligible = eligible;
  }
  if (user.idle()) {
    idle_.emplace(user.pass, found->first);
    ForgetIdle();
  }
}

void RunQueue::ForgetIdle() {
  while (!idle_.empty() && idle_.begin()->first <= now_) {
    users_.erase(users_.find(idle_.begin()->second));
    idle_.erase(idle_.begin());
  }
}

}  // namespace bulkhead::agent
