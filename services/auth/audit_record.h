// One record of the audit log, and how its hash is made.
#ifndef SERVICES_AUTH_AUDIT_RECORD_H_
#define SERVICES_AUTH_AUDIT_RECORD_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace bulkhead::auth {

// One decision, before it has a place in the chain. All strings are UTF-8.
struct AuditEntry {
  std::string user;      // users/{user}; "" when unknown.
  std::string actor;     // users/{user} or services/{service}; "" when anonymous.
  std::string action;    // "session.sign_in"
  std::string resource;  // A resource name or a permission.
  bool allowed = true;
  std::string reason;  // Of a refusal.
  std::string request_id;
  std::string address;
  // What else it was decided on: {"method": "password", "device": "Laptop"}.
  std::map<std::string, std::string> details = {};
};

struct AuditRecord {
  uint64_t sequence = 0;
  absl::Time time;  // In whole microseconds.
  AuditEntry entry;
  std::string hash;  // 32 bytes.
};

// What stands in the place of a hash before the first record: 32 zero bytes.
std::string AuditGenesisHash();

// SHA-256 over `previous_hash` and everything in `record` but its own hash. docs/auth.md says it to the byte, for those who check an export with other
// means: a change here breaks every log that was ever written.
std::string HashAuditRecord(std::string_view previous_hash, const AuditRecord& record);

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_AUDIT_RECORD_H_
