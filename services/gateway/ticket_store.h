// Tickets: what a browser opens a WebSocket with, since it cannot set its Authorization header.
#ifndef SERVICES_GATEWAY_TICKET_STORE_H_
#define SERVICES_GATEWAY_TICKET_STORE_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/common/identity/token.h"
#include "services/common/time/clock.h"

namespace bulkhead::gateway {

// A ticket stands for an access token, once and for a short time: in the query of a URL, where proxies log it, it is
// worth nothing afterwards. Thread-safe.
class TicketStore {
 public:
  struct Options {
    absl::Duration lifetime = absl::Seconds(30);
    int max_per_user = 16;  // Unused ones.
  };

  // `clock` outlives the store.
  TicketStore(Options options, const Clock* clock) : options_(options), clock_(clock) {}

  // 256 random bits, base64url. RESOURCE_EXHAUSTED `TOO_MANY_TICKETS`.
  absl::StatusOr<std::string> Issue(std::string_view user, std::shared_ptr<const RawToken> token);

  // The token, and never again. UNAUTHENTICATED `TICKET_INVALID`: unknown, used or expired.
  absl::StatusOr<std::shared_ptr<const RawToken>> Redeem(std::string_view ticket);

  absl::Duration lifetime() const { return options_.lifetime; }

 private:
  struct Ticket {
    std::string user;
    std::shared_ptr<const RawToken> token;
    absl::Time expires;
  };

  const Options options_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  std::map<std::string, Ticket, std::less<>> tickets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_TICKET_STORE_H_
