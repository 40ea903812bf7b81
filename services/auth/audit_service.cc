#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/audit_service.pb.h"
#include "services/auth/adapters.h"
#include "services/auth/audit_log.h"
#include "services/auth/caller.h"
#include "services/common/paging/page_token.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::auth {
namespace {

v1::AuditRecord ToProto(const AuditRecord& record) {
  v1::AuditRecord proto;
  proto.set_sequence(record.sequence);
  SetTimestamp(record.time, proto.mutable_time());
  proto.set_user(record.entry.user);
  proto.set_actor(record.entry.actor);
  proto.set_action(record.entry.action);
  proto.set_resource(record.entry.resource);
  proto.set_allowed(record.entry.allowed);
  proto.set_reason(record.entry.reason);
  proto.set_request_id(record.entry.request_id);
  proto.set_address(record.entry.address);
  proto.set_hash(record.hash);
  proto.mutable_details()->insert(record.entry.details.begin(), record.entry.details.end());
  return proto;
}

absl::StatusOr<AuditLog::Filter> ParseFilter(const v1::ListAuditRecordsRequest& request) {
  AuditLog::Filter filter;
  if (!request.user().empty()) {
    ASSIGN_OR_RETURN(std::string user, ParseName("users", request.user()));
    filter.user = absl::StrCat("users/", user);
  }
  filter.action = request.action();
  if (request.has_start_time()) {
    filter.start = FromTimestamp(request.start_time());
  }
  if (request.has_end_time()) {
    filter.end = FromTimestamp(request.end_time());
  }
  return filter;
}

class AuditServiceImpl final : public Adapter {
 public:
  AuditServiceImpl(const Edge& edge, AuditLog* audit, BlockingPool* pool)
      : Adapter("AuditService", edge), audit_(audit), pool_(pool) {
    UnarySignedIn("ListAuditRecords", &AuditServiceImpl::ListAuditRecords);
    UnarySignedIn("VerifyAuditLog", &AuditServiceImpl::VerifyAuditLog);
  }

 private:
  Awaitable<absl::StatusOr<v1::ListAuditRecordsResponse>> ListAuditRecords(const rpc::CallContext&,
                                                                           const v1::ListAuditRecordsRequest& request) {
    CO_ASSIGN_OR_RETURN(AuditLog::Filter filter, ParseFilter(request));
    const std::string page_of = absl::StrCat("ListAuditRecords ", filter.user, " ", filter.action, " ",
                                             absl::FormatTime(filter.start), " ", absl::FormatTime(filter.end));
    CO_ASSIGN_OR_RETURN(int size, PageSize(request.page_size()));
    CO_ASSIGN_OR_RETURN(std::string position, DecodePageToken(page_of, request.page_token()));
    uint64_t after = 0;
    if (!absl::SimpleAtoi(position, &after)) {
      after = 0;
    }
    CO_ASSIGN_OR_RETURN(std::vector<AuditRecord> records, audit_->ListAcrossUsers(filter, after, size));
    v1::ListAuditRecordsResponse response;
    for (const AuditRecord& record : records) {
      *response.add_records() = ToProto(record);
    }
    if (records.size() == static_cast<size_t>(size)) {
      response.set_next_page_token(EncodePageToken(page_of, absl::StrCat(records.back().sequence)));
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::VerifyAuditLogResponse>> VerifyAuditLog(const rpc::CallContext&,
                                                                       const v1::VerifyAuditLogRequest&) {
    CO_ASSIGN_OR_RETURN(AuditLog::Verification verification,
                        co_await RunBlocking(pool_, [audit = audit_] { return audit->Verify(); }));
    v1::VerifyAuditLogResponse response;
    response.set_intact(verification.intact);
    response.set_records(verification.records);
    response.set_first_bad_sequence(verification.first_bad_sequence);
    response.set_problem(verification.problem);
    response.set_head_hash(verification.head_hash);
    co_return response;
  }

  AuditLog* const audit_;
  BlockingPool* const pool_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewAuditService(Edge edge, AuditLog* audit, BlockingPool* pool) {
  return std::make_unique<AuditServiceImpl>(edge, audit, pool);
}

}  // namespace bulkhead::auth
