#include "services/auth/sign_in_throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kKeyBytes = 16;
constexpr size_t kNetworkBytes = 8;

// A hash: of one length whatever was typed, and no list of people and addresses in the table.
std::string Key(std::string_view kind, std::string_view value) {
  return crypto::Sha256(absl::StrCat(kind, " ", value)).substr(0, kKeyBytes);
}

std::string LoginKey(std::string_view login) { return Key("login", login); }

std::string AddressKey(std::string_view address) {
  in6_addr ipv6;
  if (inet_pton(AF_INET6, std::string(address).c_str(), &ipv6) != 1) {
    return Key("address", address);
  }
  const std::string_view bytes(reinterpret_cast<const char*>(ipv6.s6_addr), sizeof(ipv6.s6_addr));
  if (IN6_IS_ADDR_V4MAPPED(&ipv6) != 0) {
    char ipv4[INET_ADDRSTRLEN];
    return Key("address", inet_ntop(AF_INET, bytes.substr(12).data(), ipv4, sizeof(ipv4)));
  }
  return Key("network", bytes.substr(0, kNetworkBytes));
}

}  // namespace

SignInThrottle::SignInThrottle(Options options, const Clock* clock) : options_(options), clock_(clock) {}

absl::Status SignInThrottle::Restore(storage::Database& database) {
  const absl::Time now = clock_->Now();
  absl::flat_hash_map<std::string, Failures> saved;
  RETURN_IF_ERROR(database.Read([&](storage::Connection& connection) -> absl::Status {
    return connection.Query("SELECT key, count, last FROM sign_in_failures WHERE last > ? ORDER BY last DESC LIMIT ?",
                            {absl::ToUnixMicros(now - options_.forget_after), static_cast<int64_t>(options_.capacity)},
                            [&](const storage::Row& row) {
                              // A clock that was set back must not make anybody wait for it.
                              saved[row.Blob(0)] = {.count = static_cast<int>(row.Int(1)),
                                                    .last = std::min(absl::FromUnixMicros(row.Int(2)), now)};
                              return absl::OkStatus();
                            });
  }));
  absl::MutexLock lock(mutex_);
  failures_ = std::move(saved);
  return absl::OkStatus();
}

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
    for (const std::string& key : {login_key, address_key}) {
      if (auto it = failures_.find(key); it != failures_.end()) {
        ++it->second.refused;
      }
    }
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat("too many failed sign-ins: try again in ", absl::FormatDuration(wait)),
                     {.domain = "bulkhead.auth", .reason = "SIGN_IN_THROTTLED", .metadata = {}, .retry_after = wait});
  }
  Count(login_key, now);
  if (!address.empty()) {
    Count(address_key, now);
  }
  return absl::OkStatus();
}

int SignInThrottle::Refused(std::string_view login, std::string_view address) {
  absl::MutexLock lock(mutex_);
  int refused = 0;
  for (const std::string& key : {LoginKey(login), AddressKey(address)}) {
    if (auto it = failures_.find(key); it != failures_.end()) {
      refused = std::max(refused, it->second.refused);
    }
  }
  return refused;
}

bool SignInThrottle::IsWorthRecording(int refused) {
  return refused <= 0 || std::has_single_bit(static_cast<unsigned>(refused));
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

absl::Status SignInThrottle::Save(storage::Connection& connection, std::string_view login, std::string_view address) {
  RETURN_IF_ERROR(SaveKey(connection, LoginKey(login)));
  if (!address.empty()) {
    RETURN_IF_ERROR(SaveKey(connection, AddressKey(address)));
  }
  absl::Time forgotten = clock_->Now() - options_.forget_after;
  {
    absl::MutexLock lock(mutex_);
    forgotten = std::max(forgotten, forgotten_);
  }
  return connection.Execute("DELETE FROM sign_in_failures WHERE last <= ?", {absl::ToUnixMicros(forgotten)}).status();
}

absl::Status SignInThrottle::SaveKey(storage::Connection& connection, const std::string& key) {
  std::optional<Failures> failures;
  {
    absl::MutexLock lock(mutex_);
    if (auto it = failures_.find(key); it != failures_.end()) {
      failures = it->second;
    }
  }
  if (!failures.has_value()) {
    return connection.Execute("DELETE FROM sign_in_failures WHERE key = ?", {storage::Blob{key}}).status();
  }
  return connection
      .Execute(
          "INSERT INTO sign_in_failures (key, count, last) VALUES (?, ?, ?) "
          "ON CONFLICT (key) DO UPDATE SET count = excluded.count, last = excluded.last",
          {storage::Blob{key}, int64_t{failures->count}, absl::ToUnixMicros(failures->last)})
      .status();
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
  failures.refused = 0;
}

void SignInThrottle::MakeRoom(absl::Time now) {
  absl::erase_if(failures_, [&](const auto& entry) { return now - entry.second.last >= options_.forget_after; });
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
  forgotten_ = by_age[drop - 1].first;
}

}  // namespace bulkhead::auth
