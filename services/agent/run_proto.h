// Between the contract's messages and the records of the store.
#ifndef SERVICES_AGENT_RUN_PROTO_H_
#define SERVICES_AGENT_RUN_PROTO_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "services/agent/agent.h"
#include "services/agent/definition_store.h"
#include "services/agent/run_record.h"

namespace bulkhead::agent {

v1::Run ToProto(const RunRecord& run);
v1::Approval ToProto(const ApprovalRecord& approval, std::string_view owner);
v1::Agent ToProto(const AgentSpec& spec);
v1::Agent ToProto(const DefinitionRecord& definition);

// "run-1" out of "users/ada/runs/run-1". INVALID_ARGUMENT `RUN_NAME_INVALID`: not of that form, or
// an id that no run can have (empty, a placeholder, malformed); NOT_FOUND `RUN_NOT_FOUND` when the
// user is not `user`.
absl::StatusOr<std::string> ParseRunName(std::string_view name, std::string_view user);

// "run-1" and "approval-1" out of "users/ada/runs/run-1/approvals/approval-1". As above, with
// NOT_FOUND `APPROVAL_NOT_FOUND`.
struct ApprovalName {
  std::string run;
  std::string approval;
};
absl::StatusOr<ApprovalName> ParseApprovalName(std::string_view name, std::string_view user);

// "analyst" out of "agents/analyst". NOT_FOUND `AGENT_NOT_FOUND`.
absl::StatusOr<std::string> ParseAgentName(std::string_view name);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_PROTO_H_
