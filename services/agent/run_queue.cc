#include "services/agent/run_queue.h"

#include <algorithm>
#include <utility>

namespace bulkhead::agent {

void RunQueue::Enqueue(Entry entry) {
  User& user = users_[entry.user];
  if (user.waiting.empty()) {
    turns_.push_back(entry.user);
  }
  user.waiting.push_back(std::move(entry.run));
  ++waiting_;
}

std::optional<RunQueue::Entry> RunQueue::Next() {
  if (running_ >= limits_.max_running) {
    return std::nullopt;
  }
  for (auto turn = turns_.begin(); turn != turns_.end(); ++turn) {
    User& user = users_[*turn];
    if (user.running >= limits_.max_running_per_user) {
      continue;  // Keeps its place for when one of its runs ends.
    }
    Entry entry{.user = *turn, .run = std::move(user.waiting.front())};
    user.waiting.pop_front();
    ++user.running;
    ++running_;
    --waiting_;
    turns_.erase(turn);
    if (!user.waiting.empty()) {
      turns_.push_back(entry.user);
    }
    return entry;
  }
  return std::nullopt;
}

void RunQueue::Finished(std::string_view user) {
  auto found = users_.find(user);
  if (found == users_.end() || found->second.running == 0) {
    return;
  }
  --found->second.running;
  --running_;
  ForgetIfIdle(found->first);
}

bool RunQueue::Remove(std::string_view user, std::string_view run) {
  auto found = users_.find(user);
  if (found == users_.end()) {
    return false;
  }
  std::deque<std::string>& waiting = found->second.waiting;
  auto place = std::find(waiting.begin(), waiting.end(), run);
  if (place == waiting.end()) {
    return false;
  }
  waiting.erase(place);
  --waiting_;
  if (waiting.empty()) {
    turns_.remove(found->first);
  }
  ForgetIfIdle(found->first);
  return true;
}

void RunQueue::ForgetIfIdle(const std::string& user) {
  auto found = users_.find(user);
  if (found->second.running == 0 && found->second.waiting.empty()) {
    users_.erase(found);
  }
}

}  // namespace bulkhead::agent
