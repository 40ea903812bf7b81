// Checks an exported audit log, without the database and its keys.
#ifndef SERVICES_AUTH_AUDIT_EXPORT_H_
#define SERVICES_AUTH_AUDIT_EXPORT_H_

#include <cstdint>
#include <istream>
#include <optional>
#include <string>

namespace bulkhead::auth {

// A place in the chain that is known from elsewhere: the end of an earlier export, or what VerifyAuditLog told and somebody noted.
struct AuditAnchor {
  uint64_t sequence = 0;
  std::string hash;  // 32 bytes; empty where only the sequence is known.
};

struct AuditExportCheck {
  bool intact = true;
  uint64_t records = 0;             // That hold, from the first one on.
  uint64_t first_bad_sequence = 0;  // 0 when intact.
  std::string
      problem;  // Which begins with "changed", "removed", "reordered", "repeated", "truncated", "rewritten" or "unreadable".
  AuditAnchor end;  // The last record that holds: the anchor of the next export.
};

// Recomputes the chain of `lines`: JSON Lines, each an AuditRecord as the gateway writes it, oldest first, all of them. They
// begin with the first record, or with the one after `after`. `head` shows whether the end is missing, and whether somebody has
// computed the whole chain anew, which no chain shows by itself; records behind it are taken as written since.
AuditExportCheck VerifyAuditExport(std::istream& lines, const std::optional<AuditAnchor>& after = std::nullopt,
                                   const std::optional<AuditAnchor>& head = std::nullopt);

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_AUDIT_EXPORT_H_
