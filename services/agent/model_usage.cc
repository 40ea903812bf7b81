#include "services/agent/model_usage.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"

namespace bulkhead::agent {
namespace {

using storage::Connection;
using storage::Row;

constexpr absl::Duration kWindow = absl::Hours(24);

absl::Status Exceeded(std::string_view what, std::string_view window, int64_t used, int64_t limit,
                      std::optional<absl::Duration> retry_after) {
  std::map<std::string, std::string> metadata = {
      {"limit", absl::StrCat(limit)}, {"used", absl::StrCat(used)}, {"window", std::string(window)}};
  if (retry_after.has_value()) {
    metadata["retry_after"] = absl::FormatDuration(*retry_after);
  }
  return MakeError(absl::StatusCode::kResourceExhausted, what,
                   {.domain = "bulkhead.agent",
                    .reason = "MODEL_TOKENS_EXCEEDED",
                    .metadata = std::move(metadata),
                    .retry_after = retry_after});
}

int64_t WindowStart(absl::Time now) { return absl::ToUnixMicros(now - kWindow); }

// How long until enough of the window has passed for less than `limit` to be in it.
absl::StatusOr<absl::Duration> Wait(Connection& connection, const std::string& user, int64_t used, int64_t limit,
                                    absl::Time now) {
  absl::Time until = now;
  RETURN_IF_ERROR(connection.Query("SELECT time, tokens FROM model_usage WHERE owner = ? AND time > ? ORDER BY time",
                                   {user, WindowStart(now)}, [&](const Row& row) {
                                     if (used >= limit) {
                                       used -= row.Int(1);
                                       until = absl::FromUnixMicros(row.Int(0)) + kWindow;
                                     }
                                     return absl::OkStatus();
                                   }));
  return std::max(until - now, absl::ZeroDuration());
}

}  // namespace

absl::Status AddModelUse(Connection& connection, int64_t run, const ModelUse& use) {
  RETURN_IF_ERROR(
      connection.Execute("UPDATE runs SET model_tokens = model_tokens + ? WHERE key = ?", {use.tokens, run}).status());
  RETURN_IF_ERROR(
      connection
          .Execute("INSERT INTO model_usage (owner, time, tokens) SELECT owner, ?, ? FROM runs WHERE key = ?",
                   {absl::ToUnixMicros(use.time), use.tokens, run})
          .status());
  return connection
      .Execute("DELETE FROM model_usage WHERE owner = (SELECT owner FROM runs WHERE key = ?) AND time <= ?",
               {run, WindowStart(use.time)})
      .status();
}

absl::Status ModelBudget::CheckUser(std::string_view user, absl::Time now) const {
  const std::string owner(user);
  int64_t used = 0;
  absl::Duration wait;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Query("SELECT coalesce(sum(tokens), 0) FROM model_usage WHERE owner = ? AND time > ?",
                                     {owner, WindowStart(now)}, [&used](const Row& row) {
                                       used = row.Int(0);
                                       return absl::OkStatus();
                                     }));
    if (used >= limits_.tokens_per_day) {
      ASSIGN_OR_RETURN(wait, Wait(connection, owner, used, limits_.tokens_per_day, now));
    }
    return absl::OkStatus();
  }));
  if (used < limits_.tokens_per_day) {
    return absl::OkStatus();
  }
  return Exceeded(absl::StrCat("the user's model calls of the last 24 hours have used ", used, " tokens, and ",
                               limits_.tokens_per_day, " are allowed"),
                  "24h", used, limits_.tokens_per_day, wait);
}

absl::Status ModelBudget::CheckRun(int64_t run) const {
  int64_t used = 0;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) {
    return connection.Query("SELECT model_tokens FROM runs WHERE key = ?", {run}, [&used](const Row& row) {
      used = row.Int(0);
      return absl::OkStatus();
    });
  }));
  return used < limits_.tokens_per_run ? absl::OkStatus() : RunTokensExceeded(used, limits_.tokens_per_run);
}

absl::Status RunTokensExceeded(int64_t used, int64_t limit) {
  return Exceeded(absl::StrCat("the run's model calls have used ", used, " tokens, and ", limit, " are allowed"), "run",
                  used, limit, std::nullopt);
}

}  // namespace bulkhead::agent
