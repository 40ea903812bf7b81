#include "services/auth/audit_record.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/crypto/crypto.h"

namespace bulkhead::auth {

std::string AuditGenesisHash() { return std::string(32, '\0'); }

std::string HashAuditRecord(std::string_view previous_hash, const AuditRecord& record) {
  // Each field has its length before it, so that no two records have the same bytes.
  std::string bytes;
  auto add = [&bytes](std::string_view field) { absl::StrAppend(&bytes, field.size(), ":", field); };
  add(previous_hash);
  add(absl::StrCat(record.sequence));
  add(absl::StrCat(absl::ToUnixMicros(record.time)));
  const AuditEntry& entry = record.entry;
  for (const std::string* field :
       {&entry.user, &entry.actor, &entry.action, &entry.resource, &entry.reason, &entry.request_id, &entry.address}) {
    add(*field);
  }
  add(entry.allowed ? "1" : "0");
  // Last, and nothing at all when empty: records from before there were details keep their hashes.
  for (const auto& [key, value] : entry.details) {
    add(key);
    add(value);
  }
  return crypto::Sha256(bytes);
}

}  // namespace bulkhead::auth
