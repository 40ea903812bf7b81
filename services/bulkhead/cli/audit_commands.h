// The commands about the audit log.
#ifndef SERVICES_BULKHEAD_CLI_AUDIT_COMMANDS_H_
#define SERVICES_BULKHEAD_CLI_AUDIT_COMMANDS_H_

#include <string>

#include "absl/status/status.h"
#include "services/bulkhead/cli/remote.h"

namespace bulkhead::cli {

struct AuditFilter {
  std::string user;    // As in UserPath; "" for all.
  std::string action;  // "session.sign_in"; "" for all.
  std::string since;   // RFC 3339; "" for all.
  std::string until;   // RFC 3339; "" for all.
  int limit = 100;
};

struct VerifyOptions {
  std::string file;   // An export; "-" for standard input; "" asks the server about its own log.
  std::string after;  // "SEQUENCE:HASH" that the export begins after; "" when it begins with the first record.
  std::string head;   // "SEQUENCE:HASH" that it must reach; "" when nobody noted one.
};

// Oldest first.
absl::Status ListAudit(const RemoteContext& context, const AuditFilter& filter);
// All records as JSON Lines, to `out` or, when that is "", to standard output.
absl::Status ExportAudit(const RemoteContext& context, const std::string& out);
// DATA_LOSS `AUDIT_NOT_INTACT` (metadata `sequence`) when a record was changed, removed, reordered or cut off. Needs no
// server for a file.
absl::Status VerifyAudit(const RemoteContext& context, const VerifyOptions& options);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_AUDIT_COMMANDS_H_
