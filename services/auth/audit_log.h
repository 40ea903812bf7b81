// The record of every security decision: append-only, hash-chained, its end sealed.
#ifndef SERVICES_AUTH_AUDIT_LOG_H_
#define SERVICES_AUTH_AUDIT_LOG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/audit_record.h"
#include "services/common/crypto/crypto.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/database.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// Thread-safe.
//
// The hash of a record covers the one before it, so a change breaks the chain. Rewriting the whole
// chain, or cutting off its end, would leave a chain that holds: therefore the last sequence and
// hash are also kept sealed, under a key that the database does not hold.
class AuditLog {
 public:
  // All pointers outlive the log. `database` has the tables of schema.h.
  AuditLog(storage::Database* database, const Clock* clock, const crypto::Sealer* sealer);

  // An entry about `action` on `resource`, with actor, user, request id and address of `call`.
  static AuditEntry Describe(const rpc::CallContext& call, std::string_view action, std::string_view resource);

  // Appends within the caller's transaction, so that a decision and its record become durable
  // together or not at all. DATA_LOSS `AUDIT_LOG_DAMAGED` when the sealed end cannot be opened:
  // nothing is decided without a record.
  absl::Status Append(storage::Connection& connection, const AuditEntry& entry);

  // Records, in a transaction of its own, that `entry` ended with `refusal` (not OK). Returns
  // `refusal`, or the error of the recording.
  Awaitable<absl::Status> Refuse(AuditEntry entry, absl::Status refusal);
  // The same, with `also` in that transaction.
  Awaitable<absl::Status> Refuse(AuditEntry entry, absl::Status refusal, storage::Database::WriteFunction also);

  // Whether `error` is a refusal, which is recorded, and no failure of our own, with which nothing was decided.
  static bool IsRefusal(const absl::Status& error);

  // Records an entry that goes with no other change.
  Awaitable<absl::Status> Record(AuditEntry entry);

  struct Filter {
    std::string user;    // All when empty.
    std::string action;  // All when empty.
    absl::Time start = absl::InfinitePast();
    absl::Time end = absl::InfiniteFuture();
  };
  // At most `limit` records after `after`, oldest first.
  absl::StatusOr<std::vector<AuditRecord>> ListAcrossUsers(const Filter& filter, uint64_t after, int limit);

  struct Verification {
    bool intact = true;
    uint64_t records = 0;
    uint64_t first_bad_sequence = 0;
    std::string problem;
    std::string head_hash;  // Of the last record, when intact.
  };
  // Recomputes the whole chain. Reads everything: on a thread that may block.
  absl::StatusOr<Verification> Verify();

 private:
  struct Head {
    uint64_t sequence = 0;
    std::string hash;
  };
  absl::StatusOr<Head> ReadHead(storage::Connection& connection);

  storage::Database* const database_;
  const Clock* const clock_;
  const crypto::Sealer* const sealer_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_AUDIT_LOG_H_
