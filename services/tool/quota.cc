#include "services/tool/quota.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"

namespace bulkhead::tool {
namespace {

// A user without a running call and with a full bucket is the same as one never seen. Looked for
// when there are this many.
constexpr size_t kUsersBeforeForgetting = 1024;

absl::Status Exceeded(std::string_view quota, int limit, absl::Duration retry_after) {
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat("at most ", limit, quota == "calls_per_minute" ? " tool calls a minute" : " tool calls at once"),
      {.domain = "bulkhead.tool",
       .reason = "TOOL_QUOTA_EXCEEDED",
       .metadata = {{"quota", std::string(quota)}, {"limit", absl::StrCat(limit)}},
       .retry_after = retry_after});
}

}  // namespace

double Quota::TokensAt(const Usage& usage, absl::Time now) const {
  const double refilled = absl::FDivDuration(now - usage.counted_at, absl::Minutes(1)) * options_.max_calls_per_minute;
  return std::min(static_cast<double>(options_.max_calls_per_minute), usage.tokens + std::max(refilled, 0.0));
}

absl::Status Quota::Begin(const std::string& user) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(mutex_);
  if (usage_.size() >= kUsersBeforeForgetting) {
    ForgetIdle();
  }
  Usage& usage = usage_
                     .try_emplace(user, Usage{.tokens = static_cast<double>(options_.max_calls_per_minute),
                                              .counted_at = now,
                                              .running = 0})
                     .first->second;
  usage.tokens = TokensAt(usage, now);
  usage.counted_at = now;
  if (usage.running >= options_.max_concurrent_calls) {
    return Exceeded("concurrent_calls", options_.max_concurrent_calls, absl::Seconds(1));
  }
  // A hair of tolerance: after exactly the time that was promised, rounding must not refuse.
  if (usage.tokens < 1 - 1e-6) {
    return Exceeded("calls_per_minute", options_.max_calls_per_minute,
                    absl::Minutes(1) * ((1 - usage.tokens) / options_.max_calls_per_minute));
  }
  usage.tokens -= 1;
  ++usage.running;
  return absl::OkStatus();
}

void Quota::End(const std::string& user) {
  absl::MutexLock lock(mutex_);
  --usage_.at(user).running;
}

void Quota::ForgetIdle() {
  const absl::Time now = clock_->Now();
  std::erase_if(usage_, [&](const auto& entry) {
    return entry.second.running == 0 && TokensAt(entry.second, now) >= options_.max_calls_per_minute;
  });
}

}  // namespace bulkhead::tool
