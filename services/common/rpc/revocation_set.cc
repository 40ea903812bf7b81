#include "services/common/rpc/revocation_set.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"

namespace bulkhead::rpc {
namespace {

std::string SessionName(const TokenClaims& claims) {
  return claims.session.empty() ? "" : absl::StrCat("users/", claims.subject, "/sessions/", claims.session);
}

absl::Status Refusal(const Revocation& revocation) {
  const bool key = !revocation.key.empty();
  return MakeError(absl::StatusCode::kUnauthenticated,
                   key ? "the key that signed the token has been withdrawn: refresh, or sign in again"
                       : "the session has been revoked: sign in again",
                   {.domain = "bulkhead.auth",
                    .reason = key ? "TOKEN_KEY_REVOKED" : "SESSION_REVOKED",
                    .metadata = {{"cause", revocation.reason}}});
}

}  // namespace

bool FallsUnder(const TokenClaims& claims, const Revocation& revocation) {
  return revocation.key.empty() ? !revocation.session.empty() && SessionName(claims) == revocation.session
                                : claims.key_id == revocation.key;
}

RevocationSet::Watch::~Watch() {
  if (set_ != nullptr) {
    set_->Forget(place_);
  }
}

RevocationSet::Watch& RevocationSet::Watch::operator=(Watch&& other) noexcept {
  std::swap(set_, other.set_);
  std::swap(place_, other.place_);
  return *this;
}

const Revocation* RevocationSet::FindLocked(const TokenClaims& claims) const {
  // Almost always both are empty, and nothing is built to be looked up.
  if (!keys_.empty()) {
    if (auto found = keys_.find(claims.key_id); found != keys_.end()) {
      return &found->second;
    }
  }
  if (!sessions_.empty() && !claims.session.empty()) {
    if (auto found = sessions_.find(SessionName(claims)); found != sessions_.end()) {
      return &found->second;
    }
  }
  return nullptr;
}

absl::Status RevocationSet::Check(const TokenClaims& claims) const {
  absl::ReaderMutexLock lock(mutex_);
  const Revocation* found = FindLocked(claims);
  return found == nullptr ? absl::OkStatus() : Refusal(*found);
}

absl::Status RevocationSet::CheckKey(std::string_view key_id) const {
  absl::ReaderMutexLock lock(mutex_);
  auto found = keys_.find(key_id);
  return found == keys_.end() ? absl::OkStatus() : Refusal(found->second);
}

Revocation RevocationSet::Find(const TokenClaims& claims) const {
  absl::ReaderMutexLock lock(mutex_);
  const Revocation* found = FindLocked(claims);
  return found == nullptr ? Revocation() : *found;
}

RevocationSet::Watch RevocationSet::WatchToken(const UserContext& user, std::function<void()> on_revoked) {
  auto shared = std::make_shared<std::function<void()>>(std::move(on_revoked));
  std::list<Watch::Entry>::iterator place;
  bool revoked = false;
  {
    absl::MutexLock lock(mutex_);
    watches_.push_back({.user = user, .on_revoked = shared});
    place = std::prev(watches_.end());
    revoked = FindLocked(user.claims()) != nullptr;
  }
  if (revoked) {
    (*shared)();
  }
  return Watch(this, place);
}

void RevocationSet::Forget(std::list<Watch::Entry>::iterator place) {
  std::list<Watch::Entry> forgotten;  // Dies without the lock: what it holds may be large.
  absl::MutexLock lock(mutex_);
  forgotten.splice(forgotten.end(), watches_, place);
}

void RevocationSet::Subscribe(std::function<void(const Revocation&)> listener) {
  absl::MutexLock lock(mutex_);
  listeners_.push_back(std::make_shared<std::function<void(const Revocation&)>>(std::move(listener)));
}

std::vector<Revocation> RevocationSet::Known() const {
  std::vector<Revocation> known;
  absl::ReaderMutexLock lock(mutex_);
  for (const auto* map : {&sessions_, &keys_}) {
    for (const auto& [name, revocation] : *map) {
      known.push_back(revocation);
    }
  }
  return known;
}

void RevocationSet::Add(const Revocation& revocation) {
  std::vector<std::shared_ptr<std::function<void()>>> ended;
  std::vector<std::shared_ptr<std::function<void(const Revocation&)>>> listeners;
  {
    absl::MutexLock lock(mutex_);
    Prune(clock_->Now());
    const bool is_key = !revocation.key.empty();
    const std::string& name = is_key ? revocation.key : revocation.session;
    if (!(is_key ? keys_ : sessions_).emplace(name, revocation).second) {
      return;
    }
    if (!is_key) {
      expiries_.emplace(revocation.expires_at, name);
    }
    for (const Watch::Entry& watch : watches_) {
      if (FallsUnder(watch.user.claims(), revocation)) {
        ended.push_back(watch.on_revoked);
      }
    }
    listeners = listeners_;
  }
  for (const auto& on_revoked : ended) {
    (*on_revoked)();
  }
  for (const auto& listener : listeners) {
    (*listener)(revocation);
  }
}

void RevocationSet::Prune(absl::Time now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    sessions_.erase(expiries_.begin()->second);
    expiries_.erase(expiries_.begin());
  }
}

size_t RevocationSet::size() const {
  absl::ReaderMutexLock lock(mutex_);
  return sessions_.size() + keys_.size();
}

}  // namespace bulkhead::rpc
