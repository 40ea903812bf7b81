#include "services/gateway/ticket_store.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"

namespace bulkhead::gateway {
namespace {

constexpr size_t kTicketBytes = 32;

}  // namespace

absl::StatusOr<std::string> TicketStore::Issue(std::string_view user, std::shared_ptr<const RawToken> token) {
  std::string ticket = absl::WebSafeBase64Escape(crypto::RandomBytes(kTicketBytes));
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(mutex_);
  std::erase_if(tickets_, [now](const auto& entry) { return entry.second.expires <= now; });
  const auto mine =
      std::count_if(tickets_.begin(), tickets_.end(), [user](const auto& entry) { return entry.second.user == user; });
  if (mine >= options_.max_per_user) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat("there are ", mine, " unused tickets already; use one, or wait until they expire"),
                     {.domain = "bulkhead.gateway", .reason = "TOO_MANY_TICKETS", .retry_after = options_.lifetime});
  }
  tickets_[ticket] = Ticket{.user = std::string(user), .token = std::move(token), .expires = now + options_.lifetime};
  return ticket;
}

absl::StatusOr<std::shared_ptr<const RawToken>> TicketStore::Redeem(std::string_view ticket) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(mutex_);
  auto found = tickets_.find(ticket);
  if (found == tickets_.end() || found->second.expires <= now) {
    return MakeError(absl::StatusCode::kUnauthenticated, "the ticket is unknown, was used, or has expired",
                     {.domain = "bulkhead.gateway", .reason = "TICKET_INVALID"});
  }
  std::shared_ptr<const RawToken> token = std::move(found->second.token);
  tickets_.erase(found);
  return token;
}

}  // namespace bulkhead::gateway
