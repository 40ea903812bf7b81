// Runs and approvals as rows of the tables.
#ifndef SERVICES_AGENT_RUN_ROWS_H_
#define SERVICES_AGENT_RUN_ROWS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "services/agent/run_record.h"
#include "services/common/storage/connection.h"

namespace bulkhead::agent {

// What RunOf and ApprovalOf read, in their order. Of runs, under that name: `SELECT ... FROM runs WHERE ...`.
extern const std::string_view kRunColumns;
extern const std::string_view kApprovalColumns;

RunRecord RunOf(const storage::Row& row);
// Without `run`.
ApprovalRecord ApprovalOf(const storage::Row& row);

// Values of columns.
int64_t Micros(absl::Time time);
storage::Value MaybeMicros(const std::optional<absl::Time>& time);
storage::Value MaybeText(const std::optional<std::string>& text);
std::string TimingText(const RunTiming& timing);
std::string ErrorText(const RunError& error);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_ROWS_H_
