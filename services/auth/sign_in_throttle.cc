#include "services/auth/sign_in_throttle.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"

namespace bulkhead::auth {
namespace {

std::string LoginKey(std::string_view login) { return absl::StrCat("login ", login); }
std::string AddressKey(std::string_view address) { return absl::StrCat("address ", address); }

}  // namespace

SignInThrottle::SignInThrottle(Options options, const Clock* clock)
    : options_(options), clock_(clock) {}

absl::Status SignInThrottle::Begin(std::string_view login, std::string_view address) {
  absl::MutexLock lock(mutex_);
  const absl::Time now = clock_->Now();
  const std::string login_key = LoginKey(login);
  const std::string address_key = AddressKey(address);
  absl::Duration wait = Remaining(login_key, options_.free_failures_by_login, now);
  if (!address.empty()) {
    wait = std::max(wait, Remaining(address_key, options_.free_failures_by_address, now));
  }
  if (wait > absl::ZeroDuration()) {
    return MakeError(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat("too many failed sign-ins: try again in ", absl::FormatDuration(wait)),
        {.domain = "bulkhead.auth",
         .reason = "SIGN_IN_THROTTLED",
         .metadata = {},
         .retry_after = wait});
  }
  Count(login_key, now);
  if (!address.empty()) {
    Count(address_key, now);
  }
  return absl::OkStatus();
}

void SignInThrottle::Succeed(std::string_view login, std::string_view address) {
  absl::MutexLock lock(mutex_);
  failures_.erase(LoginKey(login));
  // Whoever knows one password must not wipe out what his address failed at with other logins.
  auto it = failures_.find(AddressKey(address));
  if (it != failures_.end() && --it->second.count <= 0) {
    failures_.erase(it);
  }
}

absl::Duration SignInThrottle::PauseAfter(int failures, int free) const {
  absl::Duration pause = options_.first_pause;
  for (int i = free; i < failures && pause < options_.longest_pause; ++i) {
    pause *= 2;
  }
  return std::min(pause, options_.longest_pause);
}

absl::Duration SignInThrottle::Remaining(const std::string& key, int free, absl::Time now) {
  auto it = failures_.find(key);
  if (it == failures_.end()) {
    return absl::ZeroDuration();
  }
  if (now - it->second.last >= options_.forget_after) {
    failures_.erase(it);
    return absl::ZeroDuration();
  }
  if (it->second.count < free) {
    return absl::ZeroDuration();
  }
  return it->second.last + PauseAfter(it->second.count, free) - now;
}

void SignInThrottle::Count(const std::string& key, absl::Time now) {
  if (failures_.size() >= options_.capacity && !failures_.contains(key)) {
    MakeRoom(now);
  }
  Failures& failures = failures_[key];
  ++failures.count;
  failures.last = now;
}

void SignInThrottle::MakeRoom(absl::Time now) {
  absl::erase_if(failures_, [&](const auto& entry) {
    return now - entry.second.last >= options_.forget_after;
  });
  if (failures_.size() < options_.capacity) {
    return;
  }
  // A tenth at once, so that a flood of invented logins does not pay for a scan each.
  std::vector<std::pair<absl::Time, std::string>> by_age;
  by_age.reserve(failures_.size());
  for (const auto& [key, failures] : failures_) {
    by_age.emplace_back(failures.last, key);
  }
  const size_t drop = by_age.size() / 10 + 1;
  std::nth_element(by_age.begin(), by_age.begin() + (drop - 1), by_age.end());
  for (size_t i = 0; i < drop; ++i) {
    failures_.erase(by_age[i].second);
  }
}

}  // namespace bulkhead::auth
